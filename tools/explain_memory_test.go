package tools

import (
	"encoding/json"
	"strings"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
)

// explain calls explain_memory.
func explain(t *testing.T, args map[string]any) (*Explanation, *Result) {
	t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	s := newSurface(t, Options{Offline: true})
	r := s.Call(t.Context(), "explain_memory", raw)
	if r.Failed {
		return nil, r
	}
	conforms(t, s, "explain_memory", r.Structured)
	return r.Answer.(*Explanation), r
}

const llama8B = `Initializing an LLM engine (v0.6.4) with config: model='meta-llama/Meta-Llama-3-8B', max_seq_len=8192, tensor_parallel_size=1
the current vLLM instance can use total_gpu_memory (79.22GiB) x gpu_memory_utilization (0.90) = 71.30GiB
model weights take 14.96GiB; non_torch_memory takes 1.79GiB; PyTorch activation peak memory takes 1.26GiB; the rest of the memory reserved for KV Cache is 53.29GiB.`

// vLLM's figures for Llama 3 8B on an H100, from pull request 10511, are in the
// ranges of the plan for that model, and weights not in those of another.
func TestExplainStart(t *testing.T) {
	for ref, want := range map[string]bool{"meta-llama/Llama-3.1-8B": true, "Qwen/Qwen3-0.6B": false} {
		e, r := explain(t, map[string]any{"model": ref, "log": llama8B})
		if e == nil {
			t.Fatalf("%s", r.Structured)
		}
		if e.Failure != nil || e.Version != "0.6.4" || e.Settings.ContextTokens != 8192 || len(e.Differences) != 5 {
			t.Errorf("%s: %s", ref, r.Structured)
		}
		for _, d := range e.Differences {
			if d.Within == nil || d.Name == "weights" && *d.Within != want || want && !*d.Within {
				t.Errorf("%s: %s %s", ref, d.Name, engine.Bytes(d.Actual))
			}
		}
		if strings.Contains(r.Text, "outside the predicted range: weights") == want {
			t.Errorf("%s: %s", ref, r.Text)
		}
	}
}

// vLLM issue 27508: gpt-oss-120b on one H100 at 131072 tokens. The pool that
// one request needs, 4.54 GiB, is what the plan has for a sequence.
func TestExplainFailure(t *testing.T) {
	e, r := explain(t, map[string]any{"model": "openai/gpt-oss-120b", "hardware": "H100", "batch_tokens": 1024, "gpu_memory_utilization": 0.95,
		"log": `vllm ValueError: To serve at least one request with the models's max seq len (131072), (4.54 GiB KV cache is needed, which is larger than the available KV cache memory (1.71 GiB).`})
	if e == nil {
		t.Fatalf("%s", r.Structured)
	}
	f := e.Failure
	if f == nil || f.Kind != "out_of_memory" || f.Stage != "cache" || engine.Bytes(f.ShortBy).String() != "2.83 GiB" || f.Remedy == "" {
		t.Errorf("%s", r.Structured)
	}
	if got := engine.Bytes(e.Cache.PerSequence).String(); got != "4.54 GiB" {
		t.Errorf("one sequence is planned to need %s, vLLM said 4.54 GiB", got)
	}
	if !strings.HasPrefix(r.Text, "FAILED (out of memory, cache)") {
		t.Errorf("%s", r.Text)
	}
}

// SGLang pull request 4760: Llama 3.1 8B on an H100, where 78.59 GB were free.
// Weights and both halves of the pool are in the plan's ranges, and their sum
// is within a percent.
func TestExplainSGLang(t *testing.T) {
	e, r := explain(t, map[string]any{"model": "meta-llama/Llama-3.1-8B", "hardware": "H100", "log": `server_args=ServerArgs(model_path='meta-llama/Llama-3.1-8B-Instruct', mem_fraction_static=0.88, context_length=8192)
[2025-03-25 16:37:06 TP0] Load weight end. type=LlamaForCausalLM, dtype=torch.bfloat16, avail mem=63.48 GB, mem usage=15.11 GB.
[2025-03-25 16:37:06 TP0] KV Cache is allocated. #tokens: 442750, K size: 27.02 GB, V size: 27.02 GB`})
	if e == nil {
		t.Fatalf("%s", r.Structured)
	}
	names := map[string]bool{}
	for _, d := range e.Differences {
		names[d.Name] = true
		if d.Within == nil || !*d.Within || d.Name == "total" && (*d.Error < -1 || *d.Error > 1) {
			t.Errorf("%s", d.Text)
		}
	}
	if !names["weights"] || !names["KV cache pool"] || !names["total"] || e.Settings.Lines["context_tokens"] != 1 {
		t.Errorf("%s", r.Structured)
	}
}

// A published start on an RTX 3090 of which another process had half: the
// share that is suggested is at most what was free, and it was planned. The
// context that vLLM itself says would fit is a suggestion too.
func TestExplainSuggestions(t *testing.T) {
	e, r := explain(t, map[string]any{"model": "Qwen/Qwen3-0.6B",
		"log": "vllm ValueError: Free memory on device cuda:0 (12.18/23.56 GiB) on startup is less than desired GPU memory utilization (0.92, 21.67 GiB)."})
	if e == nil || len(e.Suggestions) != 1 {
		t.Fatalf("%s", r.Structured)
	}
	if v, _ := e.Suggestions[0].Arguments["gpu_memory_utilization"].(float64); v*23.56 > 12.18 || v < 0.5 || !e.Suggestions[0].Fits {
		t.Errorf("%+v", e.Suggestions)
	}
	e, r = explain(t, map[string]any{"model": "Qwen/Qwen3-8B", "hardware": "RTX 4090",
		"log": `vllm ValueError: To serve at least one request with the models's max seq len (131072), (18.00 GiB KV cache is needed, which is larger than the available KV cache memory (4.24 GiB). Based on the available memory, the estimated maximum model length is 30864.`})
	if e == nil || len(e.Suggestions) == 0 || e.Suggestions[0].Arguments["context_tokens"] != int64(30864) {
		t.Fatalf("%s", r.Structured)
	}
	// llama.cpp's context of one sequence is what a suggestion may change.
	e, r = explain(t, map[string]any{"model": "Qwen/Qwen3-8B", "log": `using device CUDA0 (NVIDIA GeForce RTX 4090) (0000:01:00.0) - 23677 MiB free
print_info: file type   = Q4_K - Medium
load_tensors: offloaded 37/37 layers to GPU
llama_context: n_seq_max     = 1
llama_context: n_ctx         = 262144
llama_context: n_ctx_per_seq = 262144
alloc_tensor_range: failed to allocate CUDA0 buffer of size 38654705664
llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache`})
	if e == nil || !strings.Contains(r.Text, "Would fit: shorten the context to") || !strings.Contains(r.Text, "36.00 GiB does not fit on CUDA0") {
		t.Fatalf("%s", r.Text)
	}
}

// A log is text from elsewhere: no address in it is fetched, and what it says
// is passed on without control characters.
func TestExplainForeign(t *testing.T) {
	for _, name := range []string{"https://192.0.2.1/x.gguf", "hf:https://192.0.2.1/x", "ollama:x", "../../etc/passwd", "../x", "local", "//192.0.2.1/x.gguf", `\\192.0.2.1\x.gguf`, "https:/192.0.2.1/x.gguf"} {
		e, r := explain(t, map[string]any{"log": "vLLM API server version 0.11.0\nmodel='" + name + "'\nValueError: \u202ea\u0007b"})
		if e == nil || e.Predicted != nil || len(e.Notes) == 0 || !strings.Contains(strings.Join(e.Notes, " "), "give model") {
			t.Errorf("%s: %s", name, r.Structured)
		}
		if strings.ContainsAny(r.Text, "\u202e\u0007") || e.Failure == nil || e.Failure.Kind != "does_not_start" {
			t.Errorf("%q", r.Text)
		}
	}
	if e, _ := explain(t, map[string]any{"log": "vLLM\nmodel='/root/.cache/huggingface/hub/models--Qwen--Qwen3-0.6B/snapshots/abc'"}); e == nil || e.Predicted == nil {
		t.Error("the Hub's cache names the repository")
	}
}

// What the log says is worth having without a model; what is no log is an
// error.
func TestExplainWithout(t *testing.T) {
	if e, r := explain(t, map[string]any{"log": "llama-server: couldn't bind HTTP server socket"}); e == nil || e.Predicted != nil || e.Failure.Kind != "port_in_use" {
		t.Errorf("%s", r.Structured)
	}
	if e, r := explain(t, map[string]any{"log": "vLLM API server version 0.11.0\nmodel='/srv/unknown'"}); e == nil || e.Predicted != nil || e.Version != "0.11.0" || len(e.Notes) == 0 {
		t.Errorf("%s", r.Structured)
	}
	for _, args := range []map[string]any{
		{"log": "nothing of interest"}, {"log": strings.Repeat("a", enginelog.MaxLog+1)},
		{"log": "vllm", "engine": "ollama", "model": "Qwen/Qwen3-8B"}, {"log": "vllm", "model": "no/such"}, {},
	} {
		if e, r := explain(t, args); e != nil || !strings.Contains(string(r.Structured), `"hint"`) {
			t.Errorf("%.80v: %s", args, r.Structured)
		}
	}
}
