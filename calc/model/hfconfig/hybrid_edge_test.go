package hfconfig

import (
	"errors"
	"strings"
	"testing"

	"hwledger/calc/model"
)

// TestLayerKinds pins where the layers of each kind are.
func TestLayerKinds(t *testing.T) {
	configs := map[string]string{}
	for _, file := range []string{"testdata/hybrid_models.jsonl", "testdata/peers.jsonl"} {
		for _, p := range readPublished(t, file) {
			configs[p.ID] = string(p.Config)
		}
	}
	for _, c := range []struct {
		model string
		kinds map[model.Kind]int
		at    map[int]model.Kind
	}{
		{"ai21labs/Jamba-v0.1", map[model.Kind]int{"mamba1": 28, "full": 4}, map[int]model.Kind{3: "mamba1", 4: "full", 12: "full"}},
		{"ibm-ai-platform/Bamba-9B-v1", map[model.Kind]int{"mamba2": 29, "full": 3}, map[int]model.Kind{9: "full", 18: "full", 27: "full"}},
		{"ibm-granite/granite-4.0-h-tiny", map[model.Kind]int{"mamba2": 36, "full": 4}, map[int]model.Kind{5: "full", 35: "full"}},
		{"ibm-granite/granite-4.0-micro", map[model.Kind]int{"full": 40}, nil},
		{"nvidia/NVIDIA-Nemotron-Nano-9B-v2", map[model.Kind]int{"mamba2": 27, "full": 4, "none": 25}, map[int]model.Kind{14: "full", 15: "none"}},
		{"nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", map[model.Kind]int{"mamba2": 23, "full": 6, "none": 23}, nil},
		{"tiiuae/Falcon-H1-7B-Base", map[model.Kind]int{"full+mamba2": 44}, nil},
		{"Zyphra/Zamba2-7B", map[model.Kind]int{"mamba2": 68, "full+mamba2": 13}, map[int]model.Kind{6: "full+mamba2", 7: "mamba2"}},
		{"Qwen/Qwen3-Next-80B-A3B-Instruct", map[model.Kind]int{"gated_delta_net": 36, "full": 12}, map[int]model.Kind{0: "gated_delta_net", 3: "full"}},
		{"moonshotai/Kimi-Linear-48B-A3B-Instruct", map[model.Kind]int{"kda": 20, "mla": 7}, map[int]model.Kind{2: "kda", 3: "mla", 26: "mla"}},
		{"MiniMaxAI/MiniMax-Text-01", map[model.Kind]int{"lightning": 70, "full": 10}, map[int]model.Kind{6: "lightning", 7: "full"}},
		{"LiquidAI/LFM2-1.2B", map[model.Kind]int{"short_conv": 10, "full": 6}, map[int]model.Kind{2: "full", 14: "full"}},
		{"google/recurrentgemma-2b", map[model.Kind]int{"rg_lru": 18, "sliding": 8}, map[int]model.Kind{2: "sliding"}},
		{"meta-llama/Llama-3.2-11B-Vision-Instruct", map[model.Kind]int{"full": 32, "cross": 8}, map[int]model.Kind{3: "cross", 38: "cross"}},
		{"openai/whisper-large-v3-turbo", map[model.Kind]int{"full+cross": 4}, nil},
	} {
		t.Run(c.model, func(t *testing.T) {
			m, err := Parse([]byte(configs[c.model]))
			if err != nil {
				t.Fatal(err)
			}
			got := map[model.Kind]int{}
			for i := range m.Layers {
				got[m.Layers[i].Kind()]++
			}
			for k, n := range c.kinds {
				if got[k] != n {
					t.Errorf("%d layers of %s, want %d (%v)", got[k], k, n, got)
				}
			}
			for i, k := range c.at {
				if got := m.Layers[i].Kind(); got != k {
					t.Errorf("layer %d is %s, want %s", i, got, k)
				}
			}
		})
	}
}

// TestZamba2SharesWeightsOnly: 13 layers apply two blocks; each keeps a cache
// of 2 × 32 heads × 224 elements a token, but the blocks are counted once.
func TestZamba2SharesWeightsOnly(t *testing.T) {
	m := parseID(t, "Zyphra/Zamba2-7B")
	var caches, weights int64
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			for _, s := range x.AppendStores(nil, 1) {
				if s.Class == model.Key || s.Class == model.Value {
					caches += s.Elems
				}
			}
		}
	}
	for i := range m.Tensors {
		if m.Tensors[i].Name == "attn_q.weight" {
			weights++
		}
	}
	if caches != 13*2*32*224 || weights != 2 {
		t.Errorf("%d cache elements a token and %d query matrices, want 186368 and 2", caches, weights)
	}
}

func parseID(t *testing.T, id string) *model.Model {
	t.Helper()
	for _, p := range readPublished(t, "testdata/hybrid_models.jsonl") {
		if p.ID == id {
			m, err := Parse(p.Config)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	t.Fatalf("no %s", id)
	return nil
}

// TestStateTypes: what the configuration asks for, and nothing where it does
// not.
func TestStateTypes(t *testing.T) {
	for id, want := range map[string]string{
		"Qwen/Qwen3.5-9B":                            "float32",
		"Qwen/Qwen3.5-2B":                            "float32", // class default
		"Qwen/Qwen3-Next-80B-A3B-Instruct":           "",
		"nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "float32",
		"nvidia/NVIDIA-Nemotron-Nano-9B-v2":          "",
		"moonshotai/Kimi-Linear-48B-A3B-Instruct":    "float32",
		"MiniMaxAI/MiniMax-Text-01":                  "",
		"ai21labs/Jamba-v0.1":                        "",
	} {
		if got := parseID(t, id).StateType; got != want {
			t.Errorf("%s: state type %q, want %q", id, got, want)
		}
	}
}

// TestEncoders: encoders are not causal; encoder-decoders say how long the
// encoder's output is.
func TestEncoders(t *testing.T) {
	for _, c := range []struct {
		id             string
		causal, encDec bool
		tokens         int64
	}{
		{"BAAI/bge-base-en-v1.5", false, false, 0},
		{"nomic-ai/nomic-embed-text-v1.5", false, false, 0},
		{"answerdotai/ModernBERT-base", false, false, 0},
		{"openai/whisper-tiny", true, true, 1500},
		{"facebook/bart-base", true, true, 1024},
		{"google-t5/t5-small", true, true, 512},
		{"meta-llama/Llama-3.2-11B-Vision-Instruct", true, false, 6404},
	} {
		m := parseID(t, c.id)
		if m.Causal != c.causal || m.EncDec != c.encDec || m.EncoderTokens != c.tokens {
			t.Errorf("%s: causal %v, encoder-decoder %v, %d encoder tokens", c.id, m.Causal, m.EncDec, m.EncoderTokens)
		}
	}
}

func TestHybridRefusals(t *testing.T) {
	const nemotron = `{"model_type":"nemotron_h","hidden_size":64,"vocab_size":100,"num_attention_heads":4,"intermediate_size":128,"mamba_num_heads":2,`
	for _, c := range []struct {
		name, config string
		code         model.Code
		field        string
	}{
		{"unknown letter", nemotron + `"hybrid_override_pattern":"M-X*"}`, model.UnsupportedArchitecture, "hybrid_override_pattern"},
		{"unknown block", nemotron + `"layers_block_type":["mamba","hyena"]}`, model.UnsupportedArchitecture, "layers_block_type"},
		{"experts without number", nemotron + `"hybrid_override_pattern":"ME"}`, model.MalformedFile, "n_routed_experts"},
		{"no pattern", nemotron + `"num_hidden_layers":2}`, model.MalformedFile, "hybrid_override_pattern"},
		{"kimi layer in no list", `{"model_type":"kimi_linear","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":2,"vocab_size":9,"intermediate_size":8,"kv_lora_rank":8,"qk_nope_head_dim":4,"qk_rope_head_dim":4,"v_head_dim":4,"linear_attn_config":{"kda_layers":[0,1],"full_attn_layers":[],"num_heads":2,"head_dim":4}}`, model.UnsupportedArchitecture, "linear_attn_config.kda_layers"},
		{"odd layer type", `{"model_type":"qwen3_5_text","hidden_size":64,"num_hidden_layers":1,"num_attention_heads":2,"vocab_size":9,"intermediate_size":8,"layer_types":["hyena"]}`, model.UnsupportedArchitecture, "layer_types"},
		{"short list", `{"model_type":"minimax_m1","hidden_size":64,"num_hidden_layers":3,"num_attention_heads":2,"vocab_size":9,"intermediate_size":8,"num_local_experts":2,"num_experts_per_tok":1,"attn_type_list":[0,1]}`, model.MalformedFile, "attn_type_list"},
		{"granite without kinds", `{"model_type":"granitemoehybrid","hidden_size":64,"num_hidden_layers":3,"num_attention_heads":2,"vocab_size":9,"intermediate_size":8}`, model.MalformedFile, "layer_types"},
		{"mamba with attention", `{"d_model":64,"n_layer":2,"vocab_size":9,"ssm_cfg":{},"attn_layer_idx":[1],"attn_cfg":{"num_heads":2}}`, model.UnsupportedArchitecture, "attn_layer_idx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.config))
			var e *model.Error
			if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Field, c.field) {
				t.Errorf("got %v, want %s about %s", err, c.code, c.field)
			}
		})
	}
}

// TestListsLongerThanLayers: entries beyond the trunk belong to MTP layers.
func TestListsLongerThanLayers(t *testing.T) {
	m, err := Parse([]byte(`{"model_type":"qwen3_5_text","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":2,"vocab_size":9,"intermediate_size":8,
		"layer_types":["linear_attention","full_attention","full_attention"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Layers) != 2 || m.Layers[0].Kind() != model.KindGatedDelta || m.Layers[1].Kind() != model.KindFull {
		t.Errorf("%d layers, %s and %s", len(m.Layers), m.Layers[0].Kind(), m.Layers[1].Kind())
	}
}

// TestNonFiniteLiterals: Python writes Infinity; texts that contain the word
// stay as they are.
func TestNonFiniteLiterals(t *testing.T) {
	got := string(withoutNonFinite([]byte(`{"a":[0.0, Infinity],"b":-Infinity,"c":NaN,"d":"Infinity \" NaN"}`)))
	if want := `{"a":[0.0, null],"b":null,"c":null,"d":"Infinity \" NaN"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestTowerThatCannotBeCounted: a tower without its sizes is said to be
// uncounted; the text model stays readable.
func TestTowerThatCannotBeCounted(t *testing.T) {
	for _, vision := range []string{`"vision_config":{"depth":12}`, `"quantization_config":null`} {
		m, err := Parse([]byte(`{"model_type":"qwen3_5","text_config":{"model_type":"qwen3_5_text","hidden_size":64,"num_hidden_layers":4,"num_attention_heads":2,"vocab_size":9,"intermediate_size":8},` + vision + `}`))
		if err != nil {
			t.Fatal(err)
		}
		said := false
		for _, f := range m.Facts {
			said = said || f.Field == "vision_config" && f.Value == "weights not counted"
		}
		if !said || m.Count().Vision != 0 || !m.Multimodal {
			t.Errorf("%s: counted %d, multimodal %v, facts %v", vision, m.Count().Vision, m.Multimodal, m.Facts)
		}
	}
}

// FuzzHybrids feeds damaged configurations of every family to the parser: it
// may refuse, but must neither panic nor run away.
func FuzzHybrids(f *testing.F) {
	for _, p := range readPublished(f, "testdata/hybrid_models.jsonl") {
		f.Add([]byte(p.Config))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw)
		if err != nil {
			var e *model.Error
			if !errors.As(err, &e) {
				t.Fatalf("%T is not a *model.Error", err)
			}
			return
		}
		if n := m.Count(); n.Total < 0 || n.Active < 0 {
			t.Fatalf("negative count %+v", n)
		}
	})
}
