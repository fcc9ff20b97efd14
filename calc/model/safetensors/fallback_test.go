package safetensors

import (
	"errors"
	"strings"
	"testing"

	"hwledger/calc/model"
)

// A family nobody knows, with the sizes of Devstral-Small-2507, whose index
// prints 23572403200 parameters.
const unheardOf = `{"model_type":"unheard_of","hidden_size":5120,"intermediate_size":32768,"num_hidden_layers":40,"num_attention_heads":32,"head_dim":128,"vocab_size":131072}`

func TestFromHeaders(t *testing.T) {
	cause := errors.New("unknown family")
	var c checkpoint
	c.decoder(devstralDims, "BF16")
	c.add("lm_head.weight", "BF16", 131072, 5120)
	m, err := FromHeaders([]byte(unheardOf), c.tensors, cause)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Count().Total; got != 23572403200 || storedBytes(m) != 47144806400 {
		t.Errorf("%d parameters in %d bytes", got, storedBytes(m))
	}
	a, ok := m.Layers[39].Mixers[0].(*model.Attention)
	if !ok || a.Heads != 32 || a.KVHeads != 8 || a.KeyDim != 128 || a.ValueDim != 128 || a.Window != 0 {
		t.Errorf("got %+v", a)
	}
}

// Anything but full attention in every layer is refused with the cause.
func TestFromHeadersRefuses(t *testing.T) {
	cause := errors.New("unknown family")
	for name, change := range map[string]func(config *string, c *checkpoint){
		"window": func(s *string, _ *checkpoint) { *s = strings.Replace(*s, "{", `{"sliding_window":4096,`, 1) },
		"layer types": func(s *string, _ *checkpoint) {
			*s = strings.Replace(*s, "{", `{"layer_types":["linear_attention"],`, 1)
		},
		"latent":       func(s *string, _ *checkpoint) { *s = strings.Replace(*s, "{", `{"kv_lora_rank":512,`, 1) },
		"state":        func(_ *string, c *checkpoint) { c.add("model.layers.0.mamba.A_log", "F32", 16) },
		"one key less": func(_ *string, c *checkpoint) { c.tensors = drop(c.tensors, "model.layers.8.self_attn.k_proj.weight") },
		"packed":       func(_ *string, c *checkpoint) { c.tensors[4].DType = "I32" },
		"no layers": func(s *string, _ *checkpoint) {
			*s = strings.Replace(*s, `"num_hidden_layers":40`, `"num_hidden_layers":0`, 1)
		},
		"odd head": func(s *string, _ *checkpoint) { *s = strings.Replace(*s, `"head_dim":128`, `"head_dim":96`, 1) },
		"not JSON": func(s *string, _ *checkpoint) { *s = "{" },
	} {
		config := unheardOf
		var c checkpoint
		c.decoder(devstralDims, "BF16")
		change(&config, &c)
		if _, err := FromHeaders([]byte(config), c.tensors, cause); !errors.Is(err, cause) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func drop(ts []Tensor, name string) []Tensor {
	var out []Tensor
	for _, t := range ts {
		if t.Name != name {
			out = append(out, t)
		}
	}
	return out
}
