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
	"hwledger/calc/model/hfconfig"
)

// llamaCppGB is cache and state in 10⁹ bytes at 131,072 tokens, one sequence,
// f16, as llama.cpp itself allocates it: the reference column of a comparison
// of eleven models that most estimators get wrong.
var llamaCppGB = map[string]float64{
	"meta-llama/Llama-3.1-8B":                    17.18,
	"deepseek-ai/DeepSeek-V3":                    9.21,
	"google/gemma-3-27b-it":                      11.39,
	"openai/gpt-oss-20b":                         3.24,
	"Qwen/Qwen3-Next-80B-A3B-Instruct":           3.30,
	"ai21labs/AI21-Jamba-1.5-Mini":               2.165,
	"tiiuae/Falcon-H1-7B-Base":                   6.046,
	"meta-llama/Llama-4-Scout-17B-16E-Instruct":  7.73,
	"Qwen/Qwen3-30B-A3B":                         12.88,
	"nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": 0.855,
	"google/gemma-4-26B-A4B":                     3.00,
}

// TestPeers plans those models under llama.cpp and under the ideal engine,
// whose reference is the file's own figure.
func TestPeers(t *testing.T) {
	raw, err := os.ReadFile("model/hfconfig/testdata/peers.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	sc := bufio.NewScanner(bytes.NewReader(raw))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var row struct {
			ID     string          `json:"id"`
			GB     float64         `json:"gb"`
			Config json.RawMessage `json:"config"`
		}
		if err := json.Unmarshal(sc.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		m, err := hfconfig.Parse(row.Config)
		if err != nil {
			t.Fatalf("%s: %v", row.ID, err)
		}
		near := func(name string, want float64) {
			r, err := calc.Plan(calc.Request{Model: m, Engine: name, Load: engine.Load{ContextTokens: 131072, Sequences: 1}})
			if err != nil {
				t.Fatalf("%s under %s: %v", row.ID, name, err)
			}
			got := float64(r.Totals.KVCache+r.Totals.State) / 1e9
			if r.Host != nil {
				got += float64(r.Host.KVCache+r.Host.State) / 1e9
			}
			if off := math.Abs(got-want) / want; off > 0.01 {
				t.Errorf("%s under %s: %.3f GB, want %.3f (%.1f %% off)", row.ID, name, got, want, 100*off)
			}
		}
		near("ideal", row.GB)
		if want, ok := llamaCppGB[row.ID]; ok {
			near("llama.cpp", want)
			seen++
		}
	}
	if seen != len(llamaCppGB) {
		t.Errorf("%d of %d models are in the file", seen, len(llamaCppGB))
	}
}
