package calc_test

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
)

// TestSGLangObserved plans what users started and compares with what SGLang
// printed: the bytes of a token within what two decimals of both pools hide;
// weights, a difference of free memory, in the range, and within 3.5 % but for
// modelslim's int8. The range was made from these rows. A row that cannot be
// planned says why.
func TestSGLangObserved(t *testing.T) {
	f, err := os.Open("../testdata/observations/sglang.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, planned := 0, 0
	for sc := bufio.NewScanner(f); sc.Scan(); rows++ {
		var row struct {
			ID      string `json:"id"`
			Model   string `json:"model"`
			Weights string `json:"weights"`
			TP      int64  `json:"tp"`
			DP      int64  `json:"dp"` // attention groups
			Page    int64  `json:"page"`
			KVType  string `json:"kv_dtype"`
			Why     string `json:"unplanned"`
			Seen    struct {
				Tokens  int64   `json:"kv_cache_tokens"`
				KV      float64 `json:"kv_gib"`
				Weights float64 `json:"weights_gib"`
			} `json:"observed"`
		}
		if err := json.Unmarshal(sc.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		if row.Why != "" {
			continue
		}
		planned++
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
		if row.Seen.Weights == 0 {
			continue
		}
		var low, high engine.Bytes
		for i := range r.Terms {
			if t := &r.Terms[i]; t.Category == engine.Weights && slices.Contains(t.On, 0) {
				l, h := t.Range()
				low, high = low+l, high+h
			}
		}
		const rounded = 0.005
		if row.Seen.Weights < float64(low)/gib-rounded || row.Seen.Weights > float64(high)/gib+rounded {
			t.Errorf("%s: weights of %s to %s planned, printed were %.2f GiB", row.ID, low, high, row.Seen.Weights)
		}
		got := float64(r.Devices[0].Weights) / gib
		t.Logf("%s: weights %+.1f %%", row.ID, 100*(got/row.Seen.Weights-1))
		if row.Weights != "int8" && math.Abs(got/row.Seen.Weights-1) > 0.035 {
			t.Errorf("%s: weights of %.2f GiB planned, printed were %.2f", row.ID, got, row.Seen.Weights)
		}
	}
	if rows != 11 || planned != 8 {
		t.Errorf("%d rows, %d planned", rows, planned)
	}
}
