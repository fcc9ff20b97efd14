package hfconfig

import (
	"slices"

	"hwledger/calc/model"
)

func init() {
	register("zamba2", zamba2, defaults{
		"tie_word_embeddings": true, "mamba_d_state": 64, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_ngroups": 1,
		"num_mem_blocks": 1, "adapter_rank": 128, "use_shared_attention_adapter": false, "add_bias_linear": false,
	})
}

// zamba2 is a stack of state spaces with a few shared transformer blocks.
// Hybrid layers apply one of them, in turn, before their state space: each
// keeps a cache of its own, while the weights are counted in the first layer
// that applies the block. Every hybrid layer has low-rank adapters and a
// projection of its own.
func zamba2(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	z := zamba2Shape{d: d, blocks: int(max(1, c.int(1, "num_mem_blocks"))), rank: c.need("adapter_rank"), adapters: c.bool(false, "use_shared_attention_adapter")}
	d.attn.In = c.int(2*d.m.Hidden, "attention_hidden_size")
	d.attn.KeyDim = c.int(div(d.attn.In, d.attn.Heads), "attention_head_dim")
	d.attn.ValueDim = d.attn.KeyDim
	d.ffn.Bias = c.bool(false, "add_bias_linear")
	z.mamba = d.zamba2Mamba()
	for i, t := range c.strs("layers_block_type", "layer_types") {
		if t != "mamba" && t != "hybrid" && t != "attention" {
			c.fail(model.UnsupportedArchitecture, "layers_block_type", "%q in layer %d is not known for zamba2", t, i)
		}
		if t != "mamba" && i < d.layers {
			z.hybrid = append(z.hybrid, i)
		}
	}
	if z.hybrid == nil {
		for _, i := range c.ints("hybrid_layer_ids") {
			z.hybrid = append(z.hybrid, int(i))
		}
	}
	if z.hybrid == nil {
		c.lack("layers_block_type")
	}
	d.mixers, d.ffns, d.layerNorms = z.mixers, z.ffn, z.norms
	return d.build()
}

func (d *decoder) zamba2Mamba() model.Mamba2 {
	c := d.cfg
	c.has(ssmDetails...)
	inner := c.need("mamba_expand") * d.m.Hidden
	x := model.Mamba2{
		Groups: c.need("mamba_ngroups"), StateSize: c.need("mamba_d_state"), Conv: c.need("mamba_d_conv"),
		HeadDim: c.int(0, "mamba_headdim"), Heads: c.int(0, "n_mamba_heads"), ConvBias: true, ProjBias: c.bool(false, "add_bias_linear"),
	}
	switch {
	case x.HeadDim == 0 && x.Heads == 0:
		x.HeadDim = 64
		c.note("mamba_headdim", 64, "rule of released models")
		x.Heads = div(inner, x.HeadDim)
	case x.HeadDim == 0:
		x.HeadDim = div(inner, x.Heads)
	default:
		x.Heads = div(inner, x.HeadDim)
	}
	return x
}

// zamba2Shape is what the layers of a Zamba2 are built from.
type zamba2Shape struct {
	d        *decoder
	mamba    model.Mamba2
	hybrid   []int // layers that apply a shared block
	blocks   int   // shared blocks, applied in turn
	rank     int64
	adapters bool // adapters on queries, keys and values too
}

func (z *zamba2Shape) mixers(i int) []model.Mixer {
	m := z.mamba
	turn := slices.Index(z.hybrid, i)
	if turn < 0 {
		return []model.Mixer{&m}
	}
	a := z.d.attn
	a.Weightless = turn >= z.blocks
	return []model.Mixer{&a, &m}
}

func (z *zamba2Shape) ffn(i int) model.FFN {
	turn := slices.Index(z.hybrid, i)
	if turn < 0 {
		return model.FFN{}
	}
	f := z.d.ffn
	f.Weightless = turn >= z.blocks
	return f
}

// norms appends a layer's norms and, for a hybrid layer, its adapters and its
// projection.
func (z *zamba2Shape) norms(dst []model.Tensor, l *model.Layer) []model.Tensor {
	h, in := z.d.m.Hidden, z.d.attn.In
	dst = appendNorm(dst, "ssm_in_norm", rmsNorm, h)
	if len(l.Mixers) < 2 {
		return dst
	}
	if !l.FFN.Weightless {
		dst = appendNorm(appendNorm(dst, "attn_norm", rmsNorm, in), "ffn_norm", rmsNorm, h)
	}
	dst = append(dst, model.Matrix("hybrid_proj.weight", h, h))
	pair := func(name string, out, in int64) {
		dst = append(dst, model.Matrix(name+"_a.weight", z.rank, in), model.Matrix(name+"_b.weight", out, z.rank).With(model.ByColumn))
	}
	pair("ffn_up_adapter", 2*z.d.ffn.Width, h)
	if z.adapters {
		for _, n := range [...]string{"attn_q_adapter", "attn_k_adapter", "attn_v_adapter"} {
			pair(n, in, in)
		}
	}
	return dst
}
