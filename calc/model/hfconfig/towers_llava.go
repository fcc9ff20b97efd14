package hfconfig

import "hwledger/calc/model"

func init() {
	vision := func(list func(v, c *cfg, m *model.Model) []model.Tensor) towerPart {
		return towerPart{"vision_config", model.Vision, list}
	}
	registerParts("gemma3", vision(gemma3Vision))
	registerParts("gemma4", vision(gemma4Vision))
	registerParts("llava", towerPart{"", model.Vision, llavaTower})
	registerParts("llava_next", towerPart{"", model.Vision, llavaTower})
	register("llava", llama, nil)
	registerParts("mistral3", vision(pixtralVision))
	registerParts("llama4", vision(llama4Vision))
	registerParts("lfm2_vl", vision(lfm2Vision))
	registerParts("minimax_m3_vl", vision(minimaxVision))
	registerParts("internvl_chat", vision(internVision))
	registerParts("phi3_v", towerPart{"", model.Vision, phi3Vision})
	registerParts("voxtral", towerPart{"audio_config", model.Audio, voxtralAudio})
	// Wrappers write only what differs from the text model's class.
	registerNested("llama", defaults{
		"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
		"vocab_size": 32000, "max_position_embeddings": 2048,
	})
	registerNested("mistral", defaults{
		"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
		"num_key_value_heads": 8, "vocab_size": 32000,
	})
}

// gemma3Vision is SigLIP with a projection and its norm.
func gemma3Vision(v, _ *cfg, m *model.Model) []model.Tensor {
	d := v.need("hidden_size")
	return append(siglip(v), model.Matrix("mm.input_projection.weight", m.Hidden, d), model.Vec("mm.soft_emb_norm.weight", model.Norm, d))
}

// gemma4Vision has a table of positions for each axis, attention and gated
// network without biases, queries and keys normalised by head, four norms in
// a layer, and a projection after a norm without weights. The two vectors of
// standardize are not among the published parameters.
func gemma4Vision(v, c *cfg, m *model.Model) []model.Tensor {
	d, h := v.need("hidden_size"), v.need("num_attention_heads")
	dim := v.int(div(d, h), "head_dim")
	s := stack{
		layers: int(v.need("num_hidden_layers")), ffn: model.FFN{Gated: true, Width: v.need("intermediate_size")}, norm: rmsNorm,
		attn: model.Attention{SharedFrom: -1, Heads: h, KVHeads: v.int(h, "num_key_value_heads"), KeyDim: dim, ValueDim: dim, Norms: model.HeadQKNorm},
	}
	if b := v.bool(false, "attention_bias"); b {
		s.attn.QKVBias, s.attn.OutBias = true, true
	}
	ts := append(patches(d, v.need("patch_size"), 1, false), learned("v.position_embd.weight", 2*v.need("position_embedding_size"), d))
	ts = s.append(ts, d, model.Vision)
	for i := range s.layers {
		ts = append(ts, model.Vec(indexed("v.blk", i, "post_attention_norm.weight"), model.Norm, d), model.Vec(indexed("v.blk", i, "post_ffw_norm.weight"), model.Norm, d))
	}
	if v.bool(false, "use_clipped_linears") {
		c.inexact("vision_config.use_clipped_linears", "the scalar bounds of each matrix are not counted")
	}
	return append(ts, model.Matrix("mm.input_projection.weight", m.Hidden, d))
}

// llavaTower finds the tower of a LLaVA: described in vision_config, or, in
// the original form, only named.
func llavaTower(_, c *cfg, m *model.Model) []model.Tensor {
	if v := c.child("vision_config"); v != nil {
		return llavaVision(v, c, m)
	}
	name, kind := c.str("mm_vision_tower"), c.str("mm_projector_type")
	if name != "openai/clip-vit-large-patch14-336" || kind != "mlp2x_gelu" {
		c.note("mm_vision_tower", "weights not counted", "the tower "+name+" with projector "+kind+" is not known")
		return nil
	}
	ts := append(clip(clipLarge(c)), linear("mm.0", m.Hidden, 1024)...)
	return append(ts, linear("mm.2", m.Hidden, m.Hidden)...)
}

// llavaVision is CLIP (or SigLIP) with a projector of two layers. LLaVA-NeXT
// learns the row that ends a line of patches.
func llavaVision(v, c *cfg, m *model.Model) []model.Tensor {
	var ts []model.Tensor
	switch kind := v.str("model_type"); kind {
	case "clip_vision_model":
		ts = clip(v)
	case "siglip_vision_model":
		ts = siglip(v)
	case "pixtral":
		return pixtralVision(v, c, m)
	default:
		c.note("vision_config", "weights not counted", "the tower "+kind+" is not known")
		return nil
	}
	ts = append(append(ts, linear("mm.0", m.Hidden, v.need("hidden_size"))...), linear("mm.2", m.Hidden, m.Hidden)...)
	if c.rootType == "llava_next" {
		ts = append(ts, model.Vec("v.image_newline", model.Vector, m.Hidden))
	}
	return ts
}

// pixtralVision has rotary positions, no biases, a gated network and norms
// without bias. Mistral-3 merges patches before its projector, with a norm.
func pixtralVision(v, c *cfg, m *model.Model) []model.Tensor {
	v = v.withDefaults("pixtral", defaults{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 16})
	s, d := transformer(v)
	s.attn.QKVBias, s.attn.OutBias, s.ffn.Bias, s.ffn.Gated, s.norm = false, false, false, true, rmsNorm
	ts := appendNorm(patches(d, v.need("patch_size"), 1, false), "v.pre_ln", rmsNorm, d)
	ts = s.append(ts, d, model.Vision)
	bias := c.bool(c.rootType != "mistral3", "multimodal_projector_bias")
	if merge := c.int(1, "spatial_merge_size"); c.rootType == "mistral3" {
		ts = append(ts, model.Vec("mm.input_norm.weight", model.Norm, d), model.Matrix("mm.patch_merger.weight", d, d*merge*merge))
	}
	ts = append(ts, model.Matrix("mm.1.weight", m.Hidden, d), model.Matrix("mm.2.weight", m.Hidden, m.Hidden))
	if bias {
		ts = append(ts, model.Vec("mm.1.bias", model.Bias, m.Hidden), model.Vec("mm.2.bias", model.Bias, m.Hidden))
	}
	return ts
}

// llama4Vision has a class token, learned positions, norms before and after,
// and an adapter over shuffled pixels before the projector.
func llama4Vision(v, _ *cfg, m *model.Model) []model.Tensor {
	v = v.withDefaults("llama4 vision", defaults{"pixel_shuffle_ratio": 0.5, "projector_output_dim": 4096, "projector_input_dim": 4096, "vision_output_dim": 4096})
	s, d := transformer(v)
	p := v.need("patch_size")
	side := div(v.need("image_size"), p)
	ts := append(patches(d, p, 1, false), model.Vec("v.class_embd", model.Vector, d), learned("v.position_embd.weight", side*side+1, d))
	ts = s.append(appendNorm(ts, "v.pre_ln", layerNorm, d), d, model.Vision)
	ts = appendNorm(ts, "v.post_ln", layerNorm, d)
	r := v.float(0.5, "pixel_shuffle_ratio")
	if r <= 0 || r > 1 {
		v.fail(model.MalformedFile, "pixel_shuffle_ratio", "%v is not between 0 and 1", r)
		return nil
	}
	in, mid, out := int64(float64(d)/(r*r)), v.need("projector_input_dim"), v.need("projector_output_dim")
	return append(ts, model.Matrix("v.adapter.fc1.weight", mid, in), model.Matrix("v.adapter.fc2.weight", out, mid),
		model.Matrix("mm.model.fc.weight", m.Hidden, v.need("vision_output_dim")))
}

// lfm2Vision is SigLIP 2 over patches merged by downsample_factor.
func lfm2Vision(v, c *cfg, m *model.Model) []model.Tensor {
	f := c.int(2, "downsample_factor")
	in, mid := v.need("hidden_size")*f*f, c.int(2560, "projector_hidden_size")
	ts := siglip(v)
	if c.bool(true, "projector_use_layernorm") {
		ts = appendNorm(ts, "mm.input_norm", layerNorm, in)
	}
	ts = append(ts, model.Matrix("mm.1.weight", mid, in), model.Matrix("mm.2.weight", m.Hidden, mid))
	if c.bool(true, "projector_bias") {
		ts = append(ts, model.Vec("mm.1.bias", model.Bias, mid), model.Vec("mm.2.bias", model.Bias, m.Hidden))
	}
	return ts
}

// minimaxVision is CLIP-like with rotary positions: no class token, a norm
// before the layers only, and two projectors around the merging of patches.
func minimaxVision(v, c *cfg, m *model.Model) []model.Tensor {
	s, d := transformer(v)
	t, merge := int64(2), int64(2)
	if k := v.child("img_token_compression_config"); k != nil {
		t, merge = k.int(2, "temporal_patch_size"), k.int(2, "spatial_merge_size")
	}
	ts := appendNorm(patches(d, v.need("patch_size"), t, false), "v.pre_ln", layerNorm, d)
	ts = s.append(ts, d, model.Vision)
	p := c.int(m.Hidden, "projector_hidden_size")
	for _, l := range [...]struct {
		name    string
		out, in int64
	}{{"mm.1", p, d}, {"mm.2", m.Hidden, p}, {"mm.merge_1", p, m.Hidden * merge * merge}, {"mm.merge_2", m.Hidden, p}} {
		ts = append(ts, linear(l.name, l.out, l.in)...)
	}
	return ts
}

// internVision is InternViT: layer scales, optional norms on queries and keys
// over all heads, and a projector over shuffled pixels with a norm.
func internVision(v, c *cfg, m *model.Model) []model.Tensor {
	s, d := transformer(v)
	s.attn.QKVBias = v.bool(false, "qkv_bias")
	if v.bool(false, "qk_normalization") {
		s.attn.Norms = model.FullQKNorm
	}
	if v.str("norm_type") == "rms_norm" {
		s.norm = rmsNorm
	}
	p := v.need("patch_size")
	side := div(v.need("image_size"), p)
	ts := append(patches(d, p, 1, true), model.Vec("v.class_embd", model.Vector, d), learned("v.position_embd.weight", side*side+1, d))
	ts = s.append(ts, d, model.Vision)
	for i := range s.layers {
		ts = append(ts, model.Vec(indexed("v.blk", i, "ls1.weight"), model.Vector, d), model.Vec(indexed("v.blk", i, "ls2.weight"), model.Vector, d))
	}
	r := c.float(0.5, "downsample_ratio")
	if r <= 0 || r > 1 {
		c.fail(model.MalformedFile, "downsample_ratio", "%v is not between 0 and 1", r)
		return nil
	}
	in := int64(float64(d) / (r * r))
	ts = appendNorm(ts, "mm.input_norm", layerNorm, in)
	return append(append(ts, linear("mm.1", m.Hidden, in)...), linear("mm.3", m.Hidden, m.Hidden)...)
}

// phi3Vision is CLIP-L/14 at 336 pixels, which the configuration only names,
// with learned separators and a projector over four patches.
func phi3Vision(_, c *cfg, m *model.Model) []model.Tensor {
	img := c.child("img_processor")
	if img == nil {
		c.note("img_processor", "weights not counted", "the configuration does not give it")
		return nil
	}
	if name := img.str("model_name"); name != "openai/clip-vit-large-patch14-336" {
		c.note("img_processor", "weights not counted", "the tower "+name+" is not known")
		return nil
	}
	ts := clip(clipLarge(c))
	in := 4 * img.int(1024, "image_dim_out")
	ts = append(ts, model.Vec("v.glb_gn", model.Vector, in), model.Vec("v.sub_gn", model.Vector, in))
	return append(append(ts, linear("mm.0", m.Hidden, in)...), linear("mm.2", m.Hidden, m.Hidden)...)
}

// clipLarge is the configuration of CLIP ViT-L/14 at 336 pixels.
func clipLarge(c *cfg) *cfg {
	e := &cfg{record: c.record, path: "vision_tower."}
	return e.withDefaults("clip-vit-large-patch14-336", defaults{
		"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 14, "image_size": 336,
	})
}

// voxtralAudio is the Whisper encoder with a projector over four frames.
func voxtralAudio(v, _ *cfg, m *model.Model) []model.Tensor {
	d := v.need("hidden_size")
	in := v.int(4*d, "intermediate_size")
	return append(whisperEncoder(v, d, model.Audio), model.Matrix("mm.a.1.weight", m.Hidden, in), model.Matrix("mm.a.2.weight", m.Hidden, m.Hidden))
}
