package mistralrs

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/model"
)

const mib = 1 << 20

// usable returns what mistral.rs takes of available bytes on a GPU: all but 2 %,
// at least 512 MiB.
func usable(available int64) int64 {
	reserve := max(int64(float64(available)*0.02), 512*mib)
	return max(0, available-reserve)
}

// explicit reports whether the pool was asked for by its size.
func (s *settings) explicit() bool { return s.memory.mb > 0 || s.memory.tokens > 0 }

// poolMiB returns the budget of the cache on one device in MiB, by the rules
// of paged_attention/mod.rs: truncated to MiB, in float32 as there.
func (s *settings) poolMiB(d engine.Device, used, reserved int64, h held) int64 {
	available := max(0, int64(d.Free)-used)
	future := paged.CeilDiv(reserved, mib)
	var n int64
	switch {
	case s.memory.mb > 0:
		n = s.memory.mb
	case s.memory.tokens > 0:
		n = paged.CeilDiv(paged.Mul(s.memory.tokens, h.elems*s.size), mib)
	default:
		total, inUse := float32(d.Total)/mib, float32(int64(d.Total)-available)/mib
		n = max(0, int64(total*float32(s.memory.fraction)-inUse)-future)
	}
	if !s.release.AtLeast(reserves) {
		return n
	}
	left := max(0, usable(available)-reserved) / mib
	if n > left && s.explicit() && s.release.AtLeast(afterLoad) {
		return 0 // refused: an amount that was asked for is never cut
	}
	return min(n, left)
}

// pool fills the cache summary with what mistral.rs logs: the fewest blocks of
// any device.
func (s *settings) pool(m *model.Model, c *engine.Cache, ranks []rank, hw engine.Hardware) {
	if !s.paged {
		return
	}
	blocks, at := int64(-1), 0
	for i := range ranks {
		r := &ranks[i]
		row := r.held.elems * s.size
		if row == 0 {
			continue
		}
		for _, d := range r.On {
			if d >= len(hw.Devices) {
				continue
			}
			budget := s.poolMiB(hw.Devices[d], r.inside, r.reserved, r.held)
			if s.metal {
				// On unified memory the cache is at most the model's context.
				budget = min(budget, paged.Mul(max(m.Context, s.context), row)/mib)
			}
			if n := budget * mib / (row * s.block); blocks < 0 || n < blocks {
				blocks, at = n, i
			}
		}
	}
	if blocks <= 0 {
		return
	}
	c.Pool = engine.Bytes(paged.Mul(blocks, s.block*ranks[at].held.elems*s.size))
	c.CapacityTokens = blocks * s.block
	longest := s.context
	if m.Context > 0 {
		longest = max(longest, m.Context)
	}
	c.MaxConcurrency = min(float64(blocks)/float64(paged.CeilDiv(longest, s.block)), float64(s.maxSeqs))
}
