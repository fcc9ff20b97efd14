package hfconfig

import (
	"strings"

	"hwledger/calc/model"
)

// ParseDraft describes a draft model of the EAGLE-3 kind by its configuration:
// one layer whose queries, keys and values are computed from the embedding and
// the hidden row side by side, a projection of three of the target's hidden
// rows to one, and an output projection to the draft's own vocabulary
// (vllm llama_eagle3.py). The token embedding is the target's unless the files
// hold one, and is not counted. Other kinds are UnsupportedArchitecture: what
// they weigh does not follow from their configuration.
func ParseDraft(raw []byte) (*model.Model, error) {
	root, err := decode(raw)
	if err != nil {
		return nil, err
	}
	rec := &record{read: map[string]bool{}}
	rec.rootType, _ = root["model_type"].(string)
	rec.modelType = "eagle3"
	c := &cfg{record: rec, obj: root}
	top := c
	class := strings.ToLower(c.class())
	algorithm, _ := root["speculators_model_type"].(string)
	if !strings.Contains(class, "eagle3") && algorithm != "eagle3" {
		return nil, model.Errorf(model.UnsupportedArchitecture, "architectures", "the weights of this draft model do not follow from its configuration").
			WithHint("give its safetensors files beside the configuration")
	}
	if inner, ok := root["transformer_layer_config"].(map[string]any); ok {
		c = &cfg{record: rec, obj: inner, up: root, path: "transformer_layer_config."}
	}
	d := newDecoder(c, "")
	d.m.Role = model.RoleDraft
	h := d.m.Hidden
	d.attn.In = 2 * h
	d.norms = 3
	vocab := top.int(0, "draft_vocab_size")
	if vocab == 0 {
		vocab = d.m.Vocab
	}
	target := top.int(h, "target_hidden_size")
	m, err := d.build()
	if err != nil {
		return nil, err
	}
	kept := m.Tensors[:0]
	for _, t := range m.Tensors {
		switch t.Part {
		case model.Embedding:
			continue
		case model.Head:
			t.Out = vocab
		}
		kept = append(kept, t)
	}
	fc := model.Matrix("fc.weight", h, 3*target)
	fc.Layer = -1
	m.Tensors = append(kept, fc)
	if err := checkSize(m); err != nil {
		return nil, err
	}
	c.note("token embedding", "not counted", "the target model's is used unless the draft's files hold one")
	m.Facts = c.facts
	return m, nil
}
