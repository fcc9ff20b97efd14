package hfconfig

import "hwledger/calc/model"

func init() {
	register("phi4flash", phi4Flash, defaults{
		"tie_word_embeddings": true, "mb_per_layer": 2, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "sliding_window": 512,
	})
	registerClass("Phi4Flash", "phi4flash")
}

// phi4Flash is SambaY: in the first half state spaces alternate with sliding
// differential attention; then come one more state space and the only full
// attention layer, whose outputs the rest gate or read: half of those layers
// are gated memory units, half attend over the shared cache.
func phi4Flash(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	c.has(ssmDetails...)
	d.norm = layerNorm
	d.attn.QKVBias, d.attn.OutBias = true, true
	x := model.Mamba1{
		Inner: c.need("mamba_expand") * d.m.Hidden, StateSize: c.need("mamba_d_state"), Conv: c.need("mamba_d_conv"),
		DtRank: c.dtRank("mamba_dt_rank"), ConvBias: c.bool(true, "mamba_conv_bias"), ProjBias: c.bool(false, "mamba_proj_bias"),
	}
	step, window, half := c.need("mb_per_layer"), c.need("sliding_window"), d.layers/2
	d.mixers = func(i int) []model.Mixer {
		a, m := d.attn, x
		switch mamba, cross := step > 0 && int64(i)%step == 0, i >= half+2; {
		case mamba && cross:
			return []model.Mixer{&model.GatedMemory{Inner: x.Inner}}
		case mamba:
			return []model.Mixer{&m}
		case cross:
			a.SharedFrom = half + 1
		case i < half:
			a.Window = window
		}
		return []model.Mixer{&a}
	}
	d.layerNorms = func(dst []model.Tensor, l *model.Layer) []model.Tensor {
		h := d.m.Hidden
		dst = appendNorm(appendNorm(dst, "attn_norm", layerNorm, h), "ffn_norm", layerNorm, h)
		if _, ok := l.Mixers[0].(*model.Attention); ok {
			dst = append(dst, model.Matrix("attn_lambda.weight", 4, d.attn.KeyDim).As(model.Vector),
				model.Vec("attn_sub_norm.weight", model.Norm, 2*d.attn.KeyDim))
		}
		return dst
	}
	return d.build()
}
