package lmstudio_test

import (
	"errors"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/engine/llamacpp"
	"hwledger/calc/engine/lmstudio"
	"hwledger/calc/engine/mlx"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

func studio() engine.Engine { return lmstudio.New(llamacpp.LMStudio(), mlx.LMStudio()) }

const config = `{"architectures":["Qwen3_5ForCausalLM"],"model_type":"qwen3_5_text","hidden_size":1024,"num_hidden_layers":24,"num_attention_heads":8,
	"num_key_value_heads":2,"head_dim":256,"intermediate_size":3584,"vocab_size":248320,"full_attention_interval":4,"linear_num_key_heads":16,
	"linear_num_value_heads":16,"linear_key_head_dim":128,"linear_value_head_dim":128,"linear_conv_kernel_dim":4,"max_position_embeddings":262144,
	"tie_word_embeddings":true,"dtype":"bfloat16"}`

func small(t *testing.T) *model.Model {
	t.Helper()
	m, err := hfconfig.Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func assumed(u *engine.Usage, field string) string {
	for _, a := range u.Assumed {
		if a.Field == field {
			return a.Value
		}
	}
	return ""
}

func total(u *engine.Usage, c engine.Category) (n engine.Bytes) {
	for i := range u.Terms {
		if u.Terms[i].Category == c {
			n += u.Terms[i].Bytes
		}
	}
	return n
}

func load(weights string, flags engine.Flags) engine.Load {
	return engine.Load{ContextTokens: 8192, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1, Weights: weights, Flags: flags}
}

// The runtime follows from how the weights are stored, or from the flag.
func TestRuntime(t *testing.T) {
	mac := engine.Hardware{Devices: []engine.Device{{Name: "Mac", Vendor: "apple", Kind: engine.Unified, Total: 64 << 30, Free: 64 << 30, Usable: 48 << 30}}}
	for _, c := range []struct {
		weights string
		flags   engine.Flags
		want    string
	}{
		{"Q4_K_M", nil, "llama.cpp"}, {"", nil, "llama.cpp"}, {"mlx-4bit", nil, "mlx"},
		{"", engine.Flags{"runtime": "mlx"}, "mlx"}, {"Q4_K_M", engine.Flags{"runtime": "gguf"}, "llama.cpp"},
	} {
		u, err := studio().Plan(small(t), load(c.weights, c.flags), mac)
		if err != nil {
			t.Fatalf("%s %v: %v", c.weights, c.flags, err)
		}
		if got := assumed(u, "flags.runtime"); got != c.want || u.Engine != "lmstudio" {
			t.Errorf("%s %v: %s runtime under %s, want %s", c.weights, c.flags, got, u.Engine, c.want)
		}
	}
}

// Four slots share the context: the cache is that of one sequence, the states
// of the recurrent layers are those of four.
func TestSlots(t *testing.T) {
	four, err := studio().Plan(small(t), load("Q4_K_M", nil), engine.Hardware{})
	if err != nil {
		t.Fatal(err)
	}
	one, err := studio().Plan(small(t), load("Q4_K_M", engine.Flags{"n_parallel": 1}), engine.Hardware{})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := total(four, engine.KVCache), total(one, engine.KVCache); a != b {
		t.Errorf("cache of four slots %v, of one %v", a, b)
	}
	if a, b := total(four, engine.State), total(one, engine.State); a != 4*b || b == 0 {
		t.Errorf("states of four slots %v, of one %v", a, b)
	}
	if c := four.Cache; c.MaxConcurrency != 1 || c.CapacityTokens != 8192 {
		t.Errorf("%d tokens for %g sequences of 8192", c.CapacityTokens, c.MaxConcurrency)
	}
	if got := assumed(four, "flags.n_parallel"); got != "4" {
		t.Errorf("%s slots assumed", got)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		flags engine.Flags
		field string
	}{
		{engine.Flags{"runtime": "onnx"}, "flags.runtime"},
		{engine.Flags{"kv_bits": 4}, "flags.kv_bits"},
		{engine.Flags{"runtime": "mlx", "n_ubatch": 512}, "flags.n_ubatch"},
		{engine.Flags{"server": "omlx"}, "flags.server"},
	} {
		_, err := studio().Plan(small(t), load("", c.flags), engine.Hardware{})
		var e *model.Error
		if !errors.As(err, &e) || e.Field != c.field || e.Hint == "" {
			t.Errorf("%v: %v, want an error on %s with a hint", c.flags, err, c.field)
		}
	}
}
