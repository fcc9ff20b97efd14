package hfconfig

import "hwledger/calc/model"

func init() {
	def := defaults{"head_size": 64, "tie_word_embeddings": false}
	register("rwkv5", rwkv5, def)
	register("rwkv6", rwkv6, def)
	register("rwkv7", rwkv7, defaults{"head_dim": 64, "tie_word_embeddings": false})
}

// newRWKV reads what the versions share. A layer has two norms with bias, the
// first layer one more.
func newRWKV(c *cfg, arch string) *decoder {
	d := newTrunk(c, arch)
	d.readLayers()
	d.norm = layerNorm
	if d.m.Context == 0 {
		d.m.Context = c.length("context_length")
	}
	d.extra = appendNorm(nil, "token_embd_norm", layerNorm, d.m.Hidden)
	return d
}

// channelMix returns the network of a version: key and value, a receptance in
// versions 5 and 6, and its token-shift vectors.
func (d *decoder) channelMix(width int64, receptance bool) {
	h := d.m.Hidden
	d.ffns = func(int) model.FFN { return model.FFN{Width: width} }
	d.layerNorms = func(dst []model.Tensor, l *model.Layer) []model.Tensor {
		dst = appendNorm(appendNorm(dst, "attn_norm", layerNorm, h), "attn_norm_2", layerNorm, h)
		dst = append(dst, model.Vec("channel_mix_lerp_k.weight", model.Vector, h))
		if receptance {
			dst = append(dst, model.Vec("channel_mix_lerp_r.weight", model.Vector, h),
				model.Matrix("channel_mix_receptance.weight", h, h).With(model.ByColumn))
		}
		return dst
	}
}

// oldWidth is the channel-mix width of versions 5 and 6: three and a half
// hidden sizes, rounded down to a multiple of 32, unless given.
func (d *decoder) oldWidth() int64 {
	if w := d.int(0, "intermediate_size"); w > 0 {
		return w
	}
	w := d.m.Hidden * 7 / 2 / 32 * 32
	d.note("intermediate_size", w, "rule: 3.5 × hidden_size")
	return w
}

func rwkv5(c *cfg) (*model.Model, error) {
	d := newRWKV(c, "")
	x := model.RWKV{Version: 5, Hidden: d.m.Hidden, HeadSize: c.need("head_size", "head_dim"), Shifts: 2}
	if n := c.int(d.m.Hidden, "attention_hidden_size"); n != d.m.Hidden && c.err == nil {
		c.fail(model.UnsupportedArchitecture, "attention_hidden_size", "%d differs from the hidden size", n)
	}
	d.mixers = func(int) []model.Mixer { m := x; return []model.Mixer{&m} }
	d.channelMix(d.oldWidth(), true)
	return d.build()
}

// rwkv6 has low-rank decay and token shift, of twice the size in models 4096
// wide.
func rwkv6(c *cfg) (*model.Model, error) {
	d := newRWKV(c, "rwkv6")
	shift, decay := int64(32), int64(64)
	if d.m.Hidden == 4096 {
		shift, decay = 64, 128
	}
	x := model.RWKV{Version: 6, Hidden: d.m.Hidden, HeadSize: c.need("head_size", "head_dim"), Shifts: 2, Ranks: [4]int64{decay, shift}}
	d.mixers = func(int) []model.Mixer { m := x; return []model.Mixer{&m} }
	d.channelMix(d.oldWidth(), true)
	return d.build()
}

// rwkv7 reads the low-rank sizes of decay, in-context rate, value residual and
// gate. The first layer has no value residual.
func rwkv7(c *cfg) (*model.Model, error) {
	d := newRWKV(c, "rwkv7")
	x := model.RWKV{Version: 7, Hidden: d.m.Hidden, HeadSize: c.need("head_dim", "head_size"), Shifts: 2, Ranks: [4]int64{
		c.need("decay_low_rank_dim"), c.need("a_low_rank_dim"), c.need("v_low_rank_dim"), c.need("gate_low_rank_dim"),
	}}
	d.mixers = func(i int) []model.Mixer {
		m := x
		if i == 0 {
			m.Ranks[2] = 0
		}
		return []model.Mixer{&m}
	}
	w := c.int(0, "intermediate_size")
	if w == 0 {
		w = int64(c.float(4, "hidden_ratio") * float64(d.m.Hidden))
	}
	d.channelMix(w, false)
	return d.build()
}
