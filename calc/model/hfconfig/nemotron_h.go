package hfconfig

import (
	"strings"

	"hwledger/calc/model"
)

func init() {
	register("nemotron_h", nemotronH, defaults{
		"mamba_num_heads": 128, "mamba_head_dim": 64, "n_groups": 8, "ssm_state_size": 128, "conv_kernel": 4,
		"use_conv_bias": true, "use_bias": false, "num_key_value_heads": 8,
	})
	registerClass("NemotronH", "nemotron_h")
}

// nemotronH has one part in each layer: a state space, attention, a plain
// squared-ReLU network or experts of that kind. The pattern gives the number
// of layers.
func nemotronH(c *cfg) (*model.Model, error) {
	d := newTrunk(c, "nemotron_h")
	d.readAttention()
	if n, ok := c.maybe("attention_head_dim"); ok && n > 0 && !c.has("head_dim") {
		d.attn.KeyDim, d.attn.ValueDim = n, n
	}
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	build, kinds := d.nemotronParts(), d.nemotronKinds("hybrid_override_pattern", "layers_block_type")
	if len(kinds) == 0 {
		d.lack("hybrid_override_pattern")
	}
	if strings.Contains(kinds, "E") {
		d.m.Arch = "nemotron_h_moe"
	}
	if len(kinds) > maxLayers {
		c.fail(model.MalformedFile, "hybrid_override_pattern", "%d layers are beyond the limit of %d", len(kinds), maxLayers)
	}
	d.layers = len(kinds)
	c.note("num_hidden_layers", d.layers, "length of the layer pattern")
	d.mixers = func(i int) []model.Mixer { return build(kinds[i : i+1]).Mixers }
	d.ffns = func(i int) model.FFN { return build(kinds[i : i+1]).FFN }
	if mtp := d.nemotronKinds("mtp_hybrid_override_pattern", "mtp_layers_block_type"); mtp != "" {
		d.mtp.layers = int(c.int(1, "num_nextn_predict_layers"))
		d.mtp.like = func(int) model.Layer { return build(mtp) }
	}
	return d.build()
}

// nemotronKinds reads the kinds of layers as a pattern: M state space,
// * attention, - network, E experts.
func (d *decoder) nemotronKinds(pattern, list string) string {
	if s := d.str(pattern); s != "" {
		if bad := strings.Trim(s, "M*-E"); bad != "" {
			d.fail(model.UnsupportedArchitecture, pattern, "%q is not a known kind of layer", bad[:1])
			return ""
		}
		return s
	}
	var s strings.Builder
	for _, t := range d.strs(list) {
		k, ok := map[string]string{"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}[t]
		if !ok {
			d.fail(model.UnsupportedArchitecture, list, "%q is not a known kind of layer", t)
			return ""
		}
		s.WriteString(k)
	}
	return s.String()
}

// nemotronParts returns a function that builds the layer of a pattern: of one
// part in the trunk, of several in the prediction layer.
func (d *decoder) nemotronParts() func(pattern string) model.Layer {
	c := d.cfg
	c.has(ssmDetails...)
	x := model.Mamba2{
		Heads: c.need("mamba_num_heads"), HeadDim: c.need("mamba_head_dim"), Groups: c.need("n_groups"),
		StateSize: c.need("ssm_state_size"), Conv: c.need("conv_kernel"),
		ConvBias: c.bool(true, "use_conv_bias"), ProjBias: c.bool(false, "use_bias", "mamba_proj_bias"),
	}
	dense := model.FFN{Width: c.int(0, "intermediate_size"), Bias: c.bool(false, "mlp_bias")}
	var moe model.FFN
	if c.int(0, "n_routed_experts") > 0 {
		d.ffn = dense
		moe = d.readMoE()
		moe.Gated, moe.PlainExperts, moe.RouterCorrection = false, true, true
		moe.Latent = c.int(0, "moe_latent_size")
	}
	return func(pattern string) model.Layer {
		var l model.Layer
		for _, k := range pattern {
			switch k {
			case 'M':
				m := x
				l.Mixers = append(l.Mixers, &m)
			case '*':
				a := d.attn
				l.Mixers = append(l.Mixers, &a)
			case '-':
				if dense.Width == 0 {
					d.lack("intermediate_size")
				}
				l.FFN = dense
			case 'E':
				if moe.Experts == 0 {
					d.lack("n_routed_experts")
				}
				l.FFN = moe
			}
		}
		if l.Mixers == nil {
			l.Mixers = []model.Mixer{model.None{}}
		}
		return l
	}
}
