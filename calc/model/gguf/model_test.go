package gguf_test

import (
	"bytes"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
	"hwledger/internal/observed"
)

func header(t *testing.T, f *ggufgen.File) *gguf.Header {
	t.Helper()
	b := f.Header()
	h, err := gguf.Parse(bytes.NewReader(b), int64(len(b))+f.DataBytes())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Weights and parameters are what llama.cpp reported after loading a file with
// the same header.
func TestModelMatchesEngine(t *testing.T) {
	e, err := observed.EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range e.Rows {
		if r.Weights != "F16" || r.Error != "" || seen[r.Model] {
			continue
		}
		seen[r.Model] = true
		t.Run(r.Model, func(t *testing.T) {
			f, err := ggufgen.Build(e.Hyperparameters[r.Model])
			if err != nil {
				t.Fatal(err)
			}
			m, err := header(t, f).Model()
			if err != nil {
				t.Fatal(err)
			}
			var sum int64
			for i := range m.Tensors {
				sum += m.Tensors[i].Bytes
			}
			if sum != r.ModelSize {
				t.Errorf("%d bytes of weights, the engine reported %d", sum, r.ModelSize)
			}
			if n := m.Count().Total; n != r.NParams {
				t.Errorf("%d parameters, the engine reported %d", n, r.NParams)
			}
			t.Log(m.Layers[0].Kind(), m.Layers[len(m.Layers)-1].Kind(), m.Count().Active, m.Layers[len(m.Layers)-1].FFN)
		})
	}
	if len(seen) != len(e.Hyperparameters) {
		t.Errorf("%d models of %d were read", len(seen), len(e.Hyperparameters))
	}
}

var _ model.Kind
