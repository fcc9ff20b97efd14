//go:build unix

package sidecar_test

import (
	"fmt"
	"testing"
	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
	"hwledger/internal/ggufgen"
	"hwledger/internal/ollamarun"
	"hwledger/sidecar"
)

func TestOLX(t *testing.T) {
	for _, c := range [][4]int64{{1, 1024, 256,4096}, {2, 512, 256,4096}, {2, 1024, 512,4096}, {4, 512, 512,4096}, {4, 2048, 512,4096}, {2, 2048, 512, 300}, {1,4096,512,300},{4,1024,512,300}} {
		file, err := ggufgen.Runnable(fmt.Sprintf(`{"name":"m","arch":"llama","L":3,"d":256,"ff":512,"h":8,"kv":4,"vocab":%d,"ctx":8192}`, c[3]))
		if err != nil {
			t.Fatal(err)
		}
		s := ollamarun.Start(t, fmt.Sprintf("OLLAMA_NUM_PARALLEL=%d", c[0]))
		s.Create("m", file)
		load := engine.Load{ContextTokens: c[1], Sequences: c[0], BatchTokens: c[2]}
		res := ollamaPlan(t, file, s.Version(), load)
		m := ollamaManager(t, s.URL, t.TempDir(), nil)
		launchIn(t, m, sidecar.Spec{Model: "m", ContextTokens: c[1], BatchTokens: c[2]})
		r, err := enginelog.Parse(s.Log())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range r.Compare(res) {
			if d.Name == "compute buffer" {
				t.Logf("%v: log %.3f plan %.3f diff %.3f", c, float64(d.Actual)/(1<<20), float64(d.Predicted)/(1<<20), float64(d.Actual-d.Predicted)/(1<<20))
			}
		}
	}
}
