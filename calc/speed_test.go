package calc_test

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/throughput"
)

func speed(t testing.TB, model, eng, weights, hw string, context, seqs int64) *throughput.Estimate {
	t.Helper()
	req := calc.Request{Model: resolve(t, "catalog:"+model), Engine: eng, Hardware: devices(t, hw)}
	req.Load.ContextTokens, req.Load.Sequences, req.Load.Weights = context, seqs, weights
	res, err := calc.Size(req)
	if err != nil {
		t.Fatalf("%s: %v", model, err)
	}
	e := calc.Speed(req, res)
	if e == nil {
		t.Fatalf("%s on %s: no speed", model, hw)
	}
	return e
}

// observation is a line of testdata/observations/throughput.jsonl.
type observation struct {
	Model, Engine, Weights, Hardware, Source string
	Context                                  int64  `json:"context_tokens"`
	Sequences                                int64  `json:"sequences"`
	TensorParallel                           int64  `json:"tensor_parallel"`
	BatchTokens                              int64  `json:"batch_tokens"`
	KVCacheType                              string `json:"kv_cache_dtype"`
	GPULayers                                *int64 `json:"gpu_layers"`
	CPUMoELayers                             int64  `json:"cpu_moe_layers"`
	Decode, Prefill                          float64
	FirstToken                               float64 `json:"first_token_ms"`
}

func (o *observation) estimate(t *testing.T) *throughput.Estimate {
	req := calc.Request{Model: resolve(t, "catalog:"+o.Model), Engine: o.Engine, Hardware: devices(t, o.Hardware), Load: engine.Load{
		ContextTokens: o.Context, Sequences: max(1, o.Sequences), Weights: o.Weights, TensorParallel: o.TensorParallel,
		BatchTokens: o.BatchTokens, KVCacheType: o.KVCacheType, GPULayers: o.GPULayers, CPUMoELayers: o.CPUMoELayers,
	}}
	res, err := calc.Size(req)
	if err != nil {
		t.Fatalf("%s: %v", o.Model, err)
	}
	e := calc.Speed(req, res)
	if e == nil {
		t.Fatalf("%s on %s: no speed", o.Model, o.Hardware)
	}
	return e
}

// TestSpeedObserved: what people measured lies within the range, and the range
// of a single sequence on a known device is no wider than a factor of four.
func TestSpeedObserved(t *testing.T) {
	f, err := os.Open("../testdata/observations/throughput.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := 0
	for sc := bufio.NewScanner(f); sc.Scan(); rows++ {
		var o observation
		if err := json.Unmarshal(sc.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		e := o.estimate(t)
		for _, c := range []struct {
			what      string
			measured  float64
			low, high float64
		}{
			{"tokens/s", o.Decode, e.Decode.Low, e.Decode.High},
			{"prompt tokens/s", o.Prefill, e.Prefill.Low, e.Prefill.High},
			{"ms to the first token", o.FirstToken, e.FirstToken.Low, e.FirstToken.High},
		} {
			if c.measured > 0 && (c.measured < c.low || c.measured > c.high) {
				t.Errorf("%s %s on %s, %d × %d: %.1f %s measured (%s), planned %.1f to %.1f", o.Model, o.Weights, o.Hardware, max(1, o.Sequences), o.Context, c.measured, c.what, o.Source, c.low, c.high)
			}
		}
		if offloads := o.GPULayers != nil || o.CPUMoELayers > 0; o.Sequences < 2 && !offloads && e.Decode.High > 4*e.Decode.Low {
			t.Errorf("%s on %s: %.1f to %.1f is too wide", o.Model, o.Hardware, e.Decode.Low, e.Decode.High)
		}
	}
	if rows < 160 {
		t.Errorf("%d rows", rows)
	}
}

// TestSpeedSpeculated: a Qwen3.6-27B that drafts 3 tokens was 2.1 times as fast
// (sudoingX/qwen38-mtp pull 53, 41.0 to 85.4 tokens/s); drafting may also cost.
func TestSpeedSpeculated(t *testing.T) {
	run := func(flags engine.Flags) *throughput.Estimate {
		req := calc.Request{Model: resolve(t, "catalog:Qwen/Qwen3.6-27B"), Engine: "vllm", Hardware: devices(t, "H200"), Load: engine.Load{ContextTokens: 4096, Flags: flags}}
		res, err := calc.Size(req)
		if err != nil {
			t.Fatal(err)
		}
		return calc.Speed(req, res)
	}
	plain, drafted := run(nil), run(engine.Flags{"num_speculative_tokens": 3})
	if up := drafted.Decode.High / plain.Decode.High; up < 85.4/41.0 || up > 4 {
		t.Errorf("drafting 3 tokens is at most %.2f times as fast", up)
	}
	if drafted.Decode.Low > plain.Decode.Low*1.5 {
		t.Errorf("drafting promises %.1f of %.1f tokens/s", drafted.Decode.Low, plain.Decode.Low)
	}
}

// TestSpeedEager: without graphs a step takes longer; on an H100 they gave an
// 8B model 1.26 times the speed (J. Chen 2026).
func TestSpeedEager(t *testing.T) {
	o := observation{Model: "meta-llama/Llama-3.1-8B", Engine: "vllm", Weights: "bf16", Hardware: "H100-80GB", Context: 512}
	graphs := o.estimate(t)
	o.Engine = "transformers"
	eager := o.estimate(t)
	if eager.Decode.High*1.26 > graphs.Decode.High*1.05 || eager.Decode.Low > graphs.Decode.Low {
		t.Errorf("eager %.1f to %.1f, with graphs %.1f to %.1f", eager.Decode.Low, eager.Decode.High, graphs.Decode.Low, graphs.Decode.High)
	}
}

// TestSpeedUnknown: a device that is only so many bytes has no speed, and the
// plan says why.
func TestSpeedUnknown(t *testing.T) {
	r, err := calc.Plan(calc.Request{Model: resolve(t, "catalog:Qwen/Qwen3-8B"), Engine: "vllm", Hardware: devices(t, "80GB")})
	if err != nil {
		t.Fatal(err)
	}
	if r.Throughput != nil || !strings.Contains(strings.Join(r.Notes, "\n"), "bandwidth") {
		t.Errorf("%+v, notes %q", r.Throughput, r.Notes)
	}
}

// TestSpeedOrder: more bandwidth is not slower, more sequences are not slower
// in all nor faster for each, a longer context is not faster.
func TestSpeedOrder(t *testing.T) {
	for _, m := range []string{"Qwen/Qwen3-8B", "Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-V2-Lite", "openai/gpt-oss-20b"} {
		for _, eng := range []string{"ideal", "vllm"} {
			one := speed(t, m, eng, "", "H100-80GB", 4096, 1)
			many := speed(t, m, eng, "", "H100-80GB", 4096, 16)
			long := speed(t, m, eng, "", "H100-80GB", 32768, 1)
			better := speed(t, m, eng, "", "H200", 4096, 1)
			for _, x := range []struct {
				what string
				ok   bool
			}{
				{"more sequences are slower in all", many.Decode.Low >= one.Decode.Low && many.Decode.High >= one.Decode.High},
				{"more sequences are faster for each", many.PerUser.Low <= one.PerUser.Low && many.PerUser.High <= one.PerUser.High},
				{"a longer context is faster", long.Decode.High <= one.Decode.High && long.FirstToken.Low >= one.FirstToken.Low},
				{"more bandwidth is slower", better.Decode.High >= one.Decode.High},
				{"a range is upside down", one.Decode.Low <= one.Decode.High && one.Prefill.Low <= one.Prefill.High && one.FirstToken.Low <= one.FirstToken.High},
			} {
				if !x.ok {
					t.Errorf("%s under %s: %s", m, eng, x.what)
				}
			}
		}
	}
}

// TestSpeedOffloaded: weights in system memory bound a plan by the host.
func TestSpeedOffloaded(t *testing.T) {
	req := calc.Request{Model: resolve(t, "catalog:meta-llama/Llama-3.1-70B"), Engine: "llama.cpp", Hardware: devices(t, "RTX 4090 + 128GB RAM")}
	layers := int64(30)
	req.Load.Weights, req.Load.GPULayers, req.Load.ContextTokens = "Q4_K_M", &layers, 4096
	res, err := calc.Size(req)
	if err != nil {
		t.Fatal(err)
	}
	if e := calc.Speed(req, res); e == nil || e.Decode.Bound != "host" || e.Decode.High > 12 {
		t.Errorf("%+v", e)
	}
}

func BenchmarkSpeed(b *testing.B) {
	req := calc.Request{Model: resolve(b, "catalog:Qwen/Qwen3-8B"), Engine: "vllm", Hardware: devices(b, "H100-80GB")}
	res, err := calc.Size(req)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if calc.Speed(req, res) == nil {
			b.Fatal("no speed")
		}
	}
}
