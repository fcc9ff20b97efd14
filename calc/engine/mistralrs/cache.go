package mistralrs

import (
	"hwledger/calc/engine/paged"
	"hwledger/calc/model"
)

// grow is the step in tokens by which a cache that is not paged grows.
const grow = 512

// padSlots are states beside those of sequences: the slot that rows of a CUDA
// graph without a sequence write into.
const padSlots = 1

// firstSlots are the states that a pool has before any are reserved.
const firstSlots = 9

// held is what layers keep on one rank.
type held struct {
	// elems are the elements of a token in the paged cache.
	elems int64
	// kv is the bytes of one sequence at the load's length, marginal what one
	// more token adds on average, low the least that a sliding cache takes.
	kv, low, marginal int64
	// cross is the keys and values of the encoder's tokens, never paged.
	cross int64
	// state is what recurrent layers keep for one sequence: a convolution's tail
	// of K columns and the state, float32 in gated delta nets and the model's
	// dtype elsewhere. Ranks do not share it (kv_cache/hybrid_cache.rs).
	state int64
}

// of sizes the layers on one of tp ranks.
func (s *settings) of(layers []model.Layer, tp int64) held {
	var h held
	for i := range layers {
		for _, x := range layers[i].Mixers {
			s.mixer(&h, x, tp)
		}
	}
	if s.paged {
		n := paged.CeilDiv(s.context, s.block) * s.block
		h.kv = paged.Mul(n, h.elems*s.size)
		h.low, h.marginal = h.kv, h.elems*s.size
	}
	h.kv, h.low = h.kv+h.cross, h.low+h.cross
	return h
}

func (s *settings) mixer(h *held, x model.Mixer, tp int64) {
	if s.noCache {
		return
	}
	switch x := x.(type) {
	case *model.Attention:
		if x.SharedFrom >= 0 {
			return
		}
		g := max(1, x.KVHeads/tp)
		if x.Cross {
			h.cross += paged.Mul(s.encoder, g*(x.KeyDim+x.ValueDim)*2)
			return
		}
		h.elems += 2 * g * max(x.KeyDim, x.ValueDim)
		s.normal(h, g*(x.KeyDim+x.ValueDim), x.Window)
	case *model.MLA:
		if s.latentPages() {
			h.elems += x.KVLoRARank + x.RopeDim
		} else {
			h.elems += 2 * x.Heads / tp * (x.NopeDim + x.RopeDim)
		}
		s.normal(h, x.Heads/tp*(x.NopeDim+x.RopeDim+x.ValDim), 0)
	case *model.GatedDelta:
		h.state += 2*(2*x.KeyHeads*x.KeyDim+x.ValueHeads*x.ValueDim)*x.Conv + 4*x.ValueHeads*x.ValueDim*x.KeyDim
	case *model.Mamba2:
		h.state += 2*(x.Inner()+2*x.Groups*x.StateSize)*x.Conv + 2*x.Inner()*x.StateSize
	case *model.ShortConv:
		h.state += 2 * x.Dim * x.Kernel
	}
}

// latentPages: CUDA builds keep latent rows in pages; elsewhere keys and
// values are expanded.
func (s *settings) latentPages() bool { return !s.metal && s.release.AtLeast(reserves) }

// normal adds a cache that is not paged: elems elements a token, whole steps
// of 512 tokens, or a window and one step more.
func (s *settings) normal(h *held, elems, window int64) {
	if s.paged {
		return
	}
	row := elems * s.size
	n := paged.RoundUp(max(s.context, 1), grow)
	if window == 0 {
		h.kv, h.low, h.marginal = h.kv+paged.Mul(n, row), h.low+paged.Mul(n, row), h.marginal+row
		return
	}
	low := n
	if s.context > window {
		n, low = window+grow, window
	} else {
		n = min(n, window+grow)
		low, h.marginal = n, h.marginal+row
	}
	h.kv, h.low = h.kv+paged.Mul(n, row), h.low+paged.Mul(low, row)
}

// slots is how many states the recurrent pools have: one for each sequence
// that may be served, at least the first nine.
func (s *settings) slots() int64 {
	if !s.paged || !s.release.AtLeast(afterLoad) {
		return max(firstSlots, s.seqs)
	}
	return max(firstSlots, s.maxSeqs+padSlots)
}
