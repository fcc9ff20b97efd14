package vllm

import (
	"hwledger/calc/model"
)

// group is one KV cache group: layers that share a block table.
type group struct {
	spec   spec
	layers int64 // caches in the group, without padding
}

// layout is how a rank's caches share one pool of blocks
// (v1/core/kv_cache_utils.py).
type layout struct {
	groups []group
	// size is the layers of each group, padding included; page the bytes of
	// one layer's block; blockBytes what one block takes over a group.
	size, page, blockBytes int64
	// block is the smallest block in tokens, by which capacity is logged.
	block int64
	// padding is the number of layers that exist only to fill groups.
	padding int64
	// unified reports pages that were padded because they do not divide.
	padded bool
	// compressed replaces the groups for DeepSeek-V4.
	compressed *compressed
}

// layoutOf groups the specs of one pipeline stage. With no specs the model
// keeps no cache and the layout is empty.
func (s *settings) layoutOf(layers []model.Layer) layout {
	if c := s.compressedOf(layers); c != nil {
		return layout{compressed: c, blockBytes: c.unit, block: c.block, size: 1, page: c.unit}
	}
	specs := s.specs(layers)
	if len(specs) == 0 {
		return layout{}
	}
	block := s.size(specs)
	if l, ok := uniform(specs, block); ok {
		return l
	}
	return s.grouped(specs)
}

// uniform returns the layout of layers that all grow alike with a request:
// one group, whose block is the sum of its pages.
func uniform(specs []spec, block int64) (layout, bool) {
	first := specs[0]
	l := layout{block: first.block, page: first.page}
	for _, c := range specs {
		if c.kind != first.kind || c.window != first.window || c.block != first.block {
			return layout{}, false
		}
		l.page = max(l.page, c.page)
		l.blockBytes += c.page
	}
	l.groups = []group{{spec: first, layers: int64(len(specs))}}
	l.size = int64(len(specs))
	if first.kind != mambaSpec {
		l.block = block
	}
	return l, true
}

// grouped returns the layout of a hybrid: pages are made equal, and each type
// of layer is dealt into groups of one size.
func (s *settings) grouped(specs []spec) layout {
	var l layout
	for _, c := range specs {
		l.page = max(l.page, c.page)
	}
	var types []group
	index := make(map[spec]int, 8)
	for _, c := range specs {
		if c.page != l.page {
			if c.kind != mambaSpec && l.page%c.page == 0 {
				c.block *= l.page / c.page
			} else {
				l.padded = true
			}
			c.page = l.page
		}
		i, ok := index[c]
		if !ok {
			i = len(types)
			index[c] = i
			types = append(types, group{spec: c})
		}
		types[i].layers++
	}
	l.size = groupSize(types)
	for _, t := range types {
		n := ceilDiv(t.layers, l.size)
		l.padding += n*l.size - t.layers
		for range n {
			l.groups = append(l.groups, group{spec: t.spec, layers: ceilDiv(t.layers, n)})
		}
		if t.spec.kind != mambaSpec && (l.block == 0 || t.spec.block < l.block) {
			l.block = t.spec.block
		}
	}
	l.blockBytes = l.page * l.size
	return l
}

// groupSize is the layer count of the rarest type, or of the commonest when
// that is less than half as many again.
func groupSize(types []group) int64 {
	lo, hi := types[0].layers, types[0].layers
	for _, t := range types[1:] {
		lo, hi = min(lo, t.layers), max(hi, t.layers)
	}
	if 2*hi < 3*lo {
		return hi
	}
	return lo
}

// blocks returns how many blocks a group holds for one request of tokens
// tokens: what admission reserves, which is what capacity is logged by.
func (s *settings) blocks(c spec, tokens int64) int64 {
	switch c.kind {
	case slidingSpec:
		return ceilDiv(min(c.window-1+s.batch, tokens), c.block) + 1
	case chunkedSpec:
		return ceilDiv(min(c.window+s.batch, tokens), c.block)
	case crossSpec:
		return ceilDiv(s.encoder, c.block)
	case mambaSpec:
		switch s.mambaMode {
		case "align":
			return 2 + s.draft
		case "all":
			return ceilDiv(tokens, c.block) + s.draft
		}
		return 1 + s.draft
	}
	return ceilDiv(tokens, c.block*s.dcp)
}

// request returns the blocks of one request: all of them, and those that hold
// recurrent states.
func (l *layout) request(s *settings, tokens int64) (all, state int64) {
	if l.compressed != nil {
		return l.compressed.blocks(s, tokens), 0
	}
	for _, g := range l.groups {
		n := s.blocks(g.spec, tokens)
		all += n
		if g.spec.kind == mambaSpec {
			state += n
		}
	}
	return all, state
}
