package hfconfig

import "hwledger/calc/model"

func init() {
	for _, t := range []string{"minimax_text_01", "minimax_m1", "minimax"} {
		register(t, minimaxText, nil)
	}
	registerClass("MiniMaxText01", "minimax_text_01")
	registerClass("MiniMaxM1", "minimax_m1")
	for _, t := range []string{"bailing_moe_linear", "bailing_hybrid", "bailing_moe_v2_5"} {
		register(t, bailingLinear, nil)
	}
	registerClass("BailingMoeLinear", "bailing_moe_linear")
	registerClass("BailingMoeLinearV2", "bailing_moe_linear")
	registerClass("BailingMoeV2_5", "bailing_hybrid")
}

// minimaxText is seven lightning attention layers to one of softmax
// attention, all with experts. attn_type_list says 1 for softmax; the form in
// transformers has layer_types instead.
func minimaxText(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	x := model.Lightning{Heads: d.attn.Heads, HeadDim: d.attn.KeyDim}
	var linear func(int) bool
	if flags := c.ints("attn_type_list"); flags != nil {
		if len(flags) < d.layers {
			c.fail(model.MalformedFile, "attn_type_list", "%d entries for %d layers", len(flags), d.layers)
		}
		linear = func(i int) bool { return flags[i] == 0 }
	} else if c.has("layer_types") {
		linear = d.linearLayers()
	} else {
		c.lack("attn_type_list")
	}
	d.mixers = func(i int) []model.Mixer {
		if linear(i) {
			l := x
			return []model.Mixer{&l}
		}
		a := d.attn
		return []model.Mixer{&a}
	}
	d.moe = d.readMoE()
	d.moe.SharedWidth = c.int(0, "shared_intermediate_size")
	return d.build()
}

// bailingLinear is Ring-linear and Ling 2.5: in every layer_group_size layers
// all but the last are lightning attention. The last is grouped-query
// attention in the second generation and latent attention after it.
func bailingLinear(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	norm := c.bool(true, "use_qk_norm")
	d.attn.QKVBias, d.attn.OutBias = c.bool(false, "use_qkv_bias"), c.bool(false, "use_bias")
	if norm {
		d.attn.Norms = model.HeadQKNorm
	}
	x := model.Lightning{Heads: d.attn.Heads, HeadDim: d.attn.KeyDim, HeadNorm: norm}
	group := int(c.need("layer_group_size"))
	var mla *model.MLA
	if c.int(0, "kv_lora_rank") > 0 {
		mla = &model.MLA{
			Heads: d.attn.Heads, QLoRARank: c.int(0, "q_lora_rank"), KVLoRARank: c.need("kv_lora_rank"),
			NopeDim: c.need("qk_nope_head_dim"), RopeDim: c.need("qk_rope_head_dim"), ValDim: c.need("v_head_dim"),
		}
	}
	full := func() []model.Mixer {
		if mla != nil {
			m := *mla
			return []model.Mixer{&m}
		}
		a := d.attn
		return []model.Mixer{&a}
	}
	d.mixers = func(i int) []model.Mixer {
		if (i+1)%group != 0 && i < d.layers/group*group {
			l := x
			return []model.Mixer{&l}
		}
		return full()
	}
	d.moe = d.readMoE()
	if w, ok := c.maybe("moe_shared_expert_intermediate_size"); ok {
		d.moe.SharedWidth = w * c.int(1, "num_shared_experts")
	}
	d.moe.RouterCorrection = c.bool(true, "moe_router_enable_expert_bias")
	d.denseFirst()
	d.mtp.layers = int(c.int(0, "num_nextn_predict_layers"))
	d.mtp.like = func(int) model.Layer { return model.Layer{Mixers: full(), FFN: d.moe} }
	return d.build()
}
