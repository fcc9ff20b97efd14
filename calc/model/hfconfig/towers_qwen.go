package hfconfig

import "hwledger/calc/model"

func init() {
	vision := func(list func(v, c *cfg, m *model.Model) []model.Tensor) towerPart {
		return towerPart{"vision_config", model.Vision, list}
	}
	registerParts("qwen2_vl", vision(qwen2Vision))
	registerParts("qwen2_5_vl", vision(qwen25Vision))
	for _, t := range []string{"qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"} {
		registerParts(t, vision(qwen3Vision))
	}
	for _, at := range []struct{ suffix, nest string }{{"", "thinker_config."}, {"_thinker", ""}} {
		omni := func(t string, see, hear func(v, c *cfg, m *model.Model) []model.Tensor) {
			registerParts(t+at.suffix, towerPart{at.nest + "vision_config", model.Vision, see}, towerPart{at.nest + "audio_config", model.Audio, hear})
		}
		omni("qwen2_5_omni", qwen25Vision, qwen25Audio)
		omni("qwen3_omni_moe", qwen3Vision, qwen3Audio)
	}
	register("qwen2_5_omni_text", qwen2, nil)
	register("qwen3_omni_moe_text", qwen3MoE, nil)
}

// merger appends the projector of the Qwen towers: four neighbouring patches
// of width d through two layers to the width of the text model.
func merger(dst []model.Tensor, name string, d, merge, out int64) []model.Tensor {
	in := d * merge * merge
	return append(append(dst, linear(name+".0", in, in)...), linear(name+".2", out, in)...)
}

// qwen2Vision has patches two frames deep, a plain network of mlp_ratio times
// the width, and fused queries, keys and values.
func qwen2Vision(v, _ *cfg, m *model.Model) []model.Tensor {
	v = v.withDefaults("qwen2_vl vision", defaults{"mlp_ratio": 4, "temporal_patch_size": 2, "spatial_merge_size": 2, "embed_dim": 1280, "depth": 32, "num_heads": 16, "patch_size": 14})
	d := v.need("embed_dim")
	s := stack{int(v.need("depth")), sided(d, v.need("num_heads"), false), model.FFN{Width: d * v.need("mlp_ratio"), Bias: true}, layerNorm}
	ts := s.append(patches(d, v.need("patch_size"), v.need("temporal_patch_size"), false), d, model.Vision)
	ts = appendNorm(ts, "v.post_ln", layerNorm, d)
	return merger(ts, "mm", d, v.need("spatial_merge_size"), m.Hidden)
}

// qwen25Vision has a gated network and norms without bias.
func qwen25Vision(v, _ *cfg, m *model.Model) []model.Tensor {
	v = v.withDefaults("qwen2_5_vl vision", defaults{"temporal_patch_size": 2, "spatial_merge_size": 2, "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14})
	s, d := transformer(v)
	s.ffn.Gated, s.norm = true, rmsNorm
	ts := s.append(patches(d, v.need("patch_size"), v.need("temporal_patch_size"), false), d, model.Vision)
	ts = appendNorm(ts, "v.post_ln", rmsNorm, d)
	return merger(ts, "mm", d, v.need("spatial_merge_size"), v.int(m.Hidden, "out_hidden_size"))
}

// qwen3Vision has learned positions and, where deepstack_visual_indexes says
// so, a further merger after a layer, with its norm over the merged patches.
func qwen3Vision(v, c *cfg, m *model.Model) []model.Tensor {
	def := defaults{"temporal_patch_size": 2, "spatial_merge_size": 2, "num_position_embeddings": 2304}
	if c.rootType == "qwen3_vl" || c.rootType == "qwen3_vl_moe" {
		def["deepstack_visual_indexes"] = []any{8, 16, 24}
	}
	v = v.withDefaults("qwen3_vl vision", def)
	s, d := transformer(v)
	merge, out := v.need("spatial_merge_size"), v.int(m.Hidden, "out_hidden_size")
	ts := append(patches(d, v.need("patch_size"), v.need("temporal_patch_size"), true), learned("v.position_embd.weight", v.need("num_position_embeddings"), d))
	ts = appendNorm(s.append(ts, d, model.Vision), "v.post_ln", layerNorm, d)
	ts = merger(ts, "mm", d, merge, out)
	stacks := v.list("deepstack_visual_indexes")
	if len(stacks) > s.layers {
		v.fail(model.MalformedFile, "deepstack_visual_indexes", "%d entries for %d layers", len(stacks), s.layers)
		return nil
	}
	for i := range stacks {
		name := indexed("v.deepstack", i, "fc")
		ts = appendNorm(ts, indexed("v.deepstack", i, "norm"), layerNorm, d*merge*merge)
		ts = merger(ts, name, d, merge, out)
	}
	return ts
}

// qwen25Audio is a Whisper encoder with fixed positions, two learned marks for
// begin and end, and a projection.
func qwen25Audio(v, c *cfg, m *model.Model) []model.Tensor {
	c.inexact("talker_config", "only the thinker is counted, without speech output")
	d, out := v.need("d_model"), v.int(m.Hidden, "output_dim")
	ts := []model.Tensor{
		model.Matrix("a.conv1.weight", d, 3*v.int(128, "num_mel_bins")).As(model.Conv), model.Vec("a.conv1.bias", model.Bias, d),
		model.Matrix("a.conv2.weight", d, 3*d).As(model.Conv), model.Vec("a.conv2.bias", model.Bias, d),
		learned("a.bos_eos.weight", 2, out),
	}
	s := stack{int(v.need("encoder_layers")), sided(d, v.need("encoder_attention_heads"), true), model.FFN{Width: v.int(4*d, "encoder_ffn_dim"), Bias: true}, layerNorm}
	ts = appendNorm(s.append(ts, d, model.Audio), "a.output_norm", layerNorm, d)
	return append(ts, linear("mm.a.proj", out, d)...)
}

// qwen3Audio halves the spectrum three times with convolutions and projects
// the bands that are left; positions are fixed.
func qwen3Audio(v, c *cfg, m *model.Model) []model.Tensor {
	c.inexact("talker_config", "only the thinker is counted, without speech output")
	d, out := v.need("d_model"), v.int(m.Hidden, "output_dim")
	ch, bands := v.int(480, "downsample_hidden_size"), v.int(128, "num_mel_bins")
	for range 3 {
		bands = (bands + 1) / 2
	}
	ts := []model.Tensor{
		model.Matrix("a.conv1.weight", ch, 9).As(model.Conv), model.Vec("a.conv1.bias", model.Bias, ch),
		model.Matrix("a.conv2.weight", ch, 9*ch).As(model.Conv), model.Vec("a.conv2.bias", model.Bias, ch),
		model.Matrix("a.conv3.weight", ch, 9*ch).As(model.Conv), model.Vec("a.conv3.bias", model.Bias, ch),
		model.Matrix("a.conv_out.weight", d, ch*bands),
	}
	s := stack{int(v.need("encoder_layers")), sided(d, v.need("encoder_attention_heads"), false), model.FFN{Width: v.int(4*d, "encoder_ffn_dim"), Bias: true}, layerNorm}
	ts = appendNorm(s.append(ts, d, model.Audio), "a.output_norm", layerNorm, d)
	return append(append(ts, linear("mm.a.proj1", d, d)...), linear("mm.a.proj2", out, d)...)
}
