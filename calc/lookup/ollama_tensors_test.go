package lookup

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"hwledger/calc/model"
)

// stored is one tensor of a layer's file.
type storedTensor struct {
	name, dtype string
	shape       []int64
}

// tensorFile returns a safetensors file with metadata.
func tensorFile(t *testing.T, metadata map[string]string, tensors ...storedTensor) []byte {
	t.Helper()
	header := map[string]any{}
	if metadata != nil {
		header["__metadata__"] = metadata
	}
	width := map[string]int64{"BF16": 2, "U32": 4, "U8": 1, "F32": 4}
	var at int64
	for _, x := range tensors {
		n := width[x.dtype]
		for _, d := range x.shape {
			n *= d
		}
		header[x.name] = map[string]any{"dtype": x.dtype, "shape": x.shape, "data_offsets": []int64{at, at + n}}
		at += n
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(b, text...), make([]byte, at)...)
}

// layersOf stores every tensor of the small model as Ollama does, in a layer
// of its own; quantize says how one is stored.
func (s ollamaDir) layersOf(quantize func(name string) string) []ollamaLayer {
	s.t.Helper()
	var out []ollamaLayer
	for _, x := range tensors(2) {
		name, rows, cols := x[0].(string), int64(x[1].(int)), int64(x[2].(int))
		file := []storedTensor{{name, "BF16", []int64{rows, cols}}}
		if rows == 1 {
			file[0].shape = []int64{cols}
		}
		var metadata map[string]string
		switch q := quantize(name); q {
		case "int4": // eight values in a word, scale and bias for each 64
			file = []storedTensor{{name, "U32", []int64{rows, cols / 8}}, {name + ".scale", "BF16", []int64{rows, cols / 64}}, {name + ".bias", "BF16", []int64{rows, cols / 64}}}
			metadata = map[string]string{"quant_type": q, "group_size": "64"}
		case "int8":
			file = []storedTensor{{name, "U32", []int64{rows, cols / 4}}, {name + ".scale", "BF16", []int64{rows, cols / 64}}, {name + ".bias", "BF16", []int64{rows, cols / 64}}}
			metadata = map[string]string{name + ".quant_type": q, name + ".group_size": "64"}
		case "nvfp4": // a scale of one byte for each 16, and one for the tensor
			file = []storedTensor{{name, "U32", []int64{rows, cols / 8}}, {name + ".scale", "U8", []int64{rows, cols / 16}}, {name + ".global_scale", "F32", []int64{}}}
			metadata = map[string]string{"quant_type": q, "group_size": "16"}
		}
		out = append(out, s.layer("tensor", name, tensorFile(s.t, metadata, file...)))
	}
	return out
}

func TestOllamaTensors(t *testing.T) {
	projections := func(q string) func(string) string {
		return func(name string) string {
			switch {
			case strings.Contains(name, "down_proj") && q == "int4":
				return "int8" // Ollama keeps some tensors of an int4 model at 8 bits
			case strings.Contains(name, "_proj"):
				return q
			}
			return ""
		}
	}
	// The layers' matrices have 36,864 elements in each of two layers, 8,192 of
	// them in down_proj; the rest of the model 13,120.
	const rest, matrices, down = 2 * (params - 2*36864), 2 * 36864, 2 * 8192
	for name, c := range map[string]struct {
		quantize func(string) string
		bytes    int64
		quant    string
		bits     int64
		override int
	}{
		"bf16":  {func(string) string { return "" }, 2 * params, "", 0, 0},
		"int4":  {projections("int4"), rest + (matrices-down)/2 + down + matrices/64*4, "mlx", 4, 2},
		"nvfp4": {projections("nvfp4"), rest + matrices/2 + matrices/16 + 14*4, "mlx-nvfp4", 4, 0},
	} {
		s := newOllamaDir(t)
		layers := append(s.layersOf(c.quantize), s.layer("json", "config.json", []byte(llama)), s.layer("json", "tokenizer.json", []byte("{}")),
			s.layer("tensor", "draft.fc.weight", tensorFile(t, nil, storedTensor{"draft.fc.weight", "BF16", []int64{8, 4}})))
		s.add(small, layers...)
		r, err := resolve("ollama:small:8b")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.StoredBytes != c.bytes || r.Model.Count().Total != params || !r.Model.Exact || r.Model.Format != model.FormatSafetensors {
			t.Errorf("%s: %d bytes, %d parameters, want %d and %d", name, r.StoredBytes, r.Model.Count().Total, c.bytes, params)
		}
		var quant string
		var bits int64
		var overrides int
		if q := r.Model.Quant; q != nil {
			quant, bits, overrides = q.Method, q.Bits, len(q.Overrides)
		}
		if quant != c.quant || bits != c.bits || overrides != c.override {
			t.Errorf("%s: quantization %q, %d bits, %d overrides", name, quant, bits, overrides)
		}
		if len(r.Components) != 1 || r.Components[0].Kind != "draft" || r.Components[0].Bytes != 64 || r.Components[0].Parameters != 32 {
			t.Errorf("%s: components %+v", name, r.Components)
		}
	}
}

func TestOllamaTensorsErrors(t *testing.T) {
	plain := func(string) string { return "" }
	for name, c := range map[string]struct {
		layers func(s ollamaDir) []ollamaLayer
		want   model.Code
	}{
		"no config": {func(s ollamaDir) []ollamaLayer { return s.layersOf(plain) }, model.UnsupportedArchitecture},
		"image generation": {func(s ollamaDir) []ollamaLayer {
			return append(s.layersOf(plain), s.layer("json", "model_index.json", []byte("{}")))
		}, model.UnsupportedArchitecture},
		"layer without tensors": {func(s ollamaDir) []ollamaLayer {
			return append(s.layersOf(plain)[:5], s.layer("json", "config.json", []byte(llama)))
		}, model.MalformedFile},
		"not safetensors": {func(s ollamaDir) []ollamaLayer {
			return append(s.layersOf(plain), s.layer("json", "config.json", []byte(llama)), s.layer("tensor", "a", []byte("GGUF")))
		}, model.MalformedFile},
		"config no object": {func(s ollamaDir) []ollamaLayer {
			return append(s.layersOf(func(n string) string { return map[bool]string{true: "int4"}[strings.Contains(n, "q_proj")] }), s.layer("json", "config.json", []byte("[]")))
		}, model.MalformedFile},
	} {
		s := newOllamaDir(t)
		s.add(small, c.layers(s)...)
		if _, err := resolve("ollama:small:8b"); code(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
