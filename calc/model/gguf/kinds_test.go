package gguf_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/internal/ggufgen"
	"hwledger/internal/observed"
)

// The engine logs each cache with its number of layers, its cells and its
// size, and the recurrent state with its size: they are what the layers keep,
// f16 rows and f32 states.
func TestLayersMatchEngine(t *testing.T) {
	e, err := observed.EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	rows, models := 0, map[string]*model.Model{}
	for _, r := range e.Rows {
		if r.Error != "" || strings.Trim(r.Setting.CTK+r.Setting.CTV, "f16") != "" || r.Setting.NRSSeq != nil {
			continue
		}
		m := models[r.Model]
		if m == nil {
			f, err := ggufgen.Build(e.Hyperparameters[r.Model])
			if err != nil {
				t.Fatal(err)
			}
			if m, err = header(t, f).Model(); err != nil {
				t.Fatalf("%s: %v", r.Model, err)
			}
			models[r.Model] = m
		}
		rows++
		checkCaches(t, &r, keptBy(m))
	}
	if rows < 1000 || len(models) != 23 {
		t.Errorf("%d rows of %d models were compared", rows, len(models))
	}
}

// kept is what the layers of a model keep.
type kept struct {
	layers [2]int64 // with a full, with a capped cache
	row    [2]int64 // elements for each token over these layers
	state  int64    // elements for each sequence
}

func keptBy(m *model.Model) (k kept) {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			stores := x.AppendStores(nil, 1)
			if a, ok := x.(*model.MLA); ok && hasTensor(m, "attn_kv_b.weight") {
				stores = a.AppendExpanded(nil, 1)
			}
			for j, s := range stores {
				if s.Axis == model.PerSequence {
					k.state += s.Elems
					continue
				}
				kind := 0
				if s.Window > 0 {
					kind = 1
				}
				k.row[kind] += s.Elems
				if j == 0 {
					k.layers[kind]++
				}
			}
		}
	}
	return k
}

func hasTensor(m *model.Model, name string) bool {
	return slices.ContainsFunc(m.Tensors, func(t model.Tensor) bool { return t.Name == name })
}

func checkCaches(t *testing.T, r *observed.EngineRow, k kept) {
	t.Helper()
	lines := slices.Clone(r.Parsed.KV)
	slices.SortStableFunc(lines, func(a, b observed.CacheLine) int { return int(b.Cells - a.Cells) })
	streams := r.Setting.NSeqMax
	if r.Setting.KVUnified != nil && *r.Setting.KVUnified == 1 {
		streams = 1
	}
	mib := func(bytes int64) float64 { return float64(bytes) / (1 << 20) }
	for i, line := range lines {
		kind := i
		if k.layers[0] == 0 {
			kind = 1
		}
		if kind > 1 || line.Layers != k.layers[kind] {
			t.Errorf("%s, n_ctx %d, %d sequences: a cache of %d layers, the model has %v", r.Model, r.Setting.NCtx, r.Setting.NSeqMax, line.Layers, k.layers)
			continue
		}
		if got := mib(2 * k.row[kind] * line.Cells * streams); math.Abs(got-line.TotalMiB) > 0.006 {
			t.Errorf("%s, n_ctx %d, %d sequences: %.2f MiB in %d cells, the engine has %.2f", r.Model, r.Setting.NCtx, r.Setting.NSeqMax, got, line.Cells, line.TotalMiB)
		}
	}
	var state float64
	for _, line := range r.Parsed.RS {
		state += line.TotalMiB
	}
	if got := mib(4 * k.state * r.Setting.NSeqMax); math.Abs(got-state) > 0.006 {
		t.Errorf("%s, n_ctx %d, %d sequences: %.2f MiB of state, the engine has %.2f", r.Model, r.Setting.NCtx, r.Setting.NSeqMax, got, state)
	}
}
