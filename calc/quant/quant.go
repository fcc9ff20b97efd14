// Package quant knows how weights and caches are stored: which tensors of a
// model a quantization scheme covers, and how many bytes each takes with its
// scales and zeros.
//
// A family of schemes is one file with one line in families.
package quant

import "hwledger/calc/model"

// Stored is how a scheme stores one tensor.
type Stored = model.Stored

// Scheme is a way to store the weights of a model.
type Scheme interface {
	// Name is the canonical name, which Parse accepts.
	Name() string
	// Bits is the nominal number of bits for a weight of a quantized matrix.
	Bits() float64
	// Assign returns how each of m.Tensors is stored, in their order. It
	// computes from shapes, whatever type the tensors have now. It returns
	// *model.Error when the scheme cannot store the model.
	Assign(m *model.Model) ([]Stored, error)
}

// Sum returns the bytes of all tensors.
func Sum(stored []Stored) int64 {
	var n int64
	for i := range stored {
		n += stored[i].Bytes
	}
	return n
}
