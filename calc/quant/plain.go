package quant

import (
	"strings"

	"hwledger/calc/model"
)

// plain stores every tensor in one floating-point type.
type plain struct{ name, typ string }

// plainTypes are the types and what configurations and headers call them.
var plainTypes = []struct {
	plain
	aliases string
	bytes   int64
}{
	{plain{"bf16", "BF16"}, "bfloat16", 2},
	{plain{"fp16", "F16"}, "float16 half", 2},
	{plain{"fp32", "F32"}, "float32 float", 4},
}

// Name returns "bf16", "fp16" or "fp32".
func (p plain) Name() string { return p.name }

// Bits returns 16 or 32.
func (p plain) Bits() float64 { return 8 * float64(typeBytes(p.typ)) }

// Assign stores everything in the type. Routing corrections stay float32.
func (p plain) Assign(m *model.Model) ([]Stored, error) {
	if err := checkShapes(m); err != nil {
		return nil, err
	}
	out := make([]Stored, len(m.Tensors))
	for i := range m.Tensors {
		out[i] = keepAs(&m.Tensors[i], p.typ)
	}
	return out, nil
}

func plainNames() []string {
	var names []string
	for _, p := range plainTypes {
		names = append(names, p.name)
	}
	return names
}

func parsePlain(s string) (Scheme, error) {
	for _, p := range plainTypes {
		if s == p.name || hasWord(p.aliases, s) {
			return p.plain, nil
		}
	}
	return nil, nil
}

// plainOf returns the scheme that stores everything as typ.
func plainOf(typ string) plain {
	for _, p := range plainTypes {
		if p.typ == typ {
			return p.plain
		}
	}
	return plain{strings.ToLower(typ), typ}
}

// typeBytes returns the size of an element of a floating-point type by any of
// its names, 0 when it is none of two bytes or more.
func typeBytes(typ string) int64 {
	switch typ {
	case "BF16", "F16":
		return 2
	case "F32":
		return 4
	case "F64":
		return 8
	case "":
		return 0
	}
	for _, p := range plainTypes {
		if l := strings.ToLower(typ); l == p.name || hasWord(p.aliases, l) {
			return p.bytes
		}
	}
	return 0
}

// canonicalType returns the header name of a plain type: "BF16" for
// "bfloat16".
func canonicalType(typ string) string {
	for _, p := range plainTypes {
		if l := strings.ToLower(typ); l == p.name || hasWord(p.aliases, l) {
			return p.typ
		}
	}
	return typ
}
