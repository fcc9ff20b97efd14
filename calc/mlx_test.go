package calc_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"os"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
)

// studioRow is what LM Studio's MLX runtime prints when it fits a context.
type studioRow struct {
	ID, Model string
	Observed  struct {
		KV        int64   `json:"full_kv_bytes"`
		Attention int64   `json:"attention_bytes"`
		Inputs    int64   `json:"prompt_inputs_bytes"`
		Set       float64 `json:"working_set_gib"`
		Baseline  float64 `json:"baseline_gib"`
		Fitted    int64   `json:"fitted_tokens"`
	}
}

// TestLMStudioContextFit compares with the sum that LM Studio's runtime printed
// for a token (cache, scores, embedded prompt), by how much longer the fitted
// context gets on twice the memory, and with the context itself.
func TestLMStudioContextFit(t *testing.T) {
	raw, err := os.ReadFile("../testdata/observations/mlx.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for sc := bufio.NewScanner(bytes.NewReader(raw)); sc.Scan(); {
		var row studioRow
		if err := json.Unmarshal(sc.Bytes(), &row); err != nil || row.Observed.KV == 0 {
			continue
		}
		seen++
		fitted := func(gib float64) int64 {
			n := engine.Bytes(gib * float64(engine.GiB))
			r, err := calc.Plan(calc.Request{Model: resolve(t, "catalog:Qwen/"+row.Model), Engine: "lmstudio",
				Load:     engine.Load{ContextTokens: 8192, Weights: "mlx-4bit"},
				Hardware: engine.Hardware{Devices: []engine.Device{{Name: "Mac", Vendor: "apple", Kind: engine.Unified, Total: 2 * n, Free: 2 * n, Usable: n}}}})
			if err != nil {
				t.Fatal(err)
			}
			return r.Cache.CapacityTokens
		}
		o := row.Observed
		// Reserves stay 3 GiB up to 60 GiB.
		a, b := fitted(o.Set-8), fitted(o.Set)
		got, want := 8*float64(engine.GiB)/float64(b-a), float64(o.KV+o.Attention+o.Inputs)
		if d := got/want - 1; math.Abs(d) > 0.006 {
			t.Errorf("%s: %.0f B for a token, the runtime says %.0f", row.ID, got, want)
		}
		if d := float64(b)/float64(o.Fitted) - 1; math.Abs(d) > 0.1 {
			t.Errorf("%s: %d tokens fit, the runtime says %d", row.ID, b, o.Fitted)
		}
	}
	if seen != 2 {
		t.Errorf("%d rows of LM Studio's runtime, want 2", seen)
	}
}

// MLX's weights choose MLX, on whatever hardware.
func TestMLXWeightsChooseMLX(t *testing.T) {
	m := resolve(t, "catalog:meta-llama/Llama-3.1-8B")
	r, err := calc.Plan(calc.Request{Model: m, Load: engine.Load{Weights: "mlx-4bit"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Engine != "mlx" || r.Totals.Weights != 4517404672 {
		t.Errorf("%s with %d B of weights, want mlx with 4517404672 (V108)", r.Engine, r.Totals.Weights)
	}
}

func BenchmarkOtherEngines(b *testing.B) {
	m := resolve(b, "catalog:meta-llama/Llama-3.1-8B")
	for _, name := range []string{"mlx", "transformers", "lmstudio"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := calc.Plan(calc.Request{Model: m, Engine: name}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
