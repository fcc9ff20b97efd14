package ggufgen_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"hwledger/internal/ggufgen"
	"hwledger/internal/observed"
)

// Shapes known by name are those of the recorded models, and of models that
// nothing was fitted to; their parameter counts are the published ones.
func TestShapes(t *testing.T) {
	e, err := observed.EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range e.Hyperparameters {
		got, ok := ggufgen.Shape(name)
		if !ok {
			t.Errorf("no shape of %s", name)
			continue
		}
		var a, b any
		if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s is %s, recorded as %s", name, got, want)
		}
	}
	for name, want := range map[string]int64{
		"llama-3.3-70b": 70_553_706_496, "qwen3-8b": 8_190_735_360, "deepseek-v3": 671_026_419_200,
	} {
		raw, ok := ggufgen.Shape(name)
		if !ok {
			t.Errorf("no shape of %s", name)
			continue
		}
		f, err := ggufgen.Build(raw)
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		for _, x := range f.Tensors {
			elems := int64(1)
			for _, d := range x.Dims {
				elems *= d
			}
			if x.Name != "rope_freqs.weight" { // not a parameter of the model
				n += elems
			}
		}
		if n != want {
			t.Errorf("%s has %d parameters, published %d", name, n, want)
		}
	}
	if _, ok := ggufgen.Shape("nobody"); ok {
		t.Error("a shape of nobody")
	}
}
