package quant

import (
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
)

// ggufAliases are other names of file types, llama-quantize's and habitual.
var ggufAliases = map[string]string{
	"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M",
	"FP16": "F16", "FP32": "F32", "BFLOAT16": "BF16", "FLOAT16": "F16", "FLOAT32": "F32",
	"MXFP4": "MXFP4_MOE", "Q6_K_M": "Q6_K", "Q6_K_S": "Q6_K", "Q8": "Q8_0", "Q8_K_M": "Q8_0",
}

// wideEdges are the "large" mixes that quantizers on the Hub make: embedding
// and output in Q8_0.
var wideEdges = map[string]string{
	"Q6_K_L": "Q6_K", "Q5_K_L": "Q5_K_M", "Q4_K_L": "Q4_K_M", "Q3_K_XL": "Q3_K_L", "Q2_K_L": "Q2_K",
}

func ggufNames() []string {
	names := make([]string, 0, len(mixes))
	for i := range mixes {
		names = append(names, mixes[i].name)
	}
	return names
}

// parseGGUF reads file types except those whose names safetensors checkpoints
// share (bf16, fp16, fp32, mxfp4, nvfp4); GGUF reads those too.
func parseGGUF(s string) (Scheme, error) {
	switch {
	case strings.HasPrefix(s, "gguf-"):
		return GGUF(s[len("gguf-"):])
	case strings.HasPrefix(s, "ud-"):
		return nil, needsHeader(s)
	}
	x, ok := ggufByName(s)
	if !ok {
		return nil, nil
	}
	return x, nil
}

// GGUF returns the scheme of a GGUF file type. Unlike Parse it takes every name
// as llama.cpp means it: "bf16" has F32 norms, "mxfp4" is MXFP4_MOE. A name may
// end in "-imatrix", for a quantization guided by an importance matrix, and
// "pure-q4_k" stores every matrix in one type.
func GGUF(name string) (Scheme, error) {
	s := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), "_", "-")
	s = strings.TrimPrefix(s, "gguf-")
	if strings.HasPrefix(s, "ud-") {
		return nil, needsHeader(name)
	}
	if x, ok := ggufByName(s); ok {
		return x, nil
	}
	return nil, unknown("weights", "GGUF type", name, ggufNames())
}

// needsHeader is the error for mixes that are chosen model by model.
func needsHeader(name string) error {
	e := model.Errorf(model.InvalidArgument, "weights", "%s is mixed differently for every model", strings.ToUpper(clip(name)))
	e.Candidates = nearest(strings.TrimPrefix(strings.ToLower(name), "ud-"), ggufNames(), 3)
	return e.WithHint("give the GGUF file itself (hf:org/name/file.gguf), its header lists every tensor; or plan with a candidate")
}

func ggufByName(s string) (*ggufScheme, bool) {
	if len(s) > 64 {
		return nil, false
	}
	s, imatrix := strings.CutSuffix(s, "-imatrix")
	n := strings.ToUpper(strings.ReplaceAll(s, "-", "_"))
	x := &ggufScheme{imatrix: imatrix, edge: none}
	if t, ok := strings.CutPrefix(n, "PURE_"); ok {
		typ, ok := ggml.ByName(t)
		if !ok || !storable(typ) {
			return nil, false
		}
		return pureGGUF(typ), true
	}
	if full, ok := ggufAliases[n]; ok {
		n = full
	}
	x.name = n
	if base, ok := wideEdges[n]; ok {
		n, x.edge = base, ggml.Q8_0
	}
	for i := range mixes {
		if mixes[i].name == n {
			x.mix = &mixes[i]
			if imatrix {
				x.name += "-imatrix"
			}
			return x, true
		}
	}
	if typ, ok := ggml.ByName(n); ok && storable(typ) && !imatrix {
		return pureGGUF(typ), true
	}
	return nil, false
}

// pureGGUF stores every matrix as typ.
func pureGGUF(typ ggml.Type) *ggufScheme {
	bits := 8 * float64(typ.BlockBytes()) / float64(typ.BlockElems())
	return &ggufScheme{mix: &mix{name: typ.String(), base: typ, bits: bits}, name: "pure-" + typ.String(), pure: true, edge: none}
}

// storable reports whether weights are ever stored as t; Q8_1 and Q8_K only
// exist within a multiplication, integers are no weights.
func storable(t ggml.Type) bool {
	switch t {
	case ggml.I8, ggml.I16, ggml.I32, ggml.I64, ggml.F64, ggml.Q8_1, ggml.Q8_K:
		return false
	}
	return true
}
