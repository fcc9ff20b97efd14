package llamacpp

import (
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
)

// storedAs returns how each tensor is stored under a weight scheme; "" and
// "auto" mean as the file has it.
func storedAs(m *model.Model, scheme string) ([]storedTensor, error) {
	out := make([]storedTensor, len(m.Tensors))
	for i := range m.Tensors {
		t := &m.Tensors[i]
		s := storedTensor{cols: t.In, bytes: t.Bytes}
		if s.bytes == 0 {
			s.bytes = 2 * t.Elems()
		}
		s.typ, s.known = ggml.ByName(strings.ToUpper(t.Type))
		out[i] = s
	}
	return out, nil
}
