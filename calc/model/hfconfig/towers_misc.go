package hfconfig

import "hwledger/calc/model"

func init() {
	for _, t := range []string{"kimi_k25", "kimi_vl"} {
		registerParts(t, towerPart{"vision_config", model.Vision, moonViT})
	}
	registerParts("kimi_k3", towerPart{"vision_config", model.Vision, moonViT3})
	for _, t := range []string{"glm4v", "glm4v_moe"} {
		registerParts(t, towerPart{"vision_config", model.Vision, glm4Vision})
	}
	registerParts("mllama", towerPart{"vision_config", model.Vision, mllamaVision})
	registerParts("deepseek_vl_v2", towerPart{"vision_config", model.Vision, deepseekVision})
	registerParts("multi_modality", towerPart{"vision_config", model.Vision, janusVision})
}

// moonViT has learned positions on a grid and rotary ones beside them, and a
// projector over merged patches with a norm before the merging. The positions
// in time are fixed.
func moonViT(v, _ *cfg, m *model.Model) []model.Tensor {
	d := v.need("vt_hidden_size", "hidden_size")
	s := stack{
		layers: int(v.need("vt_num_hidden_layers", "num_hidden_layers")), norm: layerNorm,
		attn: sided(d, v.need("vt_num_attention_heads", "num_attention_heads"), false),
		ffn:  model.FFN{Width: v.need("vt_intermediate_size", "intermediate_size"), Bias: true},
	}
	ts := append(patches(d, v.need("patch_size"), 1, true), learned("v.position_embd.weight", v.need("init_pos_emb_height")*v.need("init_pos_emb_width"), d))
	ts = appendNorm(s.append(ts, d, model.Vision), "v.post_ln", layerNorm, d)
	ts = appendNorm(ts, "mm.input_norm", layerNorm, d)
	merge := int64(4)
	if k := v.ints("merge_kernel_size"); len(k) == 2 {
		merge = k[0] * k[1]
	}
	in := d * merge
	return append(append(ts, linear("mm.1", in, in)...), linear("mm.2", m.Hidden, in)...)
}

// moonViT3 is Kimi K3's tower: attention on a width of its own, norms without
// bias and no biases. Its projector is counted like the earlier one's.
func moonViT3(v, c *cfg, m *model.Model) []model.Tensor {
	c.inexact("vision_config.mm_projector_type", "counted as the projector of Kimi K2.5 without biases")
	d, qkv, h := v.need("vt_hidden_size"), v.need("qkv_hidden_size"), v.need("vt_num_attention_heads")
	dim := div(qkv, h)
	s := stack{
		layers: int(v.need("vt_num_hidden_layers")), norm: rmsNorm,
		attn: model.Attention{SharedFrom: -1, Heads: h, KVHeads: h, KeyDim: dim, ValueDim: dim},
		ffn:  model.FFN{Width: v.need("vt_intermediate_size")},
	}
	ts := append(patches(d, v.need("patch_size"), 1, false), learned("v.position_embd.weight", v.need("init_pos_emb_height")*v.need("init_pos_emb_width"), d))
	ts = appendNorm(s.append(ts, d, model.Vision), "v.post_ln", rmsNorm, d)
	return append(appendNorm(ts, "mm.input_norm", rmsNorm, d), model.Matrix("mm.1.weight", 4*d, 4*d), model.Matrix("mm.2.weight", m.Hidden, 4*d))
}

// glm4Vision has norms without bias, gated networks of the output's width, a
// convolution that merges patches, and a gated projector.
func glm4Vision(v, _ *cfg, m *model.Model) []model.Tensor {
	d, out := v.need("hidden_size"), v.int(m.Hidden, "out_hidden_size")
	bias := v.bool(false, "attention_bias")
	s := stack{int(v.need("depth")), sided(d, v.need("num_heads"), false), model.FFN{Gated: true, Width: out}, rmsNorm}
	s.attn.QKVBias, s.attn.OutBias = bias, false
	p, merge := v.need("patch_size"), v.int(2, "spatial_merge_size")
	side := div(v.need("image_size"), p)
	ts := append(patches(d, p, v.int(2, "temporal_patch_size"), true), learned("v.position_embd.weight", side*side, d))
	ts = s.append(appendNorm(ts, "v.post_conv_norm", rmsNorm, d), d, model.Vision)
	ts = append(appendNorm(ts, "v.post_ln", rmsNorm, d), linear("mm.downsample", out, d*merge*merge)...)
	ts = appendNorm(append(ts, model.Matrix("mm.proj.weight", out, out)), "mm.post_norm", layerNorm, out)
	return model.FFN{Gated: true, Width: v.need("intermediate_size")}.AppendTensors(ts, out)
}

// deepseekVision is SigLIP-so400m and a projector over four patches. The
// configuration does not say the projector's depth and separators.
func deepseekVision(v, c *cfg, m *model.Model) []model.Tensor {
	v = v.withDefaults("siglip_so400m_patch14_384", defaults{"heads": 16, "intermediate_size": 4304, "image_size": 384, "patch_size": 14, "width": 1152, "layers": 27})
	c.inexact("projector_config", "counted as two layers over four patches; the tower's pooling head is not counted")
	ts := siglip(v)
	return append(append(ts, linear("mm.0", m.Hidden, 4*v.need("width"))...), linear("mm.2", m.Hidden, m.Hidden)...)
}

// janusVision is SigLIP-L at 384 pixels with its aligner. The generator of
// images and its aligner are not counted.
func janusVision(v, c *cfg, m *model.Model) []model.Tensor {
	p := v.child("params")
	if p == nil {
		c.lack("vision_config.params")
		return nil
	}
	if name := p.str("model_name"); name != "siglip_large_patch16_384" {
		c.note("vision_config", "weights not counted", "the tower "+name+" is not known")
		return nil
	}
	c.inexact("gen_vision_config", "the image generator, its head and its aligner are not counted")
	p = p.withDefaults("siglip_large_patch16_384", defaults{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 16, "image_size": 384})
	ts := siglip(p)
	return append(append(ts, linear("mm.0", m.Hidden, p.need("hidden_size"))...), linear("mm.2", m.Hidden, m.Hidden)...)
}
