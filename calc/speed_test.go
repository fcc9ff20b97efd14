package calc_test

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"

	"hwledger/calc"
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

// TestSpeedObserved: what people measured lies within the range, and the range
// of a single sequence is no wider than a factor of three.
func TestSpeedObserved(t *testing.T) {
	f, err := os.Open("../testdata/observations/throughput.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := 0
	for sc := bufio.NewScanner(f); sc.Scan(); rows++ {
		var r struct {
			Model, Engine, Weights, Hardware, Source string
			Context                                  int64 `json:"context_tokens"`
			Decode, Prefill                          float64
		}
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		e := speed(t, r.Model, r.Engine, r.Weights, r.Hardware, r.Context, 1)
		if d := e.Decode; r.Decode < d.Low || r.Decode > d.High || d.High > 3*d.Low {
			t.Errorf("%s %s on %s: %.1f tokens/s measured (%s), planned %.1f to %.1f", r.Model, r.Weights, r.Hardware, r.Decode, r.Source, d.Low, d.High)
		}
		if p := e.Prefill; r.Prefill > 0 && (r.Prefill < p.Low || r.Prefill > p.High) {
			t.Errorf("%s on %s: %.0f prompt tokens/s measured, planned %.0f to %.0f", r.Model, r.Hardware, r.Prefill, p.Low, p.High)
		}
	}
	if rows != 14 {
		t.Errorf("%d rows", rows)
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
