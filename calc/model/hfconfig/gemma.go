package hfconfig

import "hwledger/calc/model"

func init() {
	tied := defaults{"tie_word_embeddings": true}
	register("gemma", gemma, tied)
	register("gemma2", gemma2, defaults{"tie_word_embeddings": true, "sliding_window": 4096})
	// A Gemma-3 text model inside a wrapper gives only what differs from its
	// class; the published configurations omit even the vocabulary.
	g3 := defaults{
		"tie_word_embeddings": true, "vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4,
		"head_dim": 256, "sliding_window": 4096, "sliding_window_pattern": 6, "max_position_embeddings": 131072,
	}
	register("gemma3", gemma3, g3)
	register("gemma3_text", gemma3, g3)
	g3n := defaults{
		"tie_word_embeddings": true, "vocab_size": 262400, "vocab_size_per_layer_input": 262144,
		"hidden_size_per_layer_input": 256, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256,
		"sliding_window": 512, "altup_num_inputs": 4, "laurel_rank": 64, "num_kv_shared_layers": 15,
		"max_position_embeddings": 32768,
	}
	register("gemma3n", gemma3n, g3n)
	register("gemma3n_text", gemma3n, g3n)
	g4 := defaults{"tie_word_embeddings": true, "vocab_size": 262144, "vocab_size_per_layer_input": 262144}
	register("gemma4", gemma4, g4)
	register("gemma4_text", gemma4, g4)
}

func gemma(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "gemma")
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	return d.build()
}

// gemma2 has four norms in a layer and slides in the even layers.
func gemma2(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "gemma2")
	d.norms = 4
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.slideBy(c.window(), every(2))
	return d.build()
}

// gemma3 is gemma2 with normalised queries and keys and five sliding layers
// to each full one. EmbeddingGemma turns causality off and keeps no cache.
func gemma3(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "gemma3")
	d.norms, d.attn.Norms = 4, model.HeadQKNorm
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	if v, _, ok := c.get("use_bidirectional_attention"); ok && v == true {
		d.m.Causal = false
		d.m.Arch = "gemma-embedding"
	}
	d.slideBy(c.window(), every(c.int(6, "sliding_window_pattern", "_sliding_window_pattern")))
	return d.build()
}

// perLayerInputs adds the embeddings that Gemma 3n and 4 look up anew in each
// layer: one table for all layers, its projection from the hidden row, and in
// each layer a gate, a projection and a norm.
func (d *decoder) perLayerInputs() {
	p, h := d.int(0, "hidden_size_per_layer_input"), d.m.Hidden
	if p == 0 {
		return
	}
	v, n := d.int(d.m.Vocab, "vocab_size_per_layer_input"), int64(d.layers)
	d.extra = append(d.extra,
		model.Matrix("per_layer_token_embd.weight", v, n*p).As(model.Embedding).With(model.ByVocab),
		model.Matrix("per_layer_model_proj.weight", n*p, h),
		model.Vec("per_layer_proj_norm.weight", model.Norm, p))
	d.addPerLayer(func(dst []model.Tensor, _ *model.Layer) []model.Tensor {
		return append(dst, model.Matrix("inp_gate.weight", p, h), model.Matrix("proj.weight", h, p),
			model.Vec("post_norm.weight", model.Norm, h))
	})
}

// addPerLayer adds to perLayer.
func (d *decoder) addPerLayer(f func(dst []model.Tensor, l *model.Layer) []model.Tensor) {
	first := d.perLayer
	d.perLayer = func(dst []model.Tensor, l *model.Layer) []model.Tensor {
		if first != nil {
			dst = first(dst, l)
		}
		return f(dst, l)
	}
}

// shareKV lets the last num_kv_shared_layers layers read the cache of the last
// layer of their kind before them. Their key and value weights stay.
func (d *decoder) shareKV(types []string) func(layer int) int {
	n := int(d.int(0, "num_kv_shared_layers"))
	first := d.layers - n
	if n == 0 {
		return func(int) int { return -1 }
	}
	if first <= 0 {
		d.fail(model.MalformedFile, "num_kv_shared_layers", "%d of %d layers", n, d.layers)
		return func(int) int { return -1 }
	}
	last := map[string]int{}
	for i := range first {
		last[types[i]] = i
	}
	return func(i int) int {
		if i < first {
			return -1
		}
		if owner, ok := last[types[i]]; ok {
			return owner
		}
		d.fail(model.MalformedFile, "layer_types", "no layer before %d keeps the cache that its %s layer shares", first, types[i])
		return -1
	}
}

// fullAndSliding returns the kind of each layer: layer_types, or the rule.
func (d *decoder) fullAndSliding(local func(layer int) bool) []string {
	types := d.layerTypes()
	for i, t := range types {
		if t != "full_attention" && t != "sliding_attention" {
			d.fail(model.UnsupportedArchitecture, "layer_types", "%q in layer %d is not known for %s", t, i, d.modelType)
		}
	}
	if types != nil {
		return types
	}
	types = make([]string, d.layers)
	for i := range types {
		types[i] = "full_attention"
		if local(i) {
			types[i] = "sliding_attention"
		}
	}
	return types
}

// gemma3n adds per-layer inputs, four parallel residual streams (AltUp) and a
// low-rank residual (LAuReL) to gemma3.
func gemma3n(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "gemma3n")
	d.norms, d.attn.Norms, d.attn.KVWeights = 4, model.HeadQKNorm, true
	types := d.fullAndSliding(every(5))
	share, w := d.shareKV(types), c.window()
	d.mixers = func(i int) []model.Mixer {
		a := d.attn
		if types[i] == "sliding_attention" {
			a.Window = w
		}
		a.SharedFrom = share(i)
		return []model.Mixer{&a}
	}
	d.perLayerInputs()
	h, n, r := d.m.Hidden, c.need("altup_num_inputs"), c.need("laurel_rank")
	d.extra = append(d.extra,
		model.Matrix("altup_proj.weight", max(0, n-1)*h, h), model.Matrix("altup_unembd_proj.weight", max(0, n-1)*h, h))
	d.addPerLayer(func(dst []model.Tensor, _ *model.Layer) []model.Tensor {
		return append(dst,
			model.Vec("altup_correct_scale.weight", model.Vector, h), model.Matrix("altup_correct_coef.weight", n, n),
			model.Matrix("altup_predict_coef.weight", n*n, n), model.Matrix("altup_router.weight", n, h),
			model.Vec("altup_router_norm.weight", model.Norm, h),
			model.Matrix("laurel_l.weight", r, h), model.Matrix("laurel_r.weight", h, r),
			model.Vec("laurel_post_norm.weight", model.Norm, h))
	})
	return d.build()
}

// gemma4 has larger heads in its full layers, where values may be the keys.
// Its MoE releases run experts beside the dense network; E2B doubles the
// network of the layers that share a cache.
func gemma4(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "gemma4")
	d.norms, d.attn.Norms, d.attn.KVWeights = 4, model.HeadQKNorm, true
	types := d.fullAndSliding(every(c.int(6, "sliding_window_pattern", "_sliding_window_pattern")))
	if c.need("head_dim"); c.failure() != nil {
		return nil, c.failure()
	}
	full := d.attn
	full.KeyDim = c.int(full.KeyDim, "global_head_dim")
	full.ValueDim = full.KeyDim
	if c.bool(false, "attention_k_eq_v") {
		full.NoValue = true
		full.KVHeads = c.int(full.KVHeads, "num_global_key_value_heads")
	}
	share, w := d.shareKV(types), c.window()
	if w == 0 {
		c.lack("sliding_window")
	}
	d.mixers = func(i int) []model.Mixer {
		a := full
		if types[i] == "sliding_attention" {
			a = d.attn
			a.Window = w
		}
		a.SharedFrom = share(i)
		return []model.Mixer{&a}
	}
	d.gemma4Networks(share)
	d.perLayerInputs()
	return d.build()
}

func (d *decoder) gemma4Networks(share func(int) int) {
	c, h := d.cfg, d.m.Hidden
	dense := d.ffn
	if dense.Width == 0 {
		c.lack("intermediate_size")
	}
	if c.bool(false, "enable_moe_block") {
		routed := d.readMoE()
		routed.Width = dense.Width
		dense = routed
		d.addPerLayer(func(dst []model.Tensor, _ *model.Layer) []model.Tensor {
			dst = append(dst, model.Vec("ffn_gate_inp.scale", model.Router, h), model.Vec("ffn_down_exps.scale", model.Router, routed.Experts))
			for _, n := range [...]string{"pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"} {
				dst = appendNorm(dst, n, rmsNorm, h)
			}
			return dst
		})
	}
	wide := c.bool(false, "use_double_wide_mlp")
	d.ffns = func(i int) model.FFN {
		f := dense
		if wide && share(i) >= 0 {
			f.Width *= 2
		}
		return f
	}
}
