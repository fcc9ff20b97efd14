package calc_test

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
)

// TestSGLangObserved plans what users started and compares with what SGLang
// printed (of a cache in fp4 it prints the data without its scales, so that row
// is not here): the bytes of a token within what two decimals of both pools hide,
// weights, a difference of free memory, within 3 %.
func TestSGLangObserved(t *testing.T) {
	f, err := os.Open("../testdata/observations/sglang.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := 0
	for sc := bufio.NewScanner(f); sc.Scan(); rows++ {
		var row struct {
			ID      string `json:"id"`
			Model   string `json:"model"`
			Weights string `json:"weights"`
			TP      int64  `json:"tp"`
			DP      int64  `json:"dp"` // attention groups
			Page    int64  `json:"page"`
			KVType  string `json:"kv_dtype"`
			Seen    struct {
				Tokens  int64   `json:"kv_cache_tokens"`
				KV      float64 `json:"kv_gib"`
				Weights float64 `json:"weights_gib"`
			} `json:"observed"`
		}
		if err := json.Unmarshal(sc.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		load := engine.Load{ContextTokens: 1024, TensorParallel: row.TP, KVCacheType: row.KVType, Weights: row.Weights, Flags: engine.Flags{"page_size": row.Page}}
		if row.DP > 1 {
			load.DataParallel, load.Flags["enable_dp_attention"] = row.DP, true
		}
		r, err := calc.Size(calc.Request{Model: resolve(t, "catalog:"+row.Model), Engine: "sglang", Load: load})
		if err != nil {
			t.Errorf("%s: %v", row.ID, err)
			continue
		}
		const gib = 1 << 30
		seen := row.Seen.KV * gib / float64(row.Seen.Tokens+row.Page)
		if slack := 0.01 * gib / float64(row.Seen.Tokens); math.Abs(float64(r.Cache.MarginalPerToken)-seen) > slack {
			t.Errorf("%s: %d bytes of a token planned, printed were %.1f ± %.1f", row.ID, r.Cache.MarginalPerToken, seen, slack)
		}
		if got := float64(r.Devices[0].Weights) / gib; row.Seen.Weights > 0 && math.Abs(got/row.Seen.Weights-1) > 0.03 {
			t.Errorf("%s: weights of %.2f GiB planned, printed were %.2f", row.ID, got, row.Seen.Weights)
		}
	}
	if rows != 8 {
		t.Errorf("%d rows", rows)
	}
}
