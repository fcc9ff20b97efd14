package hfconfig

import (
	"strings"

	"hwledger/calc/model"
)

func init() {
	vit := defaults{"image_size": 224, "patch_size": 16, "num_channels": 3, "qkv_bias": true}
	register("vit", imageEncoder, vit)
	register("dinov2", imageEncoder, vit.and(defaults{"patch_size": 14, "mlp_ratio": 4}))
	speech := defaults{
		"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
		"num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16, "feat_extract_norm": "group", "conv_bias": false,
		"mask_time_prob": 0.05, "feat_proj_layer_norm": true,
	}
	for _, t := range []string{"wav2vec2", "hubert"} {
		register(t, speechEncoder, speech)
	}

	register("clip_text_model", contrastiveText, defaults{
		"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8, "max_position_embeddings": 77,
	})
	register("siglip_text_model", contrastiveText, defaults{
		"vocab_size": 32000, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 64,
	})
	for root, text := range map[string]string{"clip": "clip_text_model", "siglip": "siglip_text_model"} {
		// Older files leave the text model's own type out.
		register(root, contrastiveText, registry[text].def)
	}
	registerTower("clip", clipImage)
	registerTower("siglip", siglipImage)
}

// newSensor starts an encoder of images or sound, whose norms and matrices all
// have biases and come before what they normalise for.
func newSensor(c *cfg) *decoder {
	d := newStack(c, "", 0)
	d.m.Causal, d.m.Tied = false, true
	d.norm, d.norms, d.layerNorms = layerNorm, 2, nil
	d.readLayers()
	d.readAttention()
	d.attn.QKVBias, d.attn.OutBias = true, true
	d.ffn = model.FFN{Bias: true}
	return d
}

// labelled appends a classifier over the labels when the class has one, and
// the pooler when it is the bare model that has one.
func (d *decoder) labelled(in int64, pooler bool) {
	labels, _ := d.obj["id2label"].(map[string]any)
	switch class := d.m.Architecture; {
	case strings.HasSuffix(class, "ForImageClassification") && len(labels) > 0:
		d.extra = append(d.extra, linear("classifier", int64(len(labels)), in)...)
	case pooler && strings.HasSuffix(class, "Model"):
		d.extra = append(d.extra, linear("pooler", d.m.Hidden, d.m.Hidden)...)
	}
}

// imageEncoder is ViT and DINOv2: patches, a class token and learned
// positions. DINOv2 scales what each half of a layer adds, has a token for
// masked patches, and classifies by the class token and the mean together.
func imageEncoder(c *cfg) (*model.Model, error) {
	d := newSensor(c)
	h := d.m.Hidden
	p := c.need("patch_size")
	side := div(c.need("image_size"), p)
	if n := c.int(3, "num_channels"); n != 3 {
		c.fail(model.UnsupportedArchitecture, "num_channels", "%d channels are not known", n)
	}
	d.attn.QKVBias = c.bool(true, "qkv_bias")
	dino := c.modelType == "dinov2"
	d.ffn.Width = c.int(0, "intermediate_size")
	head := h
	if dino {
		if c.bool(false, "use_swiglu_ffn") {
			c.fail(model.UnsupportedArchitecture, "use_swiglu_ffn", "the gated network of the giant model is not known")
		}
		d.ffn.Width, head = c.need("mlp_ratio")*h, 2*h
		d.perLayer = func(dst []model.Tensor, _ *model.Layer) []model.Tensor {
			return append(dst, model.Vec("attn_scale.weight", model.Vector, h), model.Vec("ffn_scale.weight", model.Vector, h))
		}
		d.extra = append(d.extra, model.Vec("mask_embd", model.Vector, h))
	}
	d.extra = append(d.extra, patches(h, p, 1, true)...)
	d.extra = append(d.extra, model.Vec("class_embd", model.Vector, h), learned("position_embd.weight", side*side+1, h))
	d.m.Context = side*side + 1 // what one image is for the encoder
	d.labelled(head, !dino)
	return d.build()
}

// speechEncoder is wav2vec 2.0 and HuBERT: convolutions over the samples, a
// projection, and positions from a grouped convolution stored as direction and
// length (weight norm). ForCTC classes have a projection to the vocabulary.
func speechEncoder(c *cfg) (*model.Model, error) {
	d := newSensor(c)
	h := d.m.Hidden
	d.ffn.Width = c.need("intermediate_size")
	dims, kernels := c.ints("conv_dim"), c.ints("conv_kernel")
	if dims == nil {
		dims = []int64{512, 512, 512, 512, 512, 512, 512}
	}
	if kernels == nil {
		kernels = []int64{10, 3, 3, 3, 3, 2, 2}
	}
	if len(dims) != len(kernels) || len(dims) == 0 || len(dims) > 64 {
		c.fail(model.MalformedFile, "conv_dim", "%d widths for %d kernels", len(dims), len(kernels))
		return d.build()
	}
	if c.bool(false, "add_adapter") {
		c.fail(model.UnsupportedArchitecture, "add_adapter", "the adapter after the encoder is not known")
	}
	bias, everyNorm := c.bool(false, "conv_bias"), c.str("feat_extract_norm") == "layer"
	in := int64(1)
	var ts []model.Tensor
	for i, out := range dims {
		ts = append(ts, model.Matrix(indexed("conv", i, "weight"), out, in*kernels[i]).As(model.Conv))
		if bias {
			ts = append(ts, model.Vec(indexed("conv", i, "bias"), model.Bias, out))
		}
		if everyNorm || i == 0 {
			ts = appendNorm(ts, indexed("conv", i, "norm"), layerNorm, out)
		}
		in = out
	}
	if c.bool(true, "feat_proj_layer_norm") {
		ts = appendNorm(ts, "feature_norm", layerNorm, in)
	}
	ts = append(ts, linear("feature_proj", h, in)...)
	if c.float(0, "mask_time_prob") > 0 || c.float(0, "mask_feature_prob") > 0 || c.modelType == "hubert" {
		ts = append(ts, model.Vec("mask_embd", model.Vector, h))
	}
	k, groups := c.need("num_conv_pos_embeddings"), c.need("num_conv_pos_embedding_groups")
	ts = append(ts, model.Matrix("position_conv.weight", h, div(h, groups)*k).As(model.Conv), model.Vec("position_conv.scale", model.Vector, k), model.Vec("position_conv.bias", model.Bias, h))
	if strings.HasSuffix(d.m.Architecture, "ForCTC") {
		ts = append(ts, linear("ctc_head", c.need("vocab_size"), h)...)
	}
	d.extra = ts
	return d.build()
}

// contrastiveText is the text encoder of CLIP and SigLIP. SigLIP projects its
// pooled row within the encoder.
func contrastiveText(c *cfg) (*model.Model, error) {
	d := newEncoder(c, "")
	h := d.m.Hidden
	d.attn.QKVBias, d.attn.OutBias = true, true
	d.ffn.Gated, d.ffn.Bias = false, true
	d.extra = append(d.extra, learned("position_embd.weight", c.need("max_position_embeddings"), h))
	if strings.HasPrefix(c.modelType, "siglip") {
		d.extra = append(d.extra, linear("head", c.int(h, "projection_size"), h)...)
	}
	return d.build()
}

// clipImage is CLIP's image encoder with both projections into the common
// space and the temperature.
func clipImage(c *cfg, m *model.Model) ([]model.Tensor, error) {
	v := c.child("vision_config")
	if v == nil {
		return nil, nil
	}
	v = v.withDefaults("clip_vision_model", defaults{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224, "patch_size": 32})
	dim := c.int(512, "projection_dim")
	ts := append(clip(v), model.Matrix("v.proj.weight", dim, v.need("hidden_size")), model.Matrix("t.proj.weight", dim, m.Hidden), model.Vec("logit_scale", model.Vector, 1))
	return inGroup(ts, 0, model.Vision), nil
}

// siglipImage is SigLIP's image encoder with the attention that pools patches,
// and temperature and bias of the score.
func siglipImage(c *cfg, _ *model.Model) ([]model.Tensor, error) {
	v := c.child("vision_config")
	if v == nil {
		return nil, nil
	}
	v = v.withDefaults("siglip_vision_model", defaults{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 224, "patch_size": 16})
	ts := siglipTrunk(v)
	h := v.need("hidden_size")
	if v.bool(true, "vision_use_head") {
		a := sided(h, v.need("num_attention_heads"), false)
		pool := appendNorm([]model.Tensor{model.Vec("probe", model.Vector, h)}, "norm", layerNorm, h)
		pool = model.FFN{Width: v.need("intermediate_size"), Bias: true}.AppendTensors(a.AppendTensors(pool, h), h)
		for i := range pool {
			pool[i].Name = "v.head." + pool[i].Name
		}
		ts = append(ts, pool...)
	}
	ts = append(ts, model.Vec("logit_scale", model.Vector, 1), model.Vec("logit_bias", model.Vector, 1))
	return inGroup(ts, 0, model.Vision), nil
}
