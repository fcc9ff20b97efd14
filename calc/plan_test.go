package calc_test

import (
	"errors"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

func gpu(name string, total engine.Bytes) engine.Device {
	return engine.Device{Name: name, Vendor: "nvidia", Kind: engine.Dedicated, Total: total, Free: total, Usable: total}
}

// TestVerdict moves the size of one device across the three verdicts of
// Llama-3.1-8B under vLLM and checks each against the plan's own numbers.
func TestVerdict(t *testing.T) {
	m := resolve(t, "catalog:meta-llama/Llama-3.1-8B")
	plan := func(total engine.Bytes) *calc.Result {
		r, err := calc.Plan(calc.Request{Model: m, Engine: "vllm", Hardware: engine.Hardware{Devices: []engine.Device{gpu("GPU", total)}}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := plan(80 * engine.GiB); r.Verdict != calc.Fits {
		t.Errorf("16 GB of weights on 80 GiB: %s", r.Verdict)
	}
	if r := plan(12 * engine.GiB); r.Verdict != calc.DoesNotFit || r.Devices[0].Headroom >= 0 {
		t.Errorf("16 GB of weights on 12 GiB: %s, headroom %s", r.Verdict, r.Devices[0].Headroom)
	}
	r, err := calc.Plan(calc.Request{Model: m, Engine: "vllm"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != calc.NoVerdict {
		t.Errorf("without hardware: %s", r.Verdict)
	}
	seen := map[calc.Verdict]bool{}
	last := 0
	rank := map[calc.Verdict]int{calc.DoesNotFit: 0, calc.Tight: 1, calc.Fits: 2}
	for total := 14 * engine.GiB; total < 30*engine.GiB; total += 64 * engine.MiB {
		v := plan(total).Verdict
		if rank[v] < last {
			t.Fatalf("more memory made it worse: %s at %s", v, total)
		}
		last, seen[v] = rank[v], true
	}
	if len(seen) != 3 {
		t.Errorf("verdicts seen from 14 to 30 GiB: %v", seen)
	}
}

// refused reports whether a plan was refused with the code: not every engine
// runs every model.
func refused(err error, code model.Code) bool {
	var e *model.Error
	return errors.As(err, &e) && e.Code == code
}

// TestTotalsAreSumsOfTerms holds for every engine, split and model kind.
func TestTotalsAreSumsOfTerms(t *testing.T) {
	for _, ref := range []string{
		"catalog:meta-llama/Llama-3.1-8B", "catalog:deepseek-ai/DeepSeek-V3", "catalog:Qwen/Qwen3-Next-80B-A3B-Instruct", "catalog:google/gemma-3-27b-it",
	} {
		m := resolve(t, ref)
		for _, name := range calc.Engines() {
			for _, tp := range []int64{1, 2} {
				r, err := calc.Plan(calc.Request{Model: m, Engine: name, Load: engine.Load{TensorParallel: tp, Sequences: 3, ContextTokens: 4096}})
				if refused(err, model.InvalidArgument) || refused(err, model.UnsupportedArchitecture) {
					continue
				}
				if err != nil {
					t.Fatalf("%s %s: %v", ref, name, err)
				}
				var devices, host engine.Bytes
				for i := range r.Terms {
					term := &r.Terms[i]
					low, high := term.Range()
					if low > term.Bytes || term.Bytes > high {
						t.Errorf("%s %s %s: %d not in [%d, %d]", ref, name, term.Name, term.Bytes, low, high)
					}
					if term.Formula == "" || term.Source == "" || term.Confidence == "" {
						t.Errorf("%s %s %s: no formula, source or confidence", ref, name, term.Name)
					}
					devices += term.Bytes * engine.Bytes(len(term.On))
					if len(term.On) == 0 {
						host += term.Bytes
					}
				}
				if devices != r.Totals.Required {
					t.Errorf("%s %s: terms sum to %d, total says %d", ref, name, devices, r.Totals.Required)
				}
				if host > 0 && (r.Host == nil || r.Host.Required != host) {
					t.Errorf("%s %s: host terms sum to %d, host says %+v", ref, name, host, r.Host)
				}
				var sum engine.Bytes
				for _, d := range r.Devices {
					sum += d.Weights + d.KVCache + d.State + d.Workspace + d.Runtime
				}
				if sum != r.Totals.Required {
					t.Errorf("%s %s: devices sum to %d, total says %d", ref, name, sum, r.Totals.Required)
				}
			}
		}
	}
}

// TestMonotone: more tokens, more sequences and wider elements never need
// less.
func TestMonotone(t *testing.T) {
	for _, ref := range []string{"catalog:meta-llama/Llama-3.1-8B", "catalog:google/gemma-3-27b-it", "catalog:Qwen/Qwen3-Next-80B-A3B-Instruct", "catalog:openai/gpt-oss-20b"} {
		m := resolve(t, ref)
		for _, name := range calc.Engines() {
			if _, err := calc.Plan(calc.Request{Model: m, Engine: name}); refused(err, model.UnsupportedArchitecture) {
				continue
			}
			need := func(l engine.Load) engine.Bytes {
				r, err := calc.Plan(calc.Request{Model: m, Engine: name, Load: l})
				if err != nil {
					t.Fatalf("%s %s %+v: %v", ref, name, l, err)
				}
				return r.Totals.KVCache + r.Totals.State
			}
			var last engine.Bytes
			for tokens := int64(1); tokens < 1<<17; tokens = tokens*3/2 + 1 {
				now := need(engine.Load{ContextTokens: tokens, Sequences: 2})
				if now < last {
					t.Errorf("%s %s: %d tokens need %s, fewer needed %s", ref, name, tokens, now, last)
				}
				last = now
			}
			last = 0
			for n := int64(1); n <= 64; n *= 2 {
				now := need(engine.Load{ContextTokens: 8192 * n, Sequences: n})
				if now < last {
					t.Errorf("%s %s: %d sequences need %s, fewer needed %s", ref, name, n, now, last)
				}
				last = now
			}
		}
	}
}

// TestSuggestionsFit replans every suggestion with its own arguments.
func TestSuggestionsFit(t *testing.T) {
	m := resolve(t, "catalog:meta-llama/Llama-3.1-8B")
	hw := engine.Hardware{Devices: []engine.Device{gpu("GPU", 16*engine.GiB)}, Host: &engine.Device{Total: 64 * engine.GiB, Free: 64 * engine.GiB, Usable: 64 * engine.GiB}}
	for _, name := range []string{"vllm", "llama.cpp"} {
		r, err := calc.Plan(calc.Request{Model: m, Engine: name, Hardware: hw, Load: engine.Load{ContextTokens: 65536, Sequences: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict != calc.DoesNotFit || len(r.Suggestions) == 0 {
			t.Fatalf("%s: %s with %d suggestions", name, r.Verdict, len(r.Suggestions))
		}
		for _, s := range r.Suggestions {
			if _, more := s.Arguments["hardware"]; more {
				continue
			}
			load := engine.Load{ContextTokens: 65536, Sequences: 1}
			for k, v := range s.Arguments {
				switch k {
				case "context_tokens":
					load.ContextTokens = v.(int64)
				case "sequences":
					load.Sequences = v.(int64)
				case "weights":
					load.Weights = v.(string)
				case "kv_cache_dtype":
					load.KVCacheType = v.(string)
				case "gpu_layers":
					n := v.(int64)
					load.GPULayers = &n
				default:
					t.Errorf("%s suggests an unknown argument %s", name, k)
				}
			}
			again, err := calc.Plan(calc.Request{Model: m, Engine: name, Hardware: hw, Load: load})
			if err != nil || again.Verdict != calc.Fits || again.Totals.Required != s.Required {
				t.Errorf("%s: %q replanned: %v %+v", name, s.Change, err, again)
			}
		}
	}
}

// TestBadRequests name the argument and never panic.
func TestBadRequests(t *testing.T) {
	m := resolve(t, "catalog:meta-llama/Llama-3.1-8B")
	for field, req := range map[string]calc.Request{
		"engine":                 {Model: m, Engine: "vlm"},
		"context_tokens":         {Model: m, Load: engine.Load{ContextTokens: -1}},
		"sequences":              {Model: m, Load: engine.Load{Sequences: 1 << 40}},
		"gpu_memory_utilization": {Model: m, Load: engine.Load{MemoryUtilization: 1.5}},
		"model":                  {},
	} {
		_, err := calc.Plan(req)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != model.InvalidArgument || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	hw := engine.Hardware{Devices: []engine.Device{gpu("GPU", 80*engine.GiB)}}
	for _, c := range []struct{ name, ref, engine string }{
		{"dense/vllm", "catalog:meta-llama/Llama-3.1-8B", "vllm"},
		{"dense/llama.cpp", "catalog:meta-llama/Llama-3.1-8B", "llama.cpp"},
		{"dense/ideal", "catalog:meta-llama/Llama-3.1-8B", "ideal"},
		{"hybrid/vllm", "catalog:Qwen/Qwen3-Next-80B-A3B-Instruct", "vllm"},
	} {
		m := resolve(b, c.ref)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := calc.Plan(calc.Request{Model: m, Engine: c.engine, Hardware: hw}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestEncodersKeepNoCache: an embedding model sees its whole input at once.
func TestEncodersKeepNoCache(t *testing.T) {
	m := resolve(t, "catalog:BAAI/bge-m3")
	for _, name := range calc.Engines() {
		r, err := calc.Plan(calc.Request{Model: m, Engine: name})
		if refused(err, model.UnsupportedArchitecture) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cache := r.Totals.KVCache + r.Totals.State
		for _, b := range r.LayerCache {
			cache += b
		}
		if cache != 0 || r.Cache.PerSequence != 0 {
			t.Errorf("%s: %d bytes of cache", name, cache)
		}
	}
}
