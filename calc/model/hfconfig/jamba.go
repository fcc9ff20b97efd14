package hfconfig

import "hwledger/calc/model"

func init() {
	register("jamba", jamba, defaults{
		"attn_layer_period": 8, "attn_layer_offset": 4, "expert_layer_period": 2, "expert_layer_offset": 1,
		"num_experts": 16, "num_experts_per_tok": 2, "num_key_value_heads": 8, "tie_word_embeddings": false,
		"mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": true, "mamba_proj_bias": false,
	})
}

// jamba has attention in the layers that attn_layer_period and offset name,
// Mamba in the others, and experts by a period and offset of their own.
func jamba(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "jamba")
	c.has(ssmDetails...)
	x := model.Mamba1{
		Inner: c.need("mamba_expand") * d.m.Hidden, StateSize: c.need("mamba_d_state"), Conv: c.need("mamba_d_conv"),
		DtRank: c.dtRank("mamba_dt_rank"), DtBCNorms: true,
		ConvBias: c.bool(true, "mamba_conv_bias"), ProjBias: c.bool(false, "mamba_proj_bias"),
	}
	period, offset := c.need("attn_layer_period"), c.int(0, "attn_layer_offset")
	d.mixers = func(i int) []model.Mixer {
		if period > 0 && int64(i)%period == offset {
			a := d.attn
			return []model.Mixer{&a}
		}
		m := x
		return []model.Mixer{&m}
	}
	// A single expert is a dense network.
	if c.int(0, "num_experts") > 1 {
		d.moe = d.readMoE()
		period, offset := c.need("expert_layer_period"), c.int(0, "expert_layer_offset")
		d.sparse = func(i int) bool { return period > 0 && int64(i)%period == offset }
	}
	return d.build()
}
