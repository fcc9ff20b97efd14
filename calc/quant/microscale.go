package quant

import (
	"strings"

	"hwledger/calc/model"
)

// Block-scaled floats. MXFP4 (OCP microscaling) has an 8-bit exponent
// for 32 weights, NVFP4 an fp8 scale for 16; NVFP4's two float32 for a matrix
// are left out.
func microscaled(name, typ string, bits, group int64) *matrices {
	return &matrices{
		name: name, typ: typ, bits: float64(bits) + 8/float64(group),
		size: func(out, in int64) int64 { return ceilDiv(out*in*bits, 8) + out*ceilDiv(in, group) },
	}
}

func microscaleNames() []string { return []string{"mxfp4", "nvfp4", "mxfp8"} }

func parseMicroscale(s string) (Scheme, error) {
	switch s {
	case "mxfp4":
		x := microscaled("mxfp4", "MXFP4", 4, 32)
		x.covers = expertsFirst
		return x, nil
	case "mxfp4-linear", "mxfp4-pack-quantized":
		return microscaled("mxfp4-linear", "MXFP4", 4, 32), nil
	case "nvfp4", "modelopt-fp4", "nvfp4-pack-quantized":
		x := microscaled("nvfp4", "NVFP4", 4, 16)
		x.covers = withoutDeltaNets
		return x, nil
	case "mxfp8":
		return microscaled("mxfp8", "MXFP8", 8, 32), nil
	}
	return nil, nil
}

// expertsFirst covers the experts of a model that has any, as gpt-oss stores
// itself, and all linear layers of a dense one.
func expertsFirst(m *model.Model, t *model.Tensor) bool {
	if t.Part == model.Expert {
		return true
	}
	return !isMoE(m) && linear(m, t)
}

// isMoE reports whether any layer routes to experts.
func isMoE(m *model.Model) bool {
	for i := range m.Layers {
		if m.Layers[i].FFN.MoE() {
			return true
		}
	}
	return false
}

// withoutDeltaNets covers all linear layers but, in a model with experts, the
// projections of gated delta nets: the published NVFP4 checkpoints of
// Qwen3-Next, Qwen3.5 and Qwen3.6 exclude linear_attn, those of dense hybrids
// do not.
func withoutDeltaNets(m *model.Model, t *model.Tensor) bool {
	if !linear(m, t) {
		return false
	}
	if t.Part != model.Linear || t.Layer < 0 || t.Layer >= len(m.Layers) || strings.HasPrefix(t.Name, "ffn_") {
		return true
	}
	return m.Layers[t.Layer].Kind() != model.KindGatedDelta || !isMoE(m)
}
