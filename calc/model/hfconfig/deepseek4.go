package hfconfig

import "hwledger/calc/model"

func init() {
	register("deepseek_v4", deepseek4, nil)
	register("deepseek_ref", deepseek4, nil)
}

// deepseek4 keeps a short window of raw rows in every layer and rows
// compressed by compress_ratios beyond it. Every layer is routed; the first
// num_hash_layers choose experts by token id. The residual is hc_mult streams
// mixed before and after attention and network.
func deepseek4(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "deepseek4")
	d.readCompressed()
	d.moe = d.readMoE()
	hash := int(c.int(0, "num_hash_layers"))
	d.ffns = func(i int) model.FFN {
		f := d.moe
		f.RouterCorrection = i >= hash
		return f
	}
	if hash > 0 {
		c.note("num_hash_layers", hash, "their tables of expert numbers are not parameters and not counted")
	}
	h, n := d.m.Hidden, c.need("hc_mult")
	mix := (2 + n) * n
	d.perLayer = func(dst []model.Tensor, _ *model.Layer) []model.Tensor {
		for _, part := range [...]string{"hc_attn", "hc_ffn"} {
			dst = append(dst, model.Matrix(part+"_fn.weight", mix, n*h).As(model.Vector),
				model.Vec(part+"_base.weight", model.Vector, mix), model.Vec(part+"_scale.weight", model.Vector, 3))
		}
		return dst
	}
	d.extra = appendHCHead(nil, n, h)
	d.mtp.layers = int(c.int(0, "num_nextn_predict_layers"))
	d.mtp.extra = appendHCHead(nil, n, h)
	return d.build()
}

// appendHCHead appends what turns n residual streams into one.
func appendHCHead(dst []model.Tensor, n, h int64) []model.Tensor {
	return append(dst, model.Matrix("output_hc_fn.weight", n, n*h).As(model.Vector),
		model.Vec("output_hc_base.weight", model.Vector, n), model.Vec("output_hc_scale.weight", model.Vector, 1))
}

// readCompressed reads DeepSeek-V4's attention. compress_ratios has an entry
// for each layer and for each MTP layer after them.
func (d *decoder) readCompressed() {
	c := d.cfg
	ratios := c.ints("compress_ratios")
	if ratios == nil {
		c.lack("compress_ratios")
		return
	}
	if len(ratios) < d.layers {
		c.fail(model.MalformedFile, "compress_ratios", "%d entries for %d layers", len(ratios), d.layers)
		return
	}
	for i, r := range ratios {
		if r != 0 && r != 4 && r != 128 {
			c.fail(model.UnsupportedArchitecture, "compress_ratios", "ratio %d in layer %d is not known", r, i)
			return
		}
	}
	a := model.Compressed{
		Heads: d.attn.Heads, HeadDim: c.need("head_dim"), RopeDim: c.need("qk_rope_head_dim"), Window: c.window(),
		QLoRARank: c.need("q_lora_rank"), OLoRARank: c.need("o_lora_rank"), OGroups: c.need("o_groups"), Sinks: true,
	}
	if a.Window == 0 {
		c.lack("sliding_window")
	}
	x := model.Indexer{Heads: c.need("index_n_heads"), HeadDim: c.need("index_head_dim"), TopK: c.need("index_topk")}
	c.has("kv_lora_rank", "qk_nope_head_dim", "v_head_dim", "compress_rope_theta", "compress_rope_parameters", "hc_sinkhorn_iters", "hc_eps", "expert_dtype", "first_k_dense_replace")
	at := func(i int) []model.Mixer {
		a := a
		if i < len(ratios) {
			a.Ratio = ratios[i]
		}
		if a.Ratio == 4 {
			x := x
			a.Indexer = &x
		}
		return []model.Mixer{&a}
	}
	d.mixers = at
	d.mtp.like = func(i int) model.Layer {
		return model.Layer{Mixers: at(d.layers + i), FFN: d.ffnOf(d.layers + i)}
	}
}
