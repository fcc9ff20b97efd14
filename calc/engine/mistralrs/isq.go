package mistralrs

import (
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/calc/quant"
)

// isqType is an in-situ quantization: how mistral.rs stores a matrix that it
// quantizes while loading.
type isqType struct {
	name string
	// block elements along the input take bytes bytes, scales included; a
	// matrix whose input they do not divide is stored as fallback, or left.
	block, bytes int64
	fallback     string
	// tensor bytes come on top for each matrix.
	tensor int64
	// cpu: for the processor only.
	cpu bool
}

// isqTypes are the types of 0.9 (mistralrs-quant lib.rs). AFQ is MLX's affine
// format in groups of 64; HQQ keeps a scale and a zero for 64 weights.
var isqTypes = append(ggmlTypes(),
	isqType{name: "AFQ2", block: 64, bytes: 20}, isqType{name: "AFQ3", block: 64, bytes: 28}, isqType{name: "AFQ4", block: 64, bytes: 36},
	isqType{name: "AFQ6", block: 64, bytes: 52}, isqType{name: "AFQ8", block: 64, bytes: 68},
	isqType{name: "HQQ4", block: 64, bytes: 36}, isqType{name: "HQQ8", block: 64, bytes: 68},
	isqType{name: "FP8", block: 1, bytes: 1, tensor: 8}, isqType{name: "MXFP4", block: 32, bytes: 17},
	isqType{name: "F8Q8", block: 32, bytes: 33, cpu: true},
)

func ggmlTypes() []isqType {
	fallback := map[ggml.Type]ggml.Type{ggml.Q2_K: ggml.Q4_0, ggml.Q3_K: ggml.Q4_0, ggml.Q4_K: ggml.Q4_1, ggml.Q5_K: ggml.Q5_0, ggml.Q6_K: ggml.Q5_1, ggml.Q8_K: ggml.Q8_1}
	var out []isqType
	for _, t := range [...]ggml.Type{ggml.Q4_0, ggml.Q4_1, ggml.Q5_0, ggml.Q5_1, ggml.Q8_0, ggml.Q8_1, ggml.Q2_K, ggml.Q3_K, ggml.Q4_K, ggml.Q5_K, ggml.Q6_K, ggml.Q8_K} {
		x := isqType{name: isqName(t), block: t.BlockElems(), bytes: t.BlockBytes()}
		if f, ok := fallback[t]; ok {
			x.fallback = isqName(f)
		}
		out = append(out, x)
	}
	return out
}

// isqName is mistral.rs's name of a GGML type: "Q4K" for Q4_K, "Q4_0".
func isqName(t ggml.Type) string { return strings.Replace(t.String(), "_K", "K", 1) }

func isqNames() []string {
	names := make([]string, len(isqTypes))
	for i := range isqTypes {
		names[i] = isqTypes[i].name
	}
	return names
}

// isqBits are the numeric shorthands: AFQ on Metal, else GGML types.
var isqBits = map[string][2]string{
	"2": {"Q2K", "AFQ2"}, "3": {"Q3K", "AFQ3"}, "4": {"Q4K", "AFQ4"}, "5": {"Q5K", "Q5K"}, "6": {"Q6K", "AFQ6"}, "8": {"Q8_0", "AFQ8"},
}

// isqByName returns the type with mistral.rs's name, in any case: "Q4K",
// "afq4", "4".
func isqByName(name string, metal bool) (isqType, bool) {
	s := strings.ToUpper(strings.TrimSpace(name))
	if b, ok := isqBits[s]; ok {
		if s = b[0]; metal {
			s = b[1]
		}
	}
	for _, t := range isqTypes {
		if t.name == s || strings.Replace(t.name, "K", "_K", 1) == s {
			return t, true
		}
	}
	return isqType{}, false
}

// assign returns how each tensor is stored: matrices of linear layers and
// experts and the output projection quantized, which is the embedding itself
// in tied models; the rest in 16 bits. Routers, norms and towers stay.
func (t isqType) assign(m *model.Model) ([]quant.Stored, error) {
	plain, err := quant.Parse("bf16")
	if err != nil {
		return nil, err
	}
	out, err := plain.Assign(m)
	if err != nil {
		return nil, err
	}
	for i := range m.Tensors {
		if x := &m.Tensors[i]; t.covers(m, x) {
			if y, ok := t.of(x.In); ok {
				rows := x.Out * x.Count
				out[i] = quant.Stored{Type: y.name, Bytes: rows*(x.In/y.block)*y.bytes + x.Count*y.tensor, Quantized: true}
			}
		}
	}
	return out, nil
}

// of returns the type that rows of n elements are stored in, false when they
// stay as they are.
func (t isqType) of(n int64) (isqType, bool) {
	if n%t.block == 0 {
		return t, true
	}
	if f, ok := isqByName(t.fallback, false); ok && n%f.block == 0 {
		return f, true
	}
	return t, false
}

func (t isqType) covers(m *model.Model, x *model.Tensor) bool {
	if x.Out < 2 || x.In < 2 || x.Group != model.Text && x.Group != model.MTP {
		return false
	}
	switch x.Part {
	case model.Linear, model.Expert, model.SharedExpert, model.Head:
		return true
	case model.Embedding:
		return m.Tied && x.Out == m.Vocab
	}
	return false
}

// storedAs resolves the weight scheme of a load: an in-situ type by its own
// name for a checkpoint that is not quantized, else what the files store.
func storedAs(m *model.Model, name string, metal bool) (stored []quant.Stored, isq bool, err error) {
	if name != "" && name != "auto" && m.Format != model.FormatGGUF && m.Quant == nil {
		if t, ok := isqByName(name, metal); ok {
			stored, err = t.assign(m)
			return stored, true, err
		}
	}
	s, err := quant.For(m, name)
	if err != nil {
		if e, ok := err.(*model.Error); ok {
			e.Candidates = isqNames()
		}
		return nil, false, err
	}
	if own, err := quant.AsStored(m); err == nil && own.Name() != s.Name() && m.Quant != nil {
		return nil, false, model.Errorf(model.InvalidArgument, "weights", "the checkpoint is stored as %s; mistral.rs loads it as it is", own.Name()).
			WithHint("leave weights out, or name the unquantized repository")
	}
	stored, err = s.Assign(m)
	return stored, false, err
}
