package calc

import (
	"fmt"

	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// Row is one combination of a comparison.
type Row struct {
	Option
	// Bits is the nominal width of the weights, 0 when unknown.
	Bits float64
}

// NewRow plans one combination.
func NewRow(req Request, name string, accept Accept) Row {
	r := Row{Option: Try(req, Change{Name: name, Apply: func(*Request) {}}, accept)}
	if req.Model != nil {
		r.Bits = widthOf(req.Model, req.Load.Weights)
	}
	return r
}

// widthOf is the nominal width of a scheme on a model.
func widthOf(m *model.Model, weights string) float64 {
	s, err := quant.For(m, weights)
	if err != nil {
		if s, err = quant.ForGGUF(m, weights); err != nil {
			return 0
		}
	}
	return s.Bits()
}

// Best returns the index of the best row, -1 when none fits, and why: of the
// rows that fit, those with the most bits in a weight; of these the one with
// the largest margin that its ranges leave for the devices, which is room for
// longer contexts and more sequences.
func Best(rows []Row) (int, string) {
	best := -1
	for i := range rows {
		r := &rows[i]
		if !r.Fits {
			continue
		}
		if best < 0 || better(r, &rows[best]) {
			best = i
		}
	}
	if best < 0 {
		return -1, "nothing fits"
	}
	r := &rows[best]
	return best, fmt.Sprintf("of what fits it keeps the most bits in a weight (%.4g) and then the largest share of memory free (%.0f %%)", r.Bits, 100*r.free())
}

func better(a, b *Row) bool {
	if a.Bits != b.Bits {
		return a.Bits > b.Bits
	}
	return a.free() > b.free()
}

// free is the share of the usable memory that the fullest device has left at
// the high end of the range.
func (r *Row) free() float64 {
	_, high := r.Result.margins()
	if high.Device < 0 || r.Result.Devices[high.Device].Usable <= 0 {
		return 0
	}
	return float64(high.Bytes) / float64(r.Result.Devices[high.Device].Usable)
}
