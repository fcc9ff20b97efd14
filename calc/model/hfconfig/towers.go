package hfconfig

import (
	"strings"

	"hwledger/calc/model"
)

// towerPart is one tower of a wrapper: the key of its configuration, "" for
// the root itself, and the function that lists its weights with the
// projector's. v is the tower's configuration, c the root, m the text model.
type towerPart struct {
	key   string
	group model.Group
	list  func(v, c *cfg, m *model.Model) []model.Tensor
}

// registerParts makes the parts the tower of the wrapper model_type. A part
// whose configuration is absent or incomplete is recorded as not counted: it
// does not make the model unreadable.
func registerParts(modelType string, parts ...towerPart) {
	registerTower(modelType, func(c *cfg, m *model.Model) ([]model.Tensor, error) {
		var ts []model.Tensor
		for _, p := range parts {
			ts = append(ts, p.build(c, m)...)
		}
		return ts, nil
	})
}

func (p towerPart) build(c *cfg, m *model.Model) []model.Tensor {
	v := c
	for _, k := range strings.Split(p.key, ".") {
		if k == "" {
			break
		}
		if v = v.child(k); v == nil {
			m.Multimodal = true
			c.note(p.key, "weights not counted", "the configuration does not give it")
			return nil
		}
	}
	known, facts := len(c.missing), len(c.facts)
	ts := p.list(v, c, m)
	p.qualify(c.facts[facts:])
	if lacking := c.missing[known:]; len(lacking) > 0 {
		m.Multimodal = true
		c.note(p.key, "weights not counted", "the configuration does not give "+strings.Join(lacking, ", "))
		c.missing = c.missing[:known]
		return nil
	}
	return inGroup(ts, 0, p.group)
}

// qualify names the facts about the tower's own keys by their path: the text
// model has keys of the same names.
func (p towerPart) qualify(facts []model.Fact) {
	key := p.key
	if key == "" {
		key = "vision_config"
	}
	for i := range facts {
		f := &facts[i]
		own := strings.Contains(f.From, key+".") || strings.HasPrefix(f.From, "class default")
		if own && !strings.HasPrefix(f.Field, key) {
			f.Field = key + "." + f.Field
		}
	}
}

// linear returns a matrix of a tower with its bias.
func linear(name string, out, in int64) []model.Tensor {
	return []model.Tensor{model.Matrix(name+".weight", out, in), model.Vec(name+".bias", model.Bias, out)}
}

// patches returns the patch embedding: a convolution over squares of size p,
// t frames deep.
func patches(d, p, t int64, bias bool) []model.Tensor {
	ts := []model.Tensor{model.Matrix("v.patch_embd.weight", d, 3*t*p*p).As(model.Conv)}
	if bias {
		ts = append(ts, model.Vec("v.patch_embd.bias", model.Bias, d))
	}
	return ts
}

// learned returns learned positions.
func learned(name string, n, d int64) model.Tensor {
	return model.Matrix(name, n, d).As(model.Embedding)
}

// transformer reads the layers of a vision transformer with biases and
// LayerNorm.
func transformer(v *cfg) (s stack, d int64) {
	d = v.need("hidden_size", "embed_dim", "width")
	s = stack{
		layers: int(v.need("num_hidden_layers", "depth", "layers")),
		attn:   sided(d, v.need("num_attention_heads", "num_heads", "attention_heads", "heads"), false),
		ffn:    model.FFN{Width: v.need("intermediate_size"), Bias: true}, norm: layerNorm,
	}
	return s, d
}

// siglip returns a SigLIP tower without pooling head, and says so of one that
// has it.
func siglip(v *cfg) []model.Tensor {
	if v.bool(false, "vision_use_head") {
		v.inexact("vision_use_head", "the pooling head is not counted")
	}
	return siglipTrunk(v)
}

// siglipTrunk returns what precedes SigLIP's pooling head. SigLIP 2 gives the
// number of patches instead of an image size.
func siglipTrunk(v *cfg) []model.Tensor {
	s, d := transformer(v)
	p := v.need("patch_size")
	n, ok := v.maybe("num_patches")
	if !ok {
		side := div(v.need("image_size"), p)
		n = side * side
	}
	ts := append(patches(d, p, 1, true), learned("v.position_embd.weight", n, d))
	return appendNorm(s.append(ts, d, model.Vision), "v.post_ln", layerNorm, d)
}

// clip returns a CLIP tower with its class token and without projection.
func clip(v *cfg) []model.Tensor {
	s, d := transformer(v)
	p := v.need("patch_size")
	side := div(v.need("image_size"), p)
	ts := append(patches(d, p, 1, false), model.Vec("v.class_embd", model.Vector, d), learned("v.position_embd.weight", side*side+1, d))
	ts = appendNorm(ts, "v.pre_ln", layerNorm, d)
	return appendNorm(s.append(ts, d, model.Vision), "v.post_ln", layerNorm, d)
}
