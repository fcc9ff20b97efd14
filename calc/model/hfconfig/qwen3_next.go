package hfconfig

import "hwledger/calc/model"

func init() {
	delta := defaults{
		"linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
		"linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "full_attention_interval": 4, "head_dim": 256,
	}
	// Qwen3-Next files do not name the prediction layer that they contain.
	register("qwen3_next", qwen3Next, delta.and(defaults{"num_nextn_predict_layers": 1}))
	for _, t := range []string{"qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"} {
		register(t, qwen35, delta.and(defaults{"mamba_ssm_dtype": "float32"}))
	}
	registerClass("Qwen3_5Moe", "qwen3_5_moe")
}

// qwen3Next is three gated delta nets to one gated attention layer, all with
// experts.
func qwen3Next(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "qwen3next")
	d.gatedDelta(false)
	return d.build()
}

// qwen35 is Qwen3.5 and its successors: the same layers with separate input
// projections, dense or with experts.
func qwen35(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "qwen35")
	d.gatedDelta(true)
	if d.moe.Experts > 0 {
		d.m.Arch = "qwen35moe"
	}
	return d.build()
}

func (d *decoder) gatedDelta(split bool) {
	c := d.cfg
	d.attn.OutputGate, d.attn.Norms = true, model.HeadQKNorm
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	x := model.GatedDelta{
		KeyHeads: c.need("linear_num_key_heads"), ValueHeads: c.need("linear_num_value_heads"),
		KeyDim: c.need("linear_key_head_dim"), ValueDim: c.need("linear_value_head_dim"),
		Conv: c.need("linear_conv_kernel_dim"), SplitProj: split,
	}
	linear := d.linearLayers()
	d.mixers = func(i int) []model.Mixer {
		if linear(i) {
			g := x
			return []model.Mixer{&g}
		}
		a := d.attn
		return []model.Mixer{&a}
	}
	if c.has("num_experts", "n_routed_experts") {
		d.moe = d.readMoE()
		d.moe.SharedGate = d.moe.SharedWidth > 0
		dense, step := d.marked(c.ints("mlp_only_layers"), 0), int(max(1, c.int(1, "decoder_sparse_step")))
		d.sparse = func(i int) bool { return !dense[i] && (i+1)%step == 0 }
	}
	d.mtp.layers = int(c.int(0, "mtp_num_hidden_layers", "num_nextn_predict_layers"))
	d.mtp.ownEmbed = c.bool(false, "mtp_use_dedicated_embeddings")
	d.mtp.like = func(int) model.Layer {
		a := d.attn
		return model.Layer{Mixers: []model.Mixer{&a}, FFN: d.ffnOf(d.layers - 1)}
	}
}

// linearLayers tells which layers are linear: those that layer_types says,
// or all but every full_attention_interval-th.
func (d *decoder) linearLayers() func(layer int) bool {
	types := d.layerTypes()
	if types == nil {
		return every(d.need("full_attention_interval"))
	}
	d.has("full_attention_interval")
	for i, t := range types {
		if t != "linear_attention" && t != "full_attention" {
			d.fail(model.UnsupportedArchitecture, "layer_types", "%q in layer %d is not known for %s", t, i, d.modelType)
		}
	}
	return func(i int) bool { return types[i] == "linear_attention" }
}
