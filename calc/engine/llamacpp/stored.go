package llamacpp

import (
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/calc/quant"
)

// storedTensor is how one tensor is stored.
type storedTensor struct {
	typ   ggml.Type
	known bool // typ is one of ggml's
	cols  int64
	bytes int64
	// parts are the bytes of the tensors it becomes, when more than one.
	parts []int64
}

// storedAs returns how each tensor is stored under a weight scheme; "" and
// "auto" mean as the file has it.
func storedAs(m *model.Model, scheme string) ([]storedTensor, error) {
	out := make([]storedTensor, len(m.Tensors))
	if m.Exact && (scheme == "" || strings.EqualFold(scheme, "auto")) {
		var names typeNames
		for i := range m.Tensors {
			t := &m.Tensors[i]
			out[i] = names.stored(t, t.Type, t.Bytes)
		}
		return out, nil
	}
	s, err := quant.For(m, scheme)
	if err != nil {
		return nil, err
	}
	stored, err := s.Assign(m)
	if err != nil {
		return nil, err
	}
	var names typeNames
	for i := range stored {
		out[i] = names.stored(&m.Tensors[i], stored[i].Type, stored[i].Bytes)
		for _, p := range stored[i].Parts {
			out[i].parts = append(out[i].parts, p.Bytes)
		}
	}
	return out, nil
}

// typeNames remembers the last type looked up by name: neighbouring tensors
// mostly share one.
type typeNames struct {
	name  string
	typ   ggml.Type
	known bool
}

func (n *typeNames) stored(t *model.Tensor, typ string, bytes int64) storedTensor {
	if n.name != typ {
		n.name = typ
		n.typ, n.known = ggml.ByName(typ)
	}
	return storedTensor{typ: n.typ, known: n.known, cols: t.In, bytes: bytes}
}

// padded returns the tensor's bytes in a buffer of the given alignment.
func (t *storedTensor) padded(device bool, align int64) int64 {
	if len(t.parts) == 0 {
		return pad(deviceBytes(*t, device), align)
	}
	n := int64(0)
	for _, p := range t.parts {
		n += pad(p, align)
	}
	return n
}
