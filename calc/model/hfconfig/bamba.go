package hfconfig

import (
	"slices"

	"hwledger/calc/model"
)

func init() {
	def := defaults{"mamba_d_state": 128, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_n_groups": 1, "mamba_conv_bias": true, "mamba_proj_bias": false}
	register("bamba", bamba, def)
	register("granitemoehybrid", graniteHybrid, def)
	register("falcon_h1", falconH1, def.and(defaults{"mamba_d_state": 256, "mamba_rms_norm": false}))
	registerClass("GraniteMoeHybrid", "granitemoehybrid")
	registerClass("FalconH1", "falcon_h1")
}

// readMamba2 reads the state space under the names of Bamba, Granite 4 and
// Falcon-H1. Heads and head size follow from each other and the inner width;
// released models have heads of 64 when neither is given.
func (d *decoder) readMamba2() model.Mamba2 {
	c := d.cfg
	c.has(ssmDetails...)
	inner, ok := c.maybe("mamba_d_ssm")
	if !ok {
		inner = c.need("mamba_expand") * d.m.Hidden
	}
	x := model.Mamba2{
		Groups: c.need("mamba_n_groups"), StateSize: c.need("mamba_d_state"), Conv: c.need("mamba_d_conv"),
		ConvBias: c.bool(true, "mamba_conv_bias"), ProjBias: c.bool(false, "mamba_proj_bias"),
	}
	heads, haveHeads := c.maybe("mamba_n_heads")
	x.HeadDim, ok = c.auto("mamba_d_head")
	switch {
	case !ok && haveHeads:
		x.HeadDim = div(inner, heads)
	case !ok:
		x.HeadDim = 64
		c.note("mamba_d_head", 64, "rule of released models")
	}
	if !haveHeads {
		heads = div(inner, x.HeadDim)
		c.note("mamba_n_heads", heads, "derived: inner width / mamba_d_head")
	}
	x.Heads = heads
	if x.Inner() != inner && c.err == nil {
		c.fail(model.MalformedFile, "mamba_n_heads", "%d heads of %d are not the inner width of %d", x.Heads, x.HeadDim, inner)
	}
	return x
}

// either gives the layers that attention names attention, and the others x.
func (d *decoder) either(x model.Mamba2, attention func(layer int) bool) {
	d.mixers = func(i int) []model.Mixer {
		if attention(i) {
			a := d.attn
			return []model.Mixer{&a}
		}
		m := x
		return []model.Mixer{&m}
	}
}

// bamba lists its attention layers in attn_layer_indices; every layer has a
// dense network.
func bamba(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "granitehybrid")
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.ffn.Bias = c.bool(false, "mlp_bias")
	c.has("mamba_rms_norm")
	at := d.marked(c.ints("attn_layer_indices"), 0)
	types := c.strs("layers_block_type", "layer_types")
	d.either(d.readMamba2(), func(i int) bool {
		if i < len(types) {
			return types[i] == "attention" || types[i] == "full_attention"
		}
		return at[i]
	})
	return d.build()
}

// graniteHybrid lists its layers in layer_types. Its dense network is what
// other models call the shared expert; with no experts it stands alone.
func graniteHybrid(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "granitehybrid")
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.graniteLayers()
	shared := c.int(1024, "shared_intermediate_size")
	if c.int(0, "num_local_experts") == 0 {
		d.ffn.Width = shared
		return d.build()
	}
	d.moe = d.readMoE()
	d.moe.SharedWidth = shared
	return d.build()
}

// graniteLayers reads the kinds of the layers. A file without layer_types is
// one of the 40-layer releases, all of which have attention in layers 5, 15,
// 25 and 35.
func (d *decoder) graniteLayers() {
	types := d.layerTypes()
	if types == nil && d.layers != 40 {
		d.lack("layer_types")
		return
	}
	for i, t := range types {
		if t != "attention" && t != "mamba" {
			d.fail(model.UnsupportedArchitecture, "layer_types", "%q in layer %d is not known for %s", t, i, d.modelType)
			return
		}
	}
	if types == nil {
		d.note("layer_types", "attention in layers 5, 15, 25, 35", "rule of the released 40-layer models")
	}
	if types != nil && !slices.Contains(types, "mamba") {
		d.has("mamba_n_heads", "mamba_d_head", "mamba_n_groups", "mamba_d_state", "mamba_d_conv", "mamba_expand", "mamba_conv_bias", "mamba_proj_bias")
		d.has(ssmDetails...)
		return
	}
	d.either(d.readMamba2(), func(i int) bool {
		if types == nil {
			return i%10 == 5
		}
		return types[i] == "attention"
	})
}

// falconH1 runs attention and a state space side by side in every layer.
func falconH1(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "falcon-h1")
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.ffn.Bias = c.bool(false, "mlp_bias")
	if !c.has("mamba_d_ssm") && !c.has("mamba_n_heads") {
		c.lack("mamba_d_ssm")
	}
	x := d.readMamba2()
	x.ProjBias = x.ProjBias || c.bool(false, "projectors_bias")
	x.NoNorm = !c.bool(false, "mamba_rms_norm")
	d.mixers = func(int) []model.Mixer {
		a, m := d.attn, x
		return []model.Mixer{&a, &m}
	}
	return d.build()
}
