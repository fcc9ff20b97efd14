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
