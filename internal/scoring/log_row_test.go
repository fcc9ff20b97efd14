package scoring

import (
	"encoding/json"
	"testing"
)

// Names that users' logs give, and the models they mean.
func TestNamesInLogs(t *testing.T) {
	ms, err := newModels("")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"qwen3.8-27b-ud-q5km.gguf":                                 "Qwen/Qwen3.8-27B",
		"qwen3.5-9b-ud-q4kxl.gguf":                                 "Qwen/Qwen3.5-9B",
		"Qwen3.5/3.6-27B (qwen35)":                                 "Qwen/Qwen3.5-27B",
		"Qwythos-27B-MTP-Q8_0.gguf (Qwen3.5-27B family)":           "Qwen/Qwen3.5-27B",
		"DeepSeek-R1-Q4_K_M":                                       "deepseek-ai/DeepSeek-R1",
		"gpt-oss-20b-Q4_0.gguf":                                    "openai/gpt-oss-20b",
		"mixtral-8x7b-v0.1 Q4_K_M":                                 "mistralai/Mixtral-8x7B-v0.1",
		"Llama-3.1-8B-Instruct Q4_K_M (blob 667b0c1932bc)":         "meta-llama/Llama-3.1-8B-Instruct",
		"26-layer iSWA model (13+13 layers; Gemma-2-2B shape)":     "google/gemma-2-2b",
		"36-layer GQA model (n_embd_k_gqa 256), file under a disk": "",
	} {
		got := ""
		if f, _ := matchLog(&logRow{Model: name}, ms); f != nil {
			got = f.name
		}
		if got != want {
			t.Errorf("%q matched %q, want %q", name, got, want)
		}
	}
}

func TestFieldsThatAreNoNumber(t *testing.T) {
	var r logRow
	if err := json.Unmarshal([]byte(`{"n_head":"8/16","n_head_kv":"2 on 6 layers, 0 elsewhere","n_layer":52,"n_vocab":null,"n_embd":0}`), &r); err != nil {
		t.Fatal(err)
	}
	if r.Heads.int64 != nil || r.KVHeads.int64 != nil || r.Vocab.int64 != nil || r.Hidden.int64 != nil || r.Layers.int64 == nil || *r.Layers.int64 != 52 {
		t.Errorf("%+v", r)
	}
}

func TestBuildsOfLogs(t *testing.T) {
	for _, c := range []struct {
		r     logRow
		build string
		vague bool
	}{
		{logRow{Version: "b8164 (b68d75165)"}, "b8164", false},
		{logRow{Version: "2026 build"}, "b9925", true},
		{logRow{Version: "0.5.x runner, log 2025-12-01", Engine: "ollama"}, "b4400", false},
		{logRow{ID: "ik-271-x", Notes: "mainline run posted in an ik_llama.cpp thread"}, "b4933", false},
	} {
		if got, _ := c.r.release(); got != c.build || c.r.vague() != c.vague {
			t.Errorf("%q: %s, vague %v; want %s, %v", c.r.Version, got, c.r.vague(), c.build, c.vague)
		}
	}
}
