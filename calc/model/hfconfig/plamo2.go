package hfconfig

import "hwledger/calc/model"

func init() {
	register("plamo2", plamo2, defaults{"tie_word_embeddings": true, "mamba_d_state": 64, "mamba_d_conv": 4, "mamba_step": 2, "hidden_size_per_head": 128})
}

// plamo2 has attention in the middle layer of every mamba_step, state spaces
// with heads in the others, and norms before and after both halves of a layer.
func plamo2(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "plamo2")
	c.has(ssmDetails...)
	dim := c.need("hidden_size_per_head")
	d.attn.KeyDim, d.attn.ValueDim, d.attn.Norms = dim, dim, model.FullQKNorm
	d.norms = 4
	x := model.Mamba2{
		Heads: c.need("mamba_num_heads"), HeadDim: dim, StateSize: c.need("mamba_d_state"), Conv: c.need("mamba_d_conv"),
		DtRank: max(64, d.m.Hidden/16),
	}
	if c.int(0, "attention_window_size") > 0 {
		c.note("attention_window_size", "not used", "the engines keep the whole sequence")
	}
	step := int(c.need("mamba_step"))
	d.mixers = func(i int) []model.Mixer {
		attention := step > 1 && i%step == step/2
		if d.layers <= step/2 {
			attention = i == d.layers-1
		}
		if attention {
			a := d.attn
			return []model.Mixer{&a}
		}
		m := x
		return []model.Mixer{&m}
	}
	return d.build()
}
