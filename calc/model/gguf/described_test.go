package gguf_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
	"hwledger/internal/observed"
)

// described writes a file's header as Ollama's /api/show does, and reads it.
func described(t *testing.T, f *ggufgen.File) (*gguf.Header, error) {
	t.Helper()
	info := map[string]any{}
	for _, kv := range f.KV {
		info[kv.Key] = kv.Value
	}
	delete(info, "general.name")
	info["general.parameter_count"] = uint64(1 << 40)
	info["tokenizer.chat_template"] = nil
	var tensors []map[string]any
	for _, x := range f.Tensors {
		tensors = append(tensors, map[string]any{"name": x.Name, "type": x.Type.String(), "shape": x.Dims})
	}
	raw, err := json.Marshal(map[string]any{"model_info": info, "tensors": tensors})
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Info    map[string]any   `json:"model_info"`
		Tensors []gguf.Described `json:"tensors"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&back); err != nil {
		t.Fatal(err)
	}
	return gguf.FromDescription(back.Info, back.Tensors)
}

// Every model that the engine loaded is the same by its description as by its
// file, and has the size and the parameters that the engine reported.
func TestFromDescription(t *testing.T) {
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
		f, err := ggufgen.Build(e.Hyperparameters[r.Model])
		if err != nil {
			t.Fatal(err)
		}
		h, err := described(t, f)
		if err != nil {
			t.Errorf("%s: %v", r.Model, err)
			continue
		}
		m, err := h.Model()
		if err != nil {
			t.Errorf("%s: %v", r.Model, err)
			continue
		}
		if h.TensorBytes() != r.ModelSize || m.Count().Total != r.NParams {
			t.Errorf("%s: %d bytes and %d parameters, the engine reported %d and %d", r.Model, h.TensorBytes(), m.Count().Total, r.ModelSize, r.NParams)
		}
		head := f.Header()
		file, err := gguf.Parse(bytes.NewReader(head), -1)
		if err != nil {
			t.Fatal(err)
		}
		want, err := file.Model()
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(m.Layers, want.Layers) || !reflect.DeepEqual(m.Tensors, want.Tensors) || m.Vocab != want.Vocab || m.Context != want.Context || m.Tied != want.Tied || !reflect.DeepEqual(m.Rope, want.Rope) {
			t.Errorf("%s: the description and the file differ", r.Model)
		}
	}
	if len(seen) < 5 {
		t.Fatalf("only %d models", len(seen))
	}
}

func TestFromDescriptionRefuses(t *testing.T) {
	tensor := func(name, typ string, shape ...int64) []gguf.Described {
		return []gguf.Described{{Name: name, Type: typ, Shape: shape}}
	}
	for name, c := range map[string]struct {
		kv      map[string]any
		tensors []gguf.Described
	}{
		"type":        {nil, tensor("a", "Q9_X", 32)},
		"zero":        {nil, tensor("a", "F32", 0)},
		"negative":    {nil, tensor("a", "F32", -1)},
		"overflow":    {nil, tensor("a", "F32", 1<<40, 1<<40)},
		"much":        {nil, tensor("a", "F32", 1<<60)},
		"dimensions":  {nil, tensor("a", "F32", 1, 1, 1, 1, 1)},
		"block":       {nil, tensor("a", "Q4_K", 100)},
		"name":        {nil, tensor(strings.Repeat("a", 2000), "F32", 1)},
		"twice":       {nil, append(tensor("a", "F32", 1), tensor("a", "F32", 1)...)},
		"object":      {map[string]any{"k": map[string]any{}}, nil},
		"mixed list":  {map[string]any{"k": []any{json.Number("1"), true}}, nil},
		"mixed texts": {map[string]any{"k": []any{"a", true}}, nil},
		"nested":      {map[string]any{"k": []any{[]any{}}}, nil},
		"huge number": {map[string]any{"k": json.Number("1e999")}, nil},
	} {
		_, err := gguf.FromDescription(c.kv, c.tensors)
		if e, ok := err.(*model.Error); !ok || e.Code != model.MalformedFile {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzFromDescription(f *testing.F) {
	f.Add(`{"model_info":{"general.architecture":"llama","llama.block_count":1,"llama.embedding_length":32,"a":[1,2.5],"b":["x"],"c":null,"d":18446744073709551615},"tensors":[{"name":"token_embd.weight","type":"F16","shape":[32,8]},{"name":"blk.0.attn_q.weight","type":"Q4_0","shape":[32,32]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var s struct {
			Info    map[string]any   `json:"model_info"`
			Tensors []gguf.Described `json:"tensors"`
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&s) != nil {
			return
		}
		h, err := gguf.FromDescription(s.Info, s.Tensors)
		if err != nil {
			return
		}
		if h.TensorBytes() < 0 {
			t.Error("negative size")
		}
		_, _ = h.Model()
	})
}
