package ggufgen_test

import (
	"bytes"
	"testing"

	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
	"hwledger/internal/observed"
)

// Each header has the size and the number of parameters that llama.cpp
// reported after loading one of the same hyperparameters.
func TestMatchesEngine(t *testing.T) {
	e, err := observed.EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	type key struct{ model string }
	seen := map[key]bool{}
	for _, r := range e.Rows {
		if r.Weights != "F16" || r.Error != "" || seen[key{r.Model}] {
			continue
		}
		seen[key{r.Model}] = true
		t.Run(r.Model, func(t *testing.T) {
			f, err := ggufgen.Build(e.Hyperparameters[r.Model])
			if err != nil {
				t.Fatal(err)
			}
			head := f.Header()
			h, err := gguf.Parse(bytes.NewReader(head), -1)
			if err != nil {
				t.Fatal(err)
			}
			var params int64
			for i := range h.Tensors {
				params += h.Tensors[i].Elems()
			}
			if h.TensorBytes() != r.ModelSize || params != r.NParams {
				t.Errorf("%d bytes, %d parameters; the engine reported %d, %d", h.TensorBytes(), params, r.ModelSize, r.NParams)
			}
			if h.HeaderBytes != int64(len(head)) || h.DataBytes != f.DataBytes() {
				t.Errorf("header %d, data %d; written %d, %d", h.HeaderBytes, h.DataBytes, len(head), f.DataBytes())
			}
		})
	}
	if len(seen) != len(e.Hyperparameters) {
		t.Errorf("%d models of %d have F16 rows", len(seen), len(e.Hyperparameters))
	}
}

// With the types that llama-quantize chose, the headers have the sizes that it
// printed.
func TestMatchesQuantize(t *testing.T) {
	e, err := observed.EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := observed.QuantizeReported()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		f, err := ggufgen.Build(e.Hyperparameters[r.Model])
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Retype(r.TypeOf); err != nil {
			t.Fatal(err)
		}
		h, err := gguf.Parse(bytes.NewReader(f.Header()), -1)
		if err != nil {
			t.Fatalf("%s %s: %v", r.Model, r.FType, err)
		}
		if h.TensorBytes() != r.Bytes {
			t.Errorf("%s %s: %d bytes, llama-quantize printed %d", r.Model, r.FType, h.TensorBytes(), r.Bytes)
		}
	}
}

// The runnable file is whole: no tensor data is missing, and it is small.
func TestTinyRunnable(t *testing.T) {
	b, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	h, err := gguf.Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if h.MissingBytes != 0 || h.HeaderBytes+h.DataBytes != int64(len(b)) || len(b) > 1<<20 {
		t.Errorf("%d bytes, header %d, data %d, missing %d", len(b), h.HeaderBytes, h.DataBytes, h.MissingBytes)
	}
	if m, err := h.Model(); err != nil || m.Vocab != 286 {
		t.Errorf("vocabulary %+v, %v", m, err)
	}
}
