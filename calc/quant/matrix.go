package quant

import (
	"math/bits"
	"strings"

	"hwledger/calc/model"
)

// maxElems bounds the parameters of a model. The largest that anybody
// published is below 2⁴³; the bound keeps every product in an int64.
const maxElems = 1 << 56

// matrices is a scheme of the safetensors world: the matrices of linear layers
// and experts are quantized one by one, the rest stays in a plain type.
type matrices struct {
	name string
	bits float64
	// typ is the stored type of a quantized matrix.
	typ string
	// size returns the bytes of an [out, in] matrix with all that belongs to it.
	size func(out, in int64) int64
	// covers reports whether the scheme quantizes t at all; nil for linear.
	covers func(m *model.Model, t *model.Tensor) bool
	// special stores tensors in a type of their own, by its result.
	special func(t *model.Tensor) (typ string, size func(out, in int64) int64, ok bool)
	// experts is the scheme of routed experts when they have one of their own.
	experts *matrices
	// rules are the checkpoint's own exceptions, nil in a what-if.
	rules *rules
}

// Name returns the canonical name.
func (s *matrices) Name() string { return s.name }

// Bits returns the nominal bits of a quantized weight.
func (s *matrices) Bits() float64 { return s.bits }

// Assign quantizes what the scheme covers and the rules do not exclude.
func (s *matrices) Assign(m *model.Model) ([]Stored, error) {
	if err := checkShapes(m); err != nil {
		return nil, err
	}
	covers := s.covers
	if covers == nil {
		covers = linear
	}
	base := baseType(m)
	out := make([]Stored, len(m.Tensors))
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if covers(m, t) && !s.rules.excludes(m, t) {
			typ, size := s.typ, s.size
			if s.experts != nil && t.Part == model.Expert {
				typ, size = s.experts.typ, s.experts.size
			}
			if s.special != nil {
				if st, sz, ok := s.special(t); ok {
					typ, size = st, sz
				}
			}
			out[i] = Stored{Type: typ, Bytes: t.Count * size(t.Out, t.In), Quantized: true}
			continue
		}
		out[i] = keep(t, base)
	}
	return out, nil
}

// linear reports whether t is what every weight quantization covers: the
// matrices of linear layers and of experts, in the language model. Towers stay
// as they are, and so do the projections that published checkpoints leave
// alone: MTP's input, the indexer's head weights, a delta net's per-head gates.
func linear(_ *model.Model, t *model.Tensor) bool {
	switch t.Part {
	case model.Linear, model.Expert, model.SharedExpert:
	default:
		return false
	}
	if t.Out < 2 || t.In < 2 || t.Group == model.Vision || t.Group == model.Audio {
		return false
	}
	switch strings.TrimSuffix(t.Name, ".weight") {
	case "nextn.eh_proj", "indexer.proj", "ssm_ba", "ssm_alpha", "ssm_beta", "ffn_gate_inp_shexp":
		return false
	}
	return !smallTimeMix(t.Name)
}

// smallTimeMix reports whether the name is one of RWKV's low-rank pairs.
func smallTimeMix(name string) bool {
	rest, ok := strings.CutPrefix(name, "time_mix_")
	if !ok {
		return false
	}
	stem := strings.TrimSuffix(rest, ".weight")
	return len(stem) == 2 && stem[1] >= '0' && stem[1] <= '2' || stem == "lerp_fused" || strings.HasPrefix(stem, "decay_w")
}

// keep returns t in a plain type: its own when a header gave one, else base.
func keep(t *model.Tensor, base string) Stored {
	if typeBytes(t.Type) >= 2 {
		typ := canonicalType(t.Type)
		return Stored{Type: typ, Bytes: t.Elems() * typeBytes(typ)}
	}
	return keepAs(t, base)
}

// keepAs returns t in the plain type typ, whatever it has now. Routing
// corrections stay float32: sigmoid routing adds them so, whatever the rest is.
func keepAs(t *model.Tensor, typ string) Stored {
	if t.Name == "exp_probs_b.bias" {
		typ = "F32"
	}
	return Stored{Type: typ, Bytes: t.Elems() * typeBytes(typ)}
}

// baseType is the plain type of what a scheme leaves alone: the model's own.
// Checkpoints that name none (gpt-oss) keep the rest in bfloat16, whatever the
// framework would make of the omission.
func baseType(m *model.Model) string {
	if typeBytes(m.DType) == 0 || m.DType == "F32" && !statesDType(m) {
		return "BF16"
	}
	return canonicalType(m.DType)
}

// statesDType reports whether the files name the dtype.
func statesDType(m *model.Model) bool {
	for i := range m.Facts {
		if f := &m.Facts[i]; f.Field == "dtype" {
			return !strings.HasPrefix(f.From, "default")
		}
	}
	return false
}

// checkShapes returns an error when m's shapes are negative or so large that
// bytes would overflow.
func checkShapes(m *model.Model) error {
	var total uint64
	for i := range m.Tensors {
		t := &m.Tensors[i]
		bad := t.Out < 0 || t.In < 0 || t.Count < 0
		hi, n := bits.Mul64(uint64(t.Out), uint64(t.In))
		bad = bad || hi != 0
		hi, n = bits.Mul64(n, uint64(t.Count))
		if bad || hi != 0 || n > maxElems || total+n > maxElems {
			return model.Errorf(model.MalformedFile, t.Name, "a tensor of %d × %d × %d elements is not of this world", t.Count, t.Out, t.In).
				WithHint("check the sizes in the configuration")
		}
		total += n
	}
	return nil
}
