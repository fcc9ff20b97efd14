package tgi

import "hwledger/calc/model"

// heads are the counts that TGI takes for all layers.
type heads struct {
	query, kv, size int64
	// latent: MLA, whose keys and values TGI expands.
	latent bool
}

// headsOf returns the model's head counts: the largest, where layers differ,
// because every layer's cache has one shape. MLA keeps keys and values of all
// heads, both as wide as the key (models/__init__.py, head_size).
func headsOf(m *model.Model) heads {
	var h heads
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch x := x.(type) {
			case *model.Attention:
				h.query, h.kv, h.size = max(h.query, x.Heads), max(h.kv, x.KVHeads), max(h.size, x.KeyDim, x.ValueDim)
			case *model.MLA:
				// TGI reads the size of the unrotated part by a name that
				// configurations do not have, and so takes 128 + 64.
				h.query, h.kv, h.size, h.latent = x.Heads, x.Heads, max(192, x.ValDim), true
			}
		}
	}
	return h
}

// kind is how TGI serves a model.
type kind uint8

const (
	pagedCache kind = iota
	recurrent       // Mamba: states, no pages
	grown           // T5: a cache as long as the batch
)

// kindOf returns how TGI serves the model, or *model.Error when it does not.
func kindOf(m *model.Model) (kind, error) {
	refuse := func(format string, args ...any) *model.Error {
		return model.Errorf(model.UnsupportedArchitecture, "model_type", format, args...).WithHint("plan with vllm or llama.cpp")
	}
	switch {
	case m.Format == model.FormatGGUF:
		return 0, refuse("TGI's own backend reads no GGUF files")
	case m.EncDec && m.Type == "t5":
		return grown, nil
	case m.EncDec:
		return 0, refuse("of encoder-decoder models TGI serves T5 only, not %s", m.Type)
	case !m.Causal:
		return 0, refuse("TGI generates text; %s is an encoder", m.Type).WithHint("text-embeddings-inference serves encoders")
	}
	states := 0
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch x.(type) {
			case *model.Attention:
			case model.None, *model.None:
				return 0, refuse("TGI gives every layer a cache; %s has layers without attention", m.Type)
			case *model.MLA:
				if m.Type != "deepseek_v2" && m.Type != "deepseek_v3" {
					return 0, refuse("of models with latent attention TGI has deepseek_v2 and deepseek_v3, not %s", m.Type)
				}
			case *model.Mamba1:
				states++
			default:
				return 0, refuse("TGI has no %s layers", x.Kind())
			}
		}
	}
	switch {
	case states == len(m.Layers) && states > 0 && (m.Type == "mamba" || m.Type == "ssm"):
		return recurrent, nil
	case states > 0:
		return 0, refuse("of recurrent models TGI serves plain Mamba only, not %s", m.Type)
	case headsOf(m).kv == 0:
		return 0, refuse("the description has no attention layers")
	}
	return pagedCache, nil
}
