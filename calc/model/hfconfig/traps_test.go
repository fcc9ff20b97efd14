package hfconfig

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	"hwledger/calc/model"
)

// held returns the bytes that a sequence of tokens holds on one of tp ranks
// under an ideal allocator: 16-bit caches, fp8 index keys with a float32 scale
// for 128, float32 recurrent states.
func held(m *model.Model, tokens, tp int64) int64 {
	var n int64
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			for _, s := range x.AppendStores(nil, tp) {
				switch e := s.Entries(tokens) * s.Elems; s.Class {
				case model.IndexKey:
					n += e + e/128*4
				case model.State:
					n += 4 * e
				default:
					n += 2 * e
				}
			}
		}
	}
	return n
}

// slope is what one more token adds at length tokens.
func slope(m *model.Model, tokens int64) int64 { return held(m, tokens+1, 1) - held(m, tokens, 1) }

func kinds(m *model.Model) map[model.Kind]int {
	out := map[model.Kind]int{}
	for i := range m.Layers {
		out[m.Layers[i].Kind()]++
	}
	return out
}

func attention(t testing.TB, m *model.Model, layer int) *model.Attention {
	t.Helper()
	a, ok := m.Layers[layer].Mixers[0].(*model.Attention)
	if !ok {
		t.Fatalf("layer %d has %s", layer, m.Layers[layer].Kind())
	}
	return a
}

func eq[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// with returns a configuration with keys set.
func with(t testing.TB, raw json.RawMessage, set map[string]any) string {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	maps.Copy(o, set)
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTraps names what estimators get wrong when they read a configuration.
// Wanted figures are recorded vectors or published sizes.
func TestTraps(t *testing.T) {
	vs, configs := vectors(t), catalogue(t)
	get := func(t testing.TB, id string) *model.Model { return parse(t, string(configs[id].Config)) }
	want := func(id string) int64 { return vs[id].Bytes }
	v3 := "deepseek-ai/DeepSeek-V3"

	t.Run("C1 the latent row is kept by every layer for every token", func(t *testing.T) {
		eq(t, "V023", held(get(t, v3), 32768, 1), want("V023"))
	})
	t.Run("C2 tensor parallelism does not divide the latent row", func(t *testing.T) {
		eq(t, "V029", held(get(t, v3), 32768, 8), want("V029"))
	})
	t.Run("C3 without absorption keys and values of all heads are kept", func(t *testing.T) {
		var n int64
		m := get(t, v3)
		for i := range m.Layers {
			for _, s := range m.Layers[i].Mixers[0].(*model.MLA).AppendExpanded(nil, 1) {
				n += 2 * s.Entries(32768) * s.Elems
			}
		}
		eq(t, "V031", n, want("V031"))
	})
	t.Run("C4 a state is heads by head size by state size", func(t *testing.T) {
		eq(t, "V054", held(get(t, "state-spaces/mamba2-2.7b"), 1, 1), want("V054"))
	})
	t.Run("C5 a state does not grow with tokens", func(t *testing.T) {
		eq(t, "slope", slope(get(t, "state-spaces/mamba2-2.7b"), 32000), 0)
	})
	t.Run("C6 head size is what the configuration says, not hidden size over heads", func(t *testing.T) {
		for id, d := range map[string]int64{
			"Qwen/Qwen3-32B": 128, "mistralai/Mistral-Nemo-Instruct-2407": 128, "google/gemma-3-27b-it": 128, "openai/gpt-oss-20b": 64,
		} {
			eq(t, id, attention(t, get(t, id), 0).KeyDim, d)
		}
		eq(t, "V010", held(get(t, "mistralai/Mistral-Nemo-Instruct-2407"), 32768, 1), want("V010"))
		g := get(t, "google/gemma-4-E2B")
		eq(t, "gemma-4 sliding", attention(t, g, 0).KeyDim, 256)
		eq(t, "gemma-4 full", attention(t, g, 4).KeyDim, 512)
		mimo := attention(t, get(t, "XiaomiMiMo/MiMo-V2-Flash"), 0)
		eq(t, "MiMo keys and values", [2]int64{mimo.KeyDim, mimo.ValueDim}, [2]int64{192, 128})
	})
	t.Run("C7 Gemma-3-27B has 62 layers and 16 key value heads", func(t *testing.T) {
		m := get(t, "google/gemma-3-27b-it")
		eq(t, "layers", len(m.Layers), 62)
		eq(t, "kv heads", attention(t, m, 0).KVHeads, 16)
		eq(t, "kinds", fmt.Sprint(kinds(m)), "map[full:10 sliding:52]")
		eq(t, "V040", held(m, 32768, 1), want("V040"))
		eq(t, "V041", held(m, 131072, 1), want("V041"))
		eq(t, "slope", slope(m, 32768), 81920)
	})
	t.Run("C8 Llama-4 attends in chunks in three layers of four", func(t *testing.T) {
		m := get(t, "meta-llama/Llama-4-Maverick-17B-128E-Instruct")
		a := attention(t, m, 0)
		eq(t, "heads", [3]int64{a.Heads, a.KVHeads, m.Hidden}, [3]int64{40, 8, 5120})
		eq(t, "kinds", fmt.Sprint(kinds(m)), "map[chunked:36 full:12]")
		eq(t, "V048", held(get(t, "meta-llama/Llama-4-Scout-17B-16E-Instruct"), 131072, 1), want("V048"))
	})
	t.Run("C9 a window bounds the tokens of every layer", func(t *testing.T) {
		eq(t, "V038", held(get(t, "mistralai/Mistral-7B-v0.1"), 32768, 1), want("V038"))
	})
	t.Run("C10 attention sinks are parameters and take no cache", func(t *testing.T) {
		m := get(t, "openai/gpt-oss-20b")
		eq(t, "V044", held(m, 131072, 1), want("V044"))
		var n int64
		for _, x := range m.Tensors {
			if x.Name == "attn_sinks.weight" {
				n += x.Elems()
			}
		}
		eq(t, "sinks", n, 24*64)
	})
	t.Run("C11 a hybrid adds tokens in its attention layers only", func(t *testing.T) {
		m := get(t, "Qwen/Qwen3.6-27B")
		eq(t, "kinds", fmt.Sprint(kinds(m)), "map[full:16 gated_delta_net:48]")
		eq(t, "V062", held(m, 131072, 1), want("V062"))
		eq(t, "slope", slope(m, 131072), 16*4096)
	})
	t.Run("C12 the cost is a function of tokens, not bytes per token", func(t *testing.T) {
		m := get(t, "openai/gpt-oss-20b")
		eq(t, "below the window", slope(m, 64), 24*2*8*64*2)
		eq(t, "beyond the window", slope(m, 4096), 12*2*8*64*2)
	})
	t.Run("C13 stores say how many vectors carry scales", func(t *testing.T) {
		for _, s := range attention(t, get(t, "meta-llama/Llama-3.1-8B"), 0).AppendStores(nil, 1) {
			eq(t, "heads", s.Heads, 8)
			eq(t, "elements", s.Elems, 8*128)
		}
	})
	t.Run("C14 Llama-3 keeps 131072, 327680 and 516096 bytes for a token", func(t *testing.T) {
		eq(t, "8B", slope(get(t, "meta-llama/Llama-3.1-8B"), 32768), 131072)
		eq(t, "70B", slope(get(t, "meta-llama/Llama-3.1-70B"), 32768), 327680)
		eq(t, "405B", slope(get(t, "meta-llama/Meta-Llama-3.1-405B"), 32768), 516096)
	})
	t.Run("C15 all experts are resident though few are active", func(t *testing.T) {
		p := get(t, "openai/gpt-oss-20b").Count()
		eq(t, "total", p.Total, 20_914_757_184)
		eq(t, "active", p.Active, 4_187_440_704)
	})
	t.Run("C16 and C17 a model states no activations and no overhead", func(t *testing.T) {
		m := get(t, "meta-llama/Llama-3.1-8B")
		eq(t, "held by no tokens", held(m, 0, 1), 0)
		eq(t, "published bytes", 2*m.Count().Total, 16_060_522_496)
	})
	t.Run("C18 one key value head is kept once", func(t *testing.T) {
		eq(t, "V017", held(get(t, "google/gemma-2b"), 8192, 1), want("V017"))
		m := get(t, "tiiuae/falcon-7b")
		eq(t, "kv heads", attention(t, m, 0).KVHeads, 1)
		eq(t, "V014", held(m, 2048, 1), want("V014"))
	})
	t.Run("C19 num_key_value_heads means nothing beside a latent rank", func(t *testing.T) {
		m := parse(t, with(t, configs[v3].Config, map[string]any{"num_key_value_heads": 1, "head_dim": 64}))
		eq(t, "V023", held(m, 32768, 1), want("V023"))
	})
	t.Run("C20 a sliding_window that is off, null or no shorter than the context", func(t *testing.T) {
		for _, id := range []string{
			"Qwen/Qwen2.5-7B", "Qwen/Qwen3-8B", "microsoft/Phi-4-mini-instruct", "mistralai/Mistral-7B-Instruct-v0.2", "XiaomiMiMo/MiMo-7B-Base",
		} {
			m := get(t, id)
			eq(t, id, kinds(m)[model.KindFull], len(m.Layers))
		}
		eq(t, "V013", held(get(t, "Qwen/Qwen2.5-7B"), 32768, 1), want("V013"))
		eq(t, "MiMo-V2 has no chunks", fmt.Sprint(kinds(get(t, "XiaomiMiMo/MiMo-V2-Flash"))), "map[full:9 sliding:39]")
	})
}

// TestCaches holds further recorded caches against the configurations.
func TestCaches(t *testing.T) {
	vs, configs := vectors(t), catalogue(t)
	for _, c := range []struct {
		vector, model string
		tokens, tp    int64
	}{
		{"V001", "meta-llama/Llama-2-7b-hf", 4096, 1},
		{"V020", "meta-llama/Llama-3.1-70B", 32768, 8},
		{"V021", "meta-llama/Llama-3.1-70B", 32768, 16},
		{"V033", "deepseek-ai/DeepSeek-V3.2", 131072, 1},
		{"V037", "zai-org/GLM-5.3", 131072, 1},
		{"V042", "google/gemma-3-4b-it", 131072, 1},
		{"V043", "google/gemma-3-1b-it", 32768, 1},
		{"V045", "openai/gpt-oss-120b", 131072, 1},
		{"V049", "google/gemma-4-E2B", 32768, 1},
	} {
		if got := held(parse(t, string(configs[c.model].Config)), c.tokens, c.tp); got != vs[c.vector].Bytes {
			t.Errorf("%s %s: %d bytes, want %d", c.vector, c.model, got, vs[c.vector].Bytes)
		}
	}
}

// TestGemma3nE2B: layers that share a cache keep none (V050).
func TestGemma3nE2B(t *testing.T) {
	m := parse(t, `{"model_type":"gemma3n","text_config":{"model_type":"gemma3n_text","hidden_size":2048,"intermediate_size":8192,"num_hidden_layers":30,"num_kv_shared_layers":10}}`)
	eq(t, "V050", held(m, 32768, 1), vectors(t)["V050"].Bytes)
}

// TestDeepSeekV4Cache counts rows: 43 windows, a quarter of the tokens in 21
// layers with an index key each, a 128th in 20 (V101 at 584 and 132 bytes).
func TestDeepSeekV4Cache(t *testing.T) {
	m := parse(t, string(catalogue(t)["deepseek-ai/DeepSeek-V4-Flash"].Config))
	var n int64
	for i := range m.Layers {
		for _, s := range m.Layers[i].Mixers[0].AppendStores(nil, 1) {
			row := int64(584)
			if s.Class == model.IndexKey {
				row = 132
			}
			n += row * s.Entries(131072)
		}
	}
	eq(t, "V101", n, vectors(t)["V101"].Bytes)
}
