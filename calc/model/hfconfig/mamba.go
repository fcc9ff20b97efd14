package hfconfig

import "hwledger/calc/model"

func init() {
	register("mamba", mamba1, defaults{
		"tie_word_embeddings": true, "state_size": 16, "expand": 2, "conv_kernel": 4,
		"use_conv_bias": true, "use_bias": false, "vocab_size": 50280,
	})
	register("falcon_mamba", mamba1, defaults{
		"state_size": 16, "expand": 2, "conv_kernel": 4, "use_conv_bias": true, "use_bias": false,
	})
	register("mamba2", mamba2, defaults{
		"state_size": 128, "expand": 2, "conv_kernel": 4, "use_conv_bias": true, "use_bias": false,
		"num_heads": 128, "head_dim": 64, "n_groups": 8,
	})
	register(stateSpaces, originalMamba, defaults{"pad_vocab_size_multiple": 8, "tie_embeddings": true, "rms_norm": true})
	registerClass("FalconMamba", "falcon_mamba")
	registerKey("ssm_cfg", stateSpaces)
}

// stateSpaces is the name given to configurations of the state-spaces/mamba
// package, which have no model_type and are known by their ssm_cfg.
const stateSpaces = "mamba_ssm"

// mamba1 is a stack of selective state spaces and nothing else. Falcon-Mamba
// normalises dt, B and C without weights.
func mamba1(c *cfg) (*model.Model, error) {
	d := newTrunk(c, "mamba")
	d.readLayers()
	h := d.m.Hidden
	x := model.Mamba1{
		Inner: c.int(c.int(2, "expand")*h, "intermediate_size"), StateSize: c.need("state_size"), Conv: c.need("conv_kernel"),
		DtRank: c.dtRank("time_step_rank"), ConvBias: c.bool(true, "use_conv_bias"), ProjBias: c.bool(false, "use_bias"),
	}
	d.mixers = func(int) []model.Mixer { m := x; return []model.Mixer{&m} }
	d.ffns = noFFN
	return d.build()
}

// dtRank reads the rank of the time-step projection: a sixteenth of the
// hidden size, rounded up, unless given.
func (c *cfg) dtRank(names ...string) int64 {
	if n, ok := c.auto(names...); ok {
		return n
	}
	n := ceilDiv(c.need("hidden_size"), 16)
	c.note(names[0], n, "rule: hidden_size / 16")
	return n
}

// mamba2 is a stack of state spaces with heads.
func mamba2(c *cfg) (*model.Model, error) {
	d := newTrunk(c, "mamba2")
	d.readLayers()
	x := model.Mamba2{
		Heads: c.need("num_heads"), HeadDim: c.need("head_dim"), Groups: c.need("n_groups"),
		StateSize: c.need("state_size"), Conv: c.need("conv_kernel"),
		ConvBias: c.bool(true, "use_conv_bias"), ProjBias: c.bool(false, "use_bias"),
	}
	if inner := c.int(2, "expand") * d.m.Hidden; inner != x.Inner() && d.m.Hidden > 0 {
		c.fail(model.MalformedFile, "num_heads", "%d heads of %d are not the inner width of %d", x.Heads, x.HeadDim, inner)
	}
	d.mixers = func(int) []model.Mixer { m := x; return []model.Mixer{&m} }
	d.ffns = noFFN
	return d.build()
}

// originalMamba reads the configuration of the state-spaces/mamba package:
// ssm_cfg holds only what differs from its defaults, and the vocabulary is
// padded.
func originalMamba(c *cfg) (*model.Model, error) {
	if len(c.list("attn_layer_idx")) > 0 {
		c.has("attn_cfg")
		c.fail(model.UnsupportedArchitecture, "attn_layer_idx, attn_cfg", "attention layers between Mamba layers, with their own convolution, are not known")
	}
	d := newTrunk(c, "mamba")
	d.readLayers()
	d.m.Tied = c.bool(true, "tie_embeddings")
	if !c.bool(true, "rms_norm") {
		d.norm = layerNorm
	}
	if pad := c.int(8, "pad_vocab_size_multiple"); pad > 0 {
		d.m.Vocab = ceilDiv(d.m.Vocab, pad) * pad
	}
	d.ffns = noFFN
	if w := c.int(0, "d_intermediate"); w > 0 {
		d.ffns = func(int) model.FFN { return model.FFN{Gated: true, Width: w} }
	}
	ssm := c.child("ssm_cfg")
	if ssm == nil {
		ssm = &cfg{record: c.record, path: "ssm_cfg."}
	}
	inner := ssm.int(2, "expand") * d.m.Hidden
	if ssm.str("layer") == "Mamba2" {
		d.m.Arch = "mamba2"
		dim := ssm.int(64, "headdim")
		x := model.Mamba2{
			Heads: div(inner, dim), HeadDim: dim, Groups: ssm.int(1, "ngroups"),
			StateSize: ssm.int(128, "d_state"), Conv: ssm.int(4, "d_conv"), ConvBias: true,
		}
		d.mixers = func(int) []model.Mixer { m := x; return []model.Mixer{&m} }
		return d.build()
	}
	rank, ok := ssm.auto("dt_rank")
	if !ok {
		rank = ceilDiv(d.m.Hidden, 16)
	}
	x := model.Mamba1{Inner: inner, StateSize: ssm.int(16, "d_state"), Conv: ssm.int(4, "d_conv"), DtRank: rank, ConvBias: true}
	d.mixers = func(int) []model.Mixer { m := x; return []model.Mixer{&m} }
	return d.build()
}
