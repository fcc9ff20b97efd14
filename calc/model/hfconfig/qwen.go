package hfconfig

import "hwledger/calc/model"

func init() {
	register("qwen", qwen1, nil)
	register("qwen2", qwen2, nil)
	register("qwen2_vl", qwen2, nil)
	register("qwen2_vl_text", qwen2, nil)
	register("qwen2_5_vl", qwen2, nil)
	register("qwen2_5_vl_text", qwen2, nil)
	register("qwen2_moe", qwen2MoE, nil)
	register("qwen3", qwen3, nil)
	register("qwen3_vl", qwen3, nil)
	register("qwen3_vl_text", qwen3, nil)
	register("qwen3_moe", qwen3MoE, nil)
	register("qwen3_vl_moe", qwen3MoE, nil)
	register("qwen3_vl_moe_text", qwen3MoE, nil)
	registerClass("QWen", "qwen")
}

var qwenArches = map[string]string{
	"qwen2_vl": "qwen2vl", "qwen2_vl_text": "qwen2vl", "qwen2_5_vl": "qwen2vl", "qwen2_5_vl_text": "qwen2vl",
	"qwen3_vl": "qwen3vl", "qwen3_vl_text": "qwen3vl", "qwen3_vl_moe": "qwen3vlmoe", "qwen3_vl_moe_text": "qwen3vlmoe",
	"qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe",
}

func newQwen(c *cfg) *decoder {
	arch, ok := qwenArches[c.modelType]
	if !ok {
		arch = c.modelType
	}
	return newDecoder(c, arch)
}

// qwen1 fuses queries, keys and values, with a bias on them only, and gives
// the width of gate and up-projection together.
func qwen1(c *cfg) (*model.Model, error) {
	d := newQwen(c)
	d.attn.QKVBias, d.attn.OutBias = true, !c.bool(true, "no_bias")
	d.attn.Fused = true
	d.ffn.Width /= 2
	return d.build()
}

// qwenSlide: sliding_window is inert unless use_sliding_window is set, and
// then applies from max_window_layers on.
func (d *decoder) qwenSlide() {
	w, first := d.window(), d.int(0, "max_window_layers")
	if !d.bool(false, "use_sliding_window") {
		return
	}
	d.slideBy(w, after(first))
}

// qwen2 has a bias on queries, keys and values.
func qwen2(c *cfg) (*model.Model, error) {
	d := newQwen(c)
	d.attn.QKVBias = true
	d.qwenSlide()
	return d.build()
}

// qwen2MoE adds a gated shared expert; qwenSparse tells which layers route.
func qwen2MoE(c *cfg) (*model.Model, error) {
	d := newQwen(c)
	d.attn.QKVBias = c.bool(true, "qkv_bias")
	d.moe = d.readMoE()
	d.moe.SharedGate = d.moe.SharedWidth > 0
	d.qwenSparse()
	d.qwenSlide()
	return d.build()
}

// qwenSparse: the layers of mlp_only_layers are dense, and so are those whose
// number (from 1) decoder_sparse_step does not divide.
func (d *decoder) qwenSparse() {
	step := max(1, d.int(1, "decoder_sparse_step"))
	dense := map[int64]bool{}
	for _, i := range d.ints("mlp_only_layers") {
		dense[i] = true
	}
	d.sparse = func(i int) bool { return !dense[int64(i)] && (int64(i)+1)%step == 0 }
}

// qwen3 normalises queries and keys by head.
func qwen3(c *cfg) (*model.Model, error) {
	d := newQwen(c)
	d.qwen3Attention()
	return d.build()
}

func (d *decoder) qwen3Attention() {
	d.attn.Norms = model.HeadQKNorm
	b := d.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.qwenSlide()
}

// qwen3MoE is qwen3 with routed layers and no shared expert.
func qwen3MoE(c *cfg) (*model.Model, error) {
	d := newQwen(c)
	d.qwen3Attention()
	d.moe = d.readMoE()
	d.qwenSparse()
	return d.build()
}
