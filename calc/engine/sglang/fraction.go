package sglang

import (
	"math"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// autoFraction returns mem_fraction_static as SGLang computes it when it is
// not given: what reserved parts leave of the device (server_args.py). Models
// with a vision tower keep more, by its size.
func (s *settings) autoFraction(m *model.Model) (float64, string) {
	f, why := s.reserved()
	if tower := visionElems(m); tower > 0 {
		// One more baseline tower (ViT-L/14) lowers the fraction by a tenth.
		adjust := min(max(1-0.1*(float64(tower)/baselineTower-1), 0.8), 1.05)
		f = math.Round(f*0.95*adjust*1000) / 1000
		why += ", × 0.95 and the vision tower's factor"
	}
	return f, why
}

// baselineTower is 24 layers of 12 × 1024² parameters.
const baselineTower = 24 * 12 * 1024 * 1024

func visionElems(m *model.Model) (n int64) {
	for i := range m.Tensors {
		if m.Tensors[i].Group == model.Vision {
			n += m.Tensors[i].Elems()
		}
	}
	return n
}

// reserved sums what SGLang keeps for activations, graphs and communication,
// in MiB.
func (s *settings) reserved() (float64, string) {
	if !s.version.atLeast(reservedFraction) {
		return tableFraction(s.tp), "table of SGLang before 0.5.0 by tensor-parallel ranks"
	}
	if s.device == nil {
		return 0.88, "no hardware given; SGLang's value for an unknown device"
	}
	activation := max(s.chunk, 2048)
	if s.chunk < 0 && s.version.atLeast(unchunkedReserve) {
		activation = max(s.prefill, 2048)
	}
	batch := float64(s.graphBatch)
	mib := 512 + 1.5*float64(activation) + 2*batch + float64(s.tp*s.pp)/8*1024
	if s.dpAttention {
		mib += 3 * batch * float64(s.dp)
		if s.graphBatch > 300 {
			mib += 1.5 * batch * float64(s.dp)
		}
	}
	total := float64(s.device.Total) / float64(engine.MiB)
	if total > 60*1024 {
		mib = max(mib, 10*1024)
	}
	switch s.spec {
	case "", "NGRAM":
	case "STANDALONE":
		mib += 6 * 1024
	default:
		mib += 2 * 1024
	}
	mib += float64(s.piecewise / 4)
	f := math.Round((total-mib)/total*1000) / 1000
	return max(f, 0.001), "what SGLang's reserve for activations, graphs and ranks leaves"
}

// tableFraction is the rule before reserved parts were summed.
func tableFraction(tp int64) float64 {
	switch {
	case tp >= 16:
		return 0.79
	case tp >= 8:
		return 0.81
	case tp >= 4:
		return 0.85
	case tp >= 2:
		return 0.87
	}
	return 0.88
}
