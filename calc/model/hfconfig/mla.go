package hfconfig

import "hwledger/calc/model"

func init() {
	register("deepseek", deepseek, nil)
	register("deepseek_v2", deepseek, nil)
	register("deepseek_vl_v2", deepseek, nil)
	register("deepseek_v3", deepseek, nil)
	register("deepseek_v32", deepseek, nil)
	register("kimi_k2", deepseek, nil)
	register("kimi_k25", deepseek, nil)
	register("glm4_moe_lite", deepseek, nil)
	register("glm_moe_dsa", deepseek, nil)
	register("minicpm3", minicpm3, defaults{"tie_word_embeddings": true})
	register("longcat_flash", longcat, nil)
	registerClass("KimiK25", "kimi_k25")
}

// sigmoid marks the families whose router has a correction bias.
var sigmoid = map[string]bool{
	"deepseek_v3": true, "deepseek_v32": true, "kimi_k2": true, "kimi_k25": true, "glm4_moe_lite": true, "glm_moe_dsa": true,
}

// readMLA reads multi-head latent attention and the sparse indexer beside it.
// num_key_value_heads and head_dim are nominal there and not used.
func (d *decoder) readMLA() model.MLA {
	c := d.cfg
	return model.MLA{
		Heads: d.attn.Heads, QLoRARank: c.int(0, "q_lora_rank"), KVLoRARank: c.need("kv_lora_rank"),
		NopeDim: c.need("qk_nope_head_dim"), RopeDim: c.need("qk_rope_head_dim"), ValDim: c.need("v_head_dim"),
	}
}

// useMLA gives every layer latent attention, with an indexer where the
// configuration names one. indexer_types says which layers share another's
// choice and so have neither index weights nor index keys.
func (d *decoder) useMLA(a model.MLA) {
	c := d.cfg
	c.has("layer_types", "index_topk_freq", "index_skip_topk_offset", "index_topk_pattern", "qk_head_dim")
	var index model.Indexer
	if index.HeadDim = c.int(0, "index_head_dim"); index.HeadDim > 0 {
		index.Heads, index.TopK = c.need("index_n_heads"), c.need("index_topk")
	}
	types := c.strs("indexer_types")
	switch {
	case types != nil && len(types) < d.layers:
		c.fail(model.MalformedFile, "indexer_types", "%d entries for %d layers", len(types), d.layers)
		return
	case types == nil && c.int(1, "index_topk_freq") > 1:
		c.lack("indexer_types")
		return
	}
	at := func(i int) []model.Mixer {
		a := a
		if index.HeadDim > 0 {
			x := index
			x.Shared = types != nil && i < d.layers && types[i] == "shared"
			a.Indexer = &x
		}
		return []model.Mixer{&a}
	}
	d.mixers = at
	d.mtp.like = func(i int) model.Layer {
		return model.Layer{Mixers: at(d.layers + i), FFN: d.ffnOf(d.layers - 1)}
	}
}

// deepseek is DeepSeek-MoE to V3.2 and what was built after them. Without
// kv_lora_rank (the first release, and the smallest VL2) attention is plain.
func deepseek(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "deepseek2")
	plain := c.modelType == "deepseek" || !c.bool(true, "use_mla")
	if plain {
		d.m.Arch = "deepseek"
		b := c.bool(false, "attention_bias")
		d.attn.QKVBias, d.attn.OutBias = b, b
		c.has("kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
	} else {
		d.useMLA(d.readMLA())
	}
	if c.modelType == "deepseek_v32" {
		d.m.Arch = "deepseek32"
	}
	if c.modelType == "glm_moe_dsa" {
		d.m.Arch = "glm-dsa"
	}
	if c.has("n_routed_experts", "num_experts") {
		d.moe = d.readMoE()
		d.moe.RouterCorrection = c.str("topk_method") == "noaux_tc" || sigmoid[c.modelType]
		d.denseFirst()
	}
	// GLM-5 shares the trunk's embedding and head with its MTP layer.
	own := c.modelType != "glm_moe_dsa"
	d.mtp.layers, d.mtp.ownEmbed, d.mtp.ownHead = int(c.int(0, "num_nextn_predict_layers")), own, own
	return d.build()
}

// minicpm3 is dense with latent attention; its value heads are hidden size
// over heads unless given.
func minicpm3(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "minicpm3")
	a := model.MLA{
		Heads: d.attn.Heads, QLoRARank: c.int(0, "q_lora_rank"), KVLoRARank: c.need("kv_lora_rank"),
		NopeDim: c.need("qk_nope_head_dim"), RopeDim: c.need("qk_rope_head_dim"),
		ValDim: c.int(div(d.m.Hidden, d.attn.Heads), "v_head_dim"),
	}
	d.useMLA(a)
	return d.build()
}

// longcat runs latent attention and a dense network twice in a layer, beside
// experts of which some do nothing.
func longcat(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	a := d.readMLA()
	d.mixers = func(int) []model.Mixer {
		first, second := a, a
		return []model.Mixer{&first, &second}
	}
	d.moe = d.readMoE()
	d.moe.Width = 2 * c.need("ffn_hidden_size")
	idle := c.int(0, "zero_expert_num")
	d.norms = 4
	d.moe.RouterCorrection = true
	d.moe.RouterBias = c.bool(false, "router_bias")
	if idle > 0 {
		d.perLayer = func(dst []model.Tensor, _ *model.Layer) []model.Tensor {
			return append(dst, model.Matrix("ffn_gate_inp_zero.weight", idle, d.m.Hidden).As(model.Router),
				model.Vec("exp_probs_b_zero.bias", model.Router, idle))
		}
		c.note("num_experts_per_tok", d.moe.TopK, "upper bound: some of the chosen experts do nothing")
	}
	return d.build()
}
