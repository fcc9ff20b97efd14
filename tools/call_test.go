package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

const tinyConfig = `{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":4096,"intermediate_size":14336,"num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":128256,"max_position_embeddings":131072,"torch_dtype":"bfloat16"}`

func TestAnswers(t *testing.T) {
	s := newSurface(t, Options{})
	for _, c := range []struct{ tool, args, verdict string }{
		{"lookup_model", `{"config":` + tinyConfig + `}`, "config (LlamaForCausalLM, from inline): 8.03 B parameters."},
		{"lookup_model", `{"config":` + tinyConfig + `,"detail":"layers"}`, "config (LlamaForCausalLM"},
		{"lookup_model", `{"model":"Qwen/Qwen3-30B-A3B","detail":"tensors"}`, "catalog:Qwen/Qwen3-30B-A3B"},
		{"search_models", `{"query":"Qwen/Qwen3-8B","limit":1}`, "8 models match"},
		{"search_models", `{"filters":{"architecture":"moe"},"limit":100}`, "1"}, // 1xx models
		{"search_models", `{"filters":{"fits_on":"RTX 4090","context_tokens":4096,"engine":"vllm"},"offline":true}`, "20 models match here, and more may follow; "},
		{"search_models", `{"query":"Qwen3-235B-A22B","filters":{"fits_on":{"memory_bytes":8e9}}}`, "No model matches; "},
		{"search_models", `{"query":"zzzzzzzzzz"}`, "No model matches."},
		{"lookup_hardware", `{}`, "1"}, // 1xx matches
		{"lookup_hardware", `{"name":"RTX 4090","limit":1}`, "1 match"},
		{"lookup_hardware", `{"vendor":"apple","min_memory_bytes":999999999999999}`, "No accelerator matches"},
		{"plan_memory", `{"config":` + tinyConfig + `}`, "SIZE ONLY"},
		{"plan_memory", `{"config":` + tinyConfig + `,"engine":"vllm","hardware":"H100"}`, "FITS. Needs"},
		{"plan_memory", `{"config":` + tinyConfig + `,"engine":"vllm","hardware":"2x H100","detail":"layers"}`, "FITS. Needs"},
		{"plan_memory", `{"config":` + tinyConfig + `,"engine":"ideal","context_tokens":8192.0,"hardware":{"memory_bytes":8e9}}`, "DOES NOT FIT. Needs"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8B","engine":"llama.cpp","weights":"Q4_K_M","gpu_layers":10,"hardware":"RTX 4090","detail":"summary"}`, "FITS. Needs"},
	} {
		r := s.Call(t.Context(), c.tool, json.RawMessage(c.args))
		if r.Failed {
			t.Errorf("%s %s: %s", c.tool, c.args, r.Structured)
			continue
		}
		conforms(t, s, c.tool, r.Structured)
		if !strings.HasPrefix(r.Text, c.verdict) {
			t.Errorf("%s %s: the text begins %.60q, want %q", c.tool, c.args, r.Text, c.verdict)
		}
		if len(r.Text) > 2<<10 {
			t.Errorf("%s %s: the text has %d bytes", c.tool, c.args, len(r.Text))
		}
	}
}

// The parts of a plan add up, whatever the numbers are.
func TestPlanAddsUp(t *testing.T) {
	s := newSurface(t, Options{})
	r := s.Call(t.Context(), "plan_memory", json.RawMessage(`{"config":`+tinyConfig+`,"engine":"vllm","hardware":"2x H100","sequences":4,"detail":"layers"}`))
	p, ok := r.Answer.(*Plan)
	if !ok {
		t.Fatalf("%s", r.Structured)
	}
	var terms int64
	for _, term := range p.Terms {
		terms += term.Bytes * int64(len(term.On))
		if term.Source == "" || term.Formula == "" && term.Confidence != "measured" {
			t.Errorf("the term %s does not say where it comes from", term.Name)
		}
	}
	var devices int64
	for _, d := range p.Devices {
		devices += d.Required
		if *d.Headroom > *d.Free-d.Required {
			t.Errorf("%s has more room than is free", d.Name)
		}
	}
	if terms != p.Totals.Required || devices != p.Totals.Required {
		t.Errorf("terms %d, devices %d, required %d", terms, devices, p.Totals.Required)
	}
	if p.Engine.ContextTokens != 8192 || !slices.ContainsFunc(p.Engine.Assumed, func(a engine.Assumption) bool { return a.Field == "context_tokens" }) {
		t.Errorf("the assumed context is not listed: %+v", p.Engine)
	}
	if len(p.Layers) != 32 || len(p.Devices) != 2 {
		t.Errorf("%d layers, %d devices", len(p.Layers), len(p.Devices))
	}
}

func TestErrors(t *testing.T) {
	s := newSurface(t, Options{})
	for _, c := range []struct {
		tool, args  string
		code        model.Code
		field, says string // says is in message, hint or candidates
	}{
		{"plan_memory", `{}`, model.InvalidArgument, "model", "no model was given"},
		{"plan_memory", `[]`, model.InvalidArgument, "", "not an object"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8B","context":4096}`, model.InvalidArgument, "context", "did you mean context_tokens?"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8B","gpu":"RTX 4090"}`, model.InvalidArgument, "gpu", "hardware"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8B","context_tokens":"8192"}`, model.InvalidArgument, "context_tokens", "write 8192 without quotes"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8B","context_tokens":-1}`, model.InvalidArgument, "context_tokens", "it must be between 1 and"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8B","engine":"vlm"}`, model.InvalidArgument, "engine", "did you mean vllm?"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8B","hardware":"RTX 4099"}`, model.HardwareNotFound, "hardware", "RTX 4090"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8B","hardware":{"memory_bytes":9e18,"count":9}}`, model.InvalidArgument, "hardware.memory_bytes", "1 PiB"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8B","hardware":{"count":9}}`, model.InvalidArgument, "hardware.memory_bytes", "hardware needs memory_bytes"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8B","engine":"vllm","flags":{"enforce_eagre":true}}`, model.InvalidArgument, "flags.enforce_eagre", "enforce_eager"},
		{"plan_memory", `{"model":"Qwen/Qwen3-8","hardware":"H100"}`, model.ModelNotFound, "model", "Qwen/Qwen3-8B"},
		{"plan_memory", `{"config":{"model_type":"llama","hidden_size":8}}`, model.MalformedFile, "", "vocab_size"},
		{"plan_memory", `{"config":{},"model":"Qwen/Qwen3-8B"}`, model.InvalidArgument, "config", "not both"},
		{"lookup_model", `{"model":"./no/such/dir"}`, model.ModelNotFound, "", "no/such"},
		{"search_models", `{"filters":{"fits_on":"RTX 4099"}}`, model.HardwareNotFound, "filters.fits_on", "RTX 4090"},
		{"search_models", `{"filters":{"fitson":"RTX 4090"}}`, model.InvalidArgument, "filters.fitson", "fits_on"},
		{"search_models", `{"fits_on":"RTX 4090"}`, model.InvalidArgument, "fits_on", "did you mean filters?"},
		{"search_models", `{"filters":{"source":"attic"}}`, model.InvalidArgument, "filters.source", "catalog"},
		{"search_models", `{"filters":{"modality":"smell"}}`, model.InvalidArgument, "filters.modality", "vision"},
		{"search_models", `{"cursor":"bm90aGluZw"}`, model.InvalidArgument, "cursor", "leave cursor out"},
		{"lookup_hardware", `{"name":"RTX 4099"}`, model.HardwareNotFound, "name", "RTX 4090"},
		{"lookup_hardware", `{"gpu":"RTX 4090","limit":0}`, model.InvalidArgument, "limit", "did you mean name?"},
		{"plan_memry", `{}`, model.InvalidArgument, "tool", "plan_memory"},
	} {
		r := s.Call(t.Context(), c.tool, json.RawMessage(c.args))
		if !r.Failed {
			t.Errorf("%s %s: no error", c.tool, c.args)
			continue
		}
		var f Failure
		if err := json.Unmarshal(r.Structured, &f); err != nil {
			t.Fatal(err)
		}
		all := f.Message + "\n" + f.Hint + "\n" + strings.Join(f.Candidates, "\n")
		if f.Code != c.code || c.field != "" && f.Field != c.field || !strings.Contains(all, c.says) {
			t.Errorf("%s %s: %+v, want %s about %q saying %q", c.tool, c.args, f, c.code, c.field, c.says)
		}
		if !strings.HasPrefix(r.Text, string(c.code)+": ") || strings.Contains(r.Text, "&{") || strings.Contains(r.Text, "0x") || len(r.Text) > 2<<10 {
			t.Errorf("%s %s: text %q", c.tool, c.args, r.Text)
		}
		if _, err := s.Tool(c.tool); err == nil {
			conforms(t, s, c.tool, r.Structured) // clients check errors too
		}
	}
}

type untexted struct {
	List []int `json:"list"`
}

func (untexted) Text() string { return "" }

// What is wrong with the program is said in the log, not to the caller.
func TestFaults(t *testing.T) {
	type in struct{}
	for name, handle := range map[string]func(context.Context, in) (untexted, error){
		"panic":  func(context.Context, in) (untexted, error) { panic("secret") },
		"error":  func(context.Context, in) (untexted, error) { return untexted{}, fmt.Errorf("secret") },
		"schema": func(context.Context, in) (untexted, error) { return untexted{}, nil },
	} {
		s := newSurface(t, Options{})
		s.tools = append(s.tools, define(Tool{Name: name}, handle))
		r := s.Call(t.Context(), name, nil)
		if !r.Failed || !strings.Contains(string(r.Structured), `"internal"`) || strings.Contains(string(r.Structured)+r.Text, "secret") {
			t.Errorf("%s: %s %s", name, r.Structured, r.Text)
		}
	}
}

// Whatever arrives, the answer is a plan or an error that says what to do:
// never a fault of the program.
func FuzzCall(f *testing.F) {
	s := newSurface(f, Options{Offline: true})
	f.Add("plan_memory", `{"config":`+tinyConfig+`,"hardware":"2x RTX 4090","engine":"llama.cpp","weights":"Q4_K_M"}`)
	f.Add("plan_memory", `{"config":`+tinyConfig+`,"hardware":{"memory_bytes":1e12,"count":4096},"flags":{"max_num_seqs":"x"},"context_tokens":17179869184,"sequences":1048576}`)
	f.Add("plan_memory", `{"config":`+strings.ReplaceAll(tinyConfig, "4096", "9007199254740993")+`,"engine":"vllm","tensor_parallel":1024}`)
	f.Add("lookup_model", `{"model":"catalog:Qwen/Qwen3-8B","detail":"tensors"}`)
	f.Add("lookup_hardware", `{"name":"4090 x","min_memory_bytes":1}`)
	f.Fuzz(func(t *testing.T, name, args string) {
		r := s.Call(t.Context(), name, json.RawMessage(args))
		if !json.Valid(r.Structured) || r.Text == "" || r.Failed && strings.HasPrefix(r.Text, string(model.Internal)) {
			t.Errorf("%s %s: %s", name, args, r.Text)
		}
	})
}

func BenchmarkPlanCall(b *testing.B) {
	s := newSurface(b, Options{})
	args := json.RawMessage(`{"model":"Qwen/Qwen3-8B","engine":"vllm","hardware":"H100","context_tokens":8192}`)
	for b.Loop() {
		if r := s.Call(b.Context(), "plan_memory", args); r.Failed {
			b.Fatal(string(r.Structured))
		}
	}
}
