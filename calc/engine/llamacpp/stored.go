package llamacpp

import (
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// storedAs returns how each tensor is stored under a weight scheme; "" and
// "auto" mean as the file has it.
func storedAs(m *model.Model, scheme string) ([]quant.Stored, error) {
	s, err := quant.For(m, scheme)
	if err != nil {
		return nil, err
	}
	return s.Assign(m)
}

// padded returns the bytes of t, stored as st, in a buffer of the given
// alignment. fragments says whether the buffer's backend pads last rows.
func padded(t *model.Tensor, st *quant.Stored, fragments bool, align int64) int64 {
	if st.Halves == nil {
		return pad(deviceBytes(t, st, fragments), align)
	}
	return pad(st.Halves[0].Bytes, align) + pad(st.Halves[1].Bytes, align)
}
