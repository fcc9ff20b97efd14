package calc_test

import (
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/hardware"
)

func devices(t testing.TB, text string) engine.Hardware {
	t.Helper()
	hw, err := hardware.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return hw
}

// TestMaximumIsMaximal: what is found fits, and one more does not.
func TestMaximumIsMaximal(t *testing.T) {
	for _, model := range []string{"Qwen/Qwen3-8B", "google/gemma-3-27b-it", "openai/gpt-oss-20b", "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-Next-80B-A3B-Instruct", "state-spaces/mamba2-2.7b", "meta-llama/Llama-3.1-70B"} {
		m := resolve(t, "catalog:"+model)
		for _, eng := range calc.Engines() {
			for _, hw := range []string{"RTX 4090", "2x H100-80GB", "8x H200", "M3 Max 64GB", "RTX 3060 + 64GB RAM"} {
				for _, accept := range []calc.Accept{calc.Safely, calc.Expected} {
					req := calc.Request{Model: m, Engine: eng, Hardware: devices(t, hw)}
					name := model + " " + eng + " " + hw
					maximal(t, name+" context", req, accept, calc.MaxContext, func(l *engine.Load, n int64) { l.ContextTokens = n })
					req.Load.ContextTokens = 2048
					maximal(t, name+" sequences", req, accept, calc.MaxSequences, func(l *engine.Load, n int64) { l.Sequences = n })
				}
			}
		}
	}
}

func maximal(t *testing.T, name string, req calc.Request, accept calc.Accept, solve func(calc.Request, calc.Accept) (*calc.Maximum, error), set func(*engine.Load, int64)) {
	t.Helper()
	got, err := solve(req, accept)
	if err != nil {
		return // the engine refuses the model: other tests hold that
	}
	fits := func(n int64) bool {
		set(&req.Load, n)
		r, err := calc.Plan(req)
		return err == nil && (r.Verdict == calc.Fits || r.Verdict == calc.Tight && accept == calc.Expected)
	}
	if got.Value > 0 && !fits(got.Value) {
		t.Errorf("%s: %d does not fit", name, got.Value)
	}
	if got.Binding.Kind == "memory" && fits(got.Value+1) {
		t.Errorf("%s: %d fits, %d was the maximum", name, got.Value+1, got.Value)
	}
	if got.Value == 0 && got.Binding.Short <= 0 && got.Binding.Kind == "memory" {
		t.Errorf("%s: nothing fits, short by %d", name, got.Binding.Short)
	}
	if got.Plans > 40 {
		t.Errorf("%s: %d plans", name, got.Plans)
	}
}

func BenchmarkMaxContext(b *testing.B) {
	m := resolve(b, "catalog:Qwen/Qwen3-8B")
	for _, eng := range []string{"vllm", "llama.cpp", "ideal"} {
		b.Run(eng, func(b *testing.B) {
			req := calc.Request{Model: m, Engine: eng, Hardware: devices(b, "RTX 3080")}
			req.Load.Weights = "fp8"
			if eng == "llama.cpp" {
				req.Load.Weights = "Q4_K_M"
			}
			plans := 0
			for b.Loop() {
				got, err := calc.MaxContext(req, calc.Expected)
				if err != nil {
					b.Fatal(err)
				}
				plans += got.Plans
			}
			b.ReportMetric(float64(plans)/float64(b.N), "plans/op")
		})
	}
}
