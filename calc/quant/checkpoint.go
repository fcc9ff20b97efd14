package quant

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// AsStored returns how the checkpoint itself stores its weights: by the
// headers when there are any, else by its quantization description, else in
// its dtype.
func AsStored(m *model.Model) (Scheme, error) {
	switch {
	case m.Exact:
		return header{}, nil
	case m.Quant != nil:
		return fromQuantization(m.Quant)
	}
	typ := canonicalType(m.DType)
	if typeBytes(typ) == 0 {
		typ = baseType(m)
	}
	return plainOf(typ), nil
}

// header is what tensor headers say.
type header struct{}

// Name returns "auto".
func (header) Name() string { return "auto" }

// Bits returns 0: it depends on the file.
func (header) Bits() float64 { return 0 }

// Assign returns types and sizes as the headers list them.
func (header) Assign(m *model.Model) ([]Stored, error) {
	out := make([]Stored, len(m.Tensors))
	for i := range m.Tensors {
		t := &m.Tensors[i]
		out[i] = Stored{Type: t.Type, Bytes: t.Bytes, Quantized: typeBytes(t.Type) == 0}
	}
	return out, nil
}

// fromQuantization returns the scheme that a configuration describes, with its
// bits, group and exceptions.
func fromQuantization(q *model.Quantization) (Scheme, error) {
	method := strings.ReplaceAll(strings.ToLower(q.Method), "_", "-")
	name := method
	switch {
	case method == "fp8-block" || method == "fp8" && q.BlockSize[0] > 0:
		return excepting(fp8Block(q.BlockSize), q)
	case method == "mlx":
		name = "mlx-" + strconv.FormatInt(q.Bits, 10) + "bit"
		if q.GroupSize > 0 {
			name += "-g" + strconv.FormatInt(q.GroupSize, 10)
		}
	case method == "exl2" || method == "exl3":
		if q.Bits > 0 {
			name += "-" + strconv.FormatInt(q.Bits, 10) + "bpw"
		}
	default:
		for i := range groupwise {
			if g := &groupwise[i]; g.name == method || hasWord(g.aliases, method) {
				return excepting(ownGroups(i, q), q)
			}
		}
	}
	s, err := Parse(name)
	if err != nil {
		return nil, unreadable(q.Method)
	}
	return excepting(s, q)
}

// unreadable is the error for a method that has no scheme.
func unreadable(method string) error {
	return model.Errorf(model.UnsupportedArchitecture, "quantization_config.quant_method", "weights are stored as %q, which is not understood", clip(method)).
		WithHint("give the tensor headers beside the configuration, or name a scheme in weights")
}

// ownGroups is the i-th group-wise scheme at the checkpoint's bits and group.
func ownGroups(i int, q *model.Quantization) *matrices {
	bits, group := groupwise[i].bits, groupwise[i].group
	if q.Bits > 0 {
		bits = q.Bits
	}
	if q.GroupSize != 0 {
		group = q.GroupSize
	}
	return newGroupwise(i, bits, group)
}

// excepting returns s with the checkpoint's exceptions and its experts' scheme.
func excepting(s Scheme, q *model.Quantization) (Scheme, error) {
	r, err := newRules(q)
	if err != nil {
		return nil, err
	}
	switch s := s.(type) {
	case *matrices:
		c := *s
		c.rules = r
		if q.Experts != "" {
			x, err := Parse(q.Experts)
			m, ok := x.(*matrices)
			if err != nil || !ok {
				return nil, unreadable(q.Experts)
			}
			c.experts = m
		}
		return &c, nil
	case *mlx:
		c := *s
		c.rules, c.described = r, true
		return &c, nil
	}
	return s, nil
}
