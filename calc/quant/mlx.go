package quant

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// mlx is MLX's quantization: every linear layer and embedding whose input is a
// multiple of the group, embeddings and the output projection included. Affine
// groups have a 16-bit scale and bias; the microscaling modes an 8-bit scale.
type mlx struct {
	name        string
	bits, group int64
	// scale is the bytes of a group's scales and biases.
	scale int64
	// rest are the bits, in affine groups of 64, of what is not an expert;
	// 0 for the same as experts ("mxfp4-q8").
	rest  int64
	rules *rules
	// described: a checkpoint says of itself what differs from the rest, so
	// what it does not list is as the rest.
	described bool
}

// mlxModes are the modes besides affine, with their fixed groups.
var mlxModes = []mlx{
	{name: "mlx-mxfp4", bits: 4, group: 32, scale: 1},
	{name: "mlx-mxfp4-q8", bits: 4, group: 32, scale: 1, rest: 8},
	{name: "mlx-mxfp8", bits: 8, group: 32, scale: 1},
	{name: "mlx-nvfp4", bits: 4, group: 16, scale: 1},
}

// mlxTypes name packed words by the bits of a weight.
var mlxTypes = [...]string{2: "U32-Q2", 3: "U32-Q3", 4: "U32-Q4", 5: "U32-Q5", 6: "U32-Q6", 7: "U32-Q7", 8: "U32-Q8"}

// Name returns "mlx-4bit", with the group when it is not 64.
func (s *mlx) Name() string { return s.name }

// Bits returns the bits of a weight with its share of the scales.
func (s *mlx) Bits() float64 { return float64(s.bits) + 8*float64(s.scale)/float64(s.group) }

// Assign quantizes linears, embeddings and the head of the text model. Routers
// that MLX's models keep at 8 bits, or as plain arrays, follow routerBits.
func (s *mlx) Assign(m *model.Model) ([]Stored, error) {
	if err := checkShapes(m); err != nil {
		return nil, err
	}
	base := baseType(m)
	out := make([]Stored, len(m.Tensors))
	for i := range m.Tensors {
		t := &m.Tensors[i]
		bits, group, scale := s.at(m, t)
		if bits == 0 || t.In%group != 0 || s.rules.excludes(m, t) {
			out[i] = keep(t, base)
			continue
		}
		if scale > 1 {
			scale = 2 * scaleBytes(m, t, base)
		}
		n := t.Count * t.Out
		out[i] = Stored{
			Type: mlxTypes[bits], Quantized: true,
			Bytes: n*ceilDiv(t.In*bits, 32)*4 + n*(t.In/group)*scale,
		}
	}
	return out, nil
}

// at returns how t is quantized, bits 0 when it is not.
func (s *mlx) at(m *model.Model, t *model.Tensor) (bits, group, scale int64) {
	if !mlxCovers(t) {
		return 0, 1, 0
	}
	if o, ok := s.rules.override(m, t); ok {
		return overridden(o)
	}
	bits, group, scale = s.bits, s.group, s.scale
	if t.Part == model.Router {
		switch own := routerBits(m); {
		case own == 0:
			return 0, 1, 0
		case !s.described:
			return own, 64, 4
		}
	}
	if s.described {
		return bits, group, scale
	}
	if m.Type == "gemma4" || m.Type == "gemma4_text" {
		if t.Part == model.Linear && strings.HasPrefix(t.Name, "ffn_") && isMoE(m) {
			return max(8, bits), 64, 4 // the dense network beside the experts
		}
	}
	if s.rest > 0 && t.Part != model.Expert {
		return s.rest, 64, 4
	}
	return bits, group, scale
}

// scaleBytes returns the size of an affine group's scale, and of its bias: they
// have the type that the weight had. The sizes of five conversions of MiniMax
// M2.1 and M2.5 are those of routers whose scales are float32.
func scaleBytes(m *model.Model, t *model.Tensor, base string) int64 {
	if t.Part == model.Router && m.Type == "minimax_m2" {
		return 4
	}
	return typeBytes(base)
}

// overridden returns how a module with parameters of its own is quantized.
func overridden(o model.Override) (bits, group, scale int64) {
	if o.Bits < 2 || o.Bits > 8 || o.GroupSize < 1 {
		return 0, 1, 0
	}
	if o.Mode == "affine" {
		return o.Bits, o.GroupSize, 4
	}
	return o.Bits, o.GroupSize, 1
}

// mlxCovers reports whether t is a matrix that MLX can quantize.
func mlxCovers(t *model.Tensor) bool {
	switch t.Part {
	case model.Linear, model.Expert, model.SharedExpert, model.Embedding, model.Head, model.Router:
		return t.Out >= 1 && t.In > 1 && strings.HasSuffix(t.Name, ".weight") && !smallTimeMix(t.Name) &&
			t.Group != model.Vision && t.Group != model.Audio && !(t.Part == model.Linear && t.Out < 2)
	}
	return false
}

// arrayRouters are the models whose router MLX keeps as a plain array, which
// is never quantized (MoEGate and TopkRouter in mlx-lm's models).
// linearRouters add a correction too, but to the output of a linear layer.
const (
	arrayRouters  = "deepseek deepseek_v2 deepseek_v3 deepseek_v32 kimi_k2 kimi_k25 glm_moe_dsa dots1 exaone_moe glm4_moe glm4_moe_lite laguna mimo_v2_flash nemotron_h"
	linearRouters = "kimi_linear lfm2_moe bailing_moe bailing_moe_v2 bailing_hybrid bailing_moe_linear afmoe Klear klear longcat_flash longcat_flash_ngram ernie4_5_moe step3p5"
)

// routerBits returns the bits of a router in a conversion: 0 for a plain
// array; the other models ask for 8.
func routerBits(m *model.Model) int64 {
	switch {
	case hasWord(arrayRouters, m.Type):
		return 0
	case hasWord(linearRouters, m.Type) || strings.HasPrefix(m.Type, "minimax"):
		return 8
	}
	for i := range m.Layers {
		if m.Layers[i].FFN.RouterCorrection {
			return 0
		}
	}
	return 8
}

func mlxNames() []string {
	return []string{"mlx-8bit", "mlx-6bit", "mlx-5bit", "mlx-4bit", "mlx-3bit", "mlx-2bit", "mlx-8bit-g32", "mlx-4bit-g32", "mlx-4bit-g128", "mlx-mxfp8", "mlx-mxfp4", "mlx-mxfp4-q8", "mlx-nvfp4"}
}

func parseMLX(s string) (Scheme, error) {
	rest, ok := strings.CutPrefix(s, "mlx-")
	if !ok {
		return nil, nil
	}
	for i := range mlxModes {
		if s == mlxModes[i].name {
			x := mlxModes[i]
			return &x, nil
		}
	}
	if bits, group, ok := mlxBits(rest, 64); ok {
		return mlxAffine(bits, group), nil
	}
	return nil, nil
}

func mlxAffine(bits, group int64) *mlx {
	name := "mlx-" + strconv.FormatInt(bits, 10) + "bit"
	if group != 64 {
		name += "-g" + strconv.FormatInt(group, 10)
	}
	return &mlx{name: name, bits: bits, group: group, scale: 4}
}
