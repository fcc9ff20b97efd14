package hfconfig

import "hwledger/calc/model"

func init() {
	def := defaults{"conv_L_cache": 3, "conv_bias": false, "tie_embedding": true, "block_auto_adjust_ff_dim": true, "block_multiple_of": 256}
	register("lfm2", lfm2, def)
	register("lfm2_moe", lfm2, def)
	registerClass("Lfm2Moe", "lfm2_moe")
}

// lfm2 mixes gated short convolutions with attention. The stated dense width
// is adjusted unless block_auto_adjust_ff_dim is off.
func lfm2(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "lfm2")
	d.attn.Norms = model.HeadQKNorm
	d.m.Tied = c.bool(c.bool(true, "tie_embedding"), "tie_word_embeddings")
	conv := model.ShortConv{Dim: c.int(d.m.Hidden, "conv_dim"), Kernel: c.need("conv_L_cache"), Bias: c.bool(false, "conv_bias")}
	attention := d.lfm2Attention()
	d.mixers = func(i int) []model.Mixer {
		if attention(i) {
			a := d.attn
			return []model.Mixer{&a}
		}
		s := conv
		return []model.Mixer{&s}
	}
	d.ffn.Width = d.lfm2Width()
	if c.int(0, "num_experts") > 0 {
		d.m.Arch = "lfm2moe"
		d.moe = d.readMoE()
		d.moe.RouterCorrection = c.bool(true, "use_expert_bias")
		first := int(c.int(0, "num_dense_layers"))
		d.sparse = func(i int) bool { return i >= first }
	}
	return d.build()
}

// lfm2Attention tells which layers are attention, by layer_types or by the
// older full_attn_idxs.
func (d *decoder) lfm2Attention() func(layer int) bool {
	if types := d.layerTypes(); types != nil {
		d.has("full_attn_idxs")
		for i, t := range types {
			if t != "conv" && t != "full_attention" {
				d.fail(model.UnsupportedArchitecture, "layer_types", "%q in layer %d is not known for %s", t, i, d.modelType)
			}
		}
		return func(i int) bool { return types[i] == "full_attention" }
	}
	at := d.ints("full_attn_idxs")
	if at == nil {
		d.lack("layer_types")
	}
	attention := d.marked(at, 0)
	return func(i int) bool { return attention[i] }
}

// lfm2Width returns the dense width: two thirds of the stated one, times a
// multiplier, rounded up to a multiple, for dense models with adjustment.
func (d *decoder) lfm2Width() int64 {
	w := d.int(d.ffn.Width, "block_ff_dim", "intermediate_size")
	if d.modelType == "lfm2_moe" || !d.bool(true, "block_auto_adjust_ff_dim") {
		return w
	}
	w = 2 * w / 3
	if f := d.float(1, "block_ffn_dim_multiplier"); f > 0 && f < 16 {
		w = int64(f * float64(w))
	}
	m := max(1, d.int(256, "block_multiple_of"))
	w = ceilDiv(w, m) * m
	d.note("intermediate_size", w, "adjusted: block_auto_adjust_ff_dim")
	return w
}
