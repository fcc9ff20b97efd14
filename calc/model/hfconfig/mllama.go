package hfconfig

import "hwledger/calc/model"

func init() {
	register("mllama", mllama, nil)
	register("mllama_text_model", mllama, nil)
}

// mllama is Llama with further layers that attend to the image instead of the
// text. Their queries and keys are normalised by head and their outputs gated
// by a scalar. Eight tokens are embedded that the head does not predict.
func mllama(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	cross := c.ints("cross_attention_layers")
	if cross == nil {
		c.lack("cross_attention_layers")
	}
	image := d.marked(cross, 0)
	d.m.EncoderTokens = c.imageTokens()
	d.mixers = func(i int) []model.Mixer {
		a := d.attn
		if image[i] {
			a.Cross, a.Norms = true, model.HeadQKNorm
		}
		return []model.Mixer{&a}
	}
	d.layerNorms = func(dst []model.Tensor, l *model.Layer) []model.Tensor {
		dst = d.normPerPart(dst, l)
		if l.Kind() == model.KindCross {
			dst = append(dst, model.Vec("cross_attn_attn_gate", model.Vector, 1), model.Vec("cross_attn_mlp_gate", model.Vector, 1))
		}
		return dst
	}
	d.extra = []model.Tensor{model.Matrix("token_embd_extra.weight", 8, d.m.Hidden).As(model.Embedding)}
	return d.build()
}

// imageTokens returns how many tokens the vision tower makes of one image:
// every tile's patches and class token.
func (c *cfg) imageTokens() int64 {
	o, _ := c.up["vision_config"].(map[string]any)
	v := (&cfg{record: c.record, obj: o, path: "vision_config."}).withDefaults("mllama vision", mllamaTower)
	side := div(v.need("image_size"), v.need("patch_size"))
	n := v.need("max_num_tiles") * (side*side + 1)
	c.note("encoder_tokens", n, "derived: tiles × (patches + 1)")
	return n
}

var mllamaTower = defaults{
	"hidden_size": 1280, "attention_heads": 16, "num_hidden_layers": 32, "num_global_layers": 8, "intermediate_size": 5120,
	"vision_output_dim": 7680, "image_size": 448, "patch_size": 14, "max_num_tiles": 4, "max_aspect_ratio_id": 8,
}

// mllamaVision has local and global layers, the latter gated, and learned
// embeddings of a tile's place for each aspect ratio.
func mllamaVision(v, _ *cfg, m *model.Model) []model.Tensor {
	v = v.withDefaults("mllama vision", mllamaTower)
	s, d := transformer(v)
	s.attn.QKVBias, s.attn.OutBias = false, false
	p, tiles, ratios := v.need("patch_size"), v.need("max_num_tiles"), v.need("max_aspect_ratio_id")+1
	side := div(v.need("image_size"), p)
	n := side*side + 1
	ts := append(patches(d, p, 1, false), model.Vec("v.class_embd", model.Vector, d),
		learned("v.position_embd.weight", n, d), model.Vec("v.position_embd.gate", model.Vector, 1),
		learned("v.tile_position_embd.weight", ratios, tiles*n*d),
		learned("v.pre_tile_embd.weight", ratios, tiles*d), model.Vec("v.pre_tile_embd.gate", model.Vector, 1),
		learned("v.post_tile_embd.weight", ratios, tiles*d), model.Vec("v.post_tile_embd.gate", model.Vector, 1))
	ts = appendNorm(appendNorm(ts, "v.pre_ln", layerNorm, d), "v.post_ln", layerNorm, d)
	ts = s.append(ts, d, model.Vision)
	global := s
	global.layers = int(v.need("num_global_layers"))
	from := len(ts)
	ts = global.append(ts, d, model.Vision)
	for i := from; i < len(ts); i++ {
		ts[i].Name = "v.global." + ts[i].Name
	}
	ts = append(ts, model.Vec("v.global.gates", model.Vector, 2*int64(global.layers)))
	return append(ts, linear("mm.0", m.Hidden, v.need("vision_output_dim"))...)
}
