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

// started is what a start of TensorRT-LLM printed.
type started struct {
	ID      string `json:"id"`
	Version string `json:"engine_version"`
	Model   string `json:"model"`
	Weights string `json:"weights_dtype"`
	TP      int64  `json:"tp"`
	EP      int64  `json:"expert_parallel"`
	Block   int64  `json:"block_size"`
	Seen    struct {
		Blocks  int64   `json:"num_gpu_blocks"`
		Tokens  int64   `json:"kv_cache_tokens"`
		Bytes   int64   `json:"kv_cache_bytes"`
		Pool    float64 `json:"kv_cache_gib"`
		Free    float64 `json:"free_before_cache_gib"`
		Weights float64 `json:"weights_gib"`
		Context float64 `json:"context_gib"`
	} `json:"observed"`
}

// TestTensorRTObserved plans what users started and compares with what the
// engine printed: cache figures to the last digit, weights to 5 %.
func TestTensorRTObserved(t *testing.T) {
	f, err := os.Open("../testdata/observations/tensorrt-llm.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := 0
	for sc := bufio.NewScanner(f); sc.Scan(); rows++ {
		var row started
		if err := json.Unmarshal(sc.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		t.Run(row.ID, func(t *testing.T) { checkStart(t, &row) })
	}
	if rows != 4 {
		t.Errorf("%d rows", rows)
	}
}

func checkStart(t *testing.T, row *started) {
	load := engine.Load{Version: row.Version, ContextTokens: 1024, TensorParallel: row.TP, Flags: engine.Flags{}}
	if row.EP > 0 {
		load.Flags["ep_size"] = row.EP
	}
	if row.Seen.Tokens > 0 {
		load.Flags["max_tokens"] = row.Seen.Tokens
	}
	m := resolve(t, "catalog:"+row.Model)
	plan := func(hw engine.Hardware) *calc.Result {
		r, err := calc.Plan(calc.Request{Model: m, Engine: "tensorrt-llm", Load: load, Hardware: hw})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := plan(engine.Hardware{})
	if row.Seen.Free > 0 {
		// A device that has this much free beside everything but the cache.
		d := r.Devices[0]
		total := d.Required - d.KVCache - d.State + engine.Bytes(row.Seen.Free*float64(engine.GiB))
		r = plan(engine.Hardware{Devices: []engine.Device{gpu("GPU", total)}})
	}
	if want := row.Seen.Blocks; want > 0 && r.Cache.CapacityTokens != want*row.Block {
		t.Errorf("%d tokens, printed %d blocks of %d", r.Cache.CapacityTokens, want, row.Block)
	}
	if want := row.Seen.Tokens; want > 0 && r.Cache.CapacityTokens != want {
		t.Errorf("%d tokens, printed %d", r.Cache.CapacityTokens, want)
	}
	if want := row.Seen.Bytes; want > 0 && int64(r.Cache.Pool) != want {
		t.Errorf("a pool of %d bytes, printed %d", r.Cache.Pool, want)
	}
	if want, got := row.Seen.Pool, float64(r.Cache.Pool)/float64(engine.GiB); want > 0 && math.Abs(got-want) > 0.005 {
		t.Errorf("a pool of %.3f GiB, printed %.2f", got, want)
	}
	if want := row.Seen.Weights; want > 0 {
		held := float64(r.Devices[0].Weights)
		for _, x := range r.Terms {
			if x.Name == "communicators" {
				held += float64(x.Bytes)
			}
		}
		if got := held / float64(engine.GiB); math.Abs(got-want)/want > 0.05 {
			t.Errorf("%.2f GiB of weights and communicators, printed %.2f", got, want)
		}
	}
	for _, x := range r.Terms {
		low, high := x.Range()
		if want := engine.Bytes(row.Seen.Context * float64(engine.GiB)); want > 0 && x.Name == "device context" && (want < low || want > high) {
			t.Errorf("a context of %s to %s, printed %s", low, high, want)
		}
	}
}
