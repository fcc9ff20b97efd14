package gguf_test

import (
	"reflect"
	"strings"
	"testing"

	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
)

func moeFile(t *testing.T) *ggufgen.File {
	t.Helper()
	f, err := ggufgen.Build([]byte(`{"name":"m","arch":"qwen3moe","L":4,"d":256,"ff":512,"h":4,"kv":2,"hd":64,"vocab":512,"ctx":4096,"E":8,"k":2,"ffe":128}`))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A split model is the same model.
func TestJoin(t *testing.T) {
	f := moeFile(t)
	want, err := header(t, f).Model()
	if err != nil {
		t.Fatal(err)
	}
	var parts []*gguf.Header
	for _, p := range f.Split(3) {
		parts = append(parts, header(t, p))
	}
	if _, err := parts[1].Model(); err == nil || !strings.Contains(err.Error(), "part 2 of 3") {
		t.Errorf("one part alone: %v", err)
	}
	h, err := gguf.Join(parts[2], parts[0], parts[1])
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Model()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Tensors, want.Tensors) || !reflect.DeepEqual(got.Layers, want.Layers) {
		t.Error("the joined model differs")
	}
	if h.Files != 3 || h.Tensor("blk.3.ffn_norm.weight").File != 2 {
		t.Errorf("%d files, the last layer is in file %d", h.Files, h.Tensor("blk.3.ffn_norm.weight").File)
	}
	for name, c := range map[string]struct {
		parts []*gguf.Header
		text  string
	}{
		"missing": {parts[:2], "3 files, 2 were given"},
		"double":  {[]*gguf.Header{parts[0], parts[1], parts[1]}, "twice"},
		"mixed":   {[]*gguf.Header{parts[0], parts[1], header(t, f)}, "not part"},
	} {
		if _, err := gguf.Join(c.parts...); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSplitPaths(t *testing.T) {
	for path, want := range map[string][]string{
		"a/m.gguf":                      {"a/m.gguf"},
		"a/m-00002-of-00003.gguf":       {"a/m-00001-of-00003.gguf", "a/m-00002-of-00003.gguf", "a/m-00003-of-00003.gguf"},
		"m-Q4-00001-of-00001.gguf":      {"m-Q4-00001-of-00001.gguf"},
		"m-00004-of-00003.gguf":         {"m-00004-of-00003.gguf"},
		"m-0000x-of-00003.gguf":         {"m-0000x-of-00003.gguf"},
		"-00001-of-00002.gguf":          {"-00001-of-00002.gguf", "-00002-of-00002.gguf"},
		"m-00001-of-99999.gguf":         {"m-00001-of-99999.gguf"},
		"m-00001-of-00002.safetensors":  {"m-00001-of-00002.safetensors"},
		"m-00001-of-00002.gguf.partial": {"m-00001-of-00002.gguf.partial"},
	} {
		if got := gguf.SplitPaths(path); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
