package sglang

import (
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
)

// kinds says which stores decide how pools are made.
type kinds struct{ indexed, compressed, windowed, recurrent bool }

func kindsOf(m *model.Model) (k kinds) {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch x := x.(type) {
			case *model.MLA:
				k.indexed = k.indexed || x.Indexer != nil
			case *model.Compressed:
				k.compressed = true
			case *model.Attention:
				k.windowed = k.windowed || x.Window > 0
			case model.None, *model.None:
			default:
				k.recurrent = true
			}
		}
	}
	return k
}

// layout is what a rank of one pipeline stage keeps for tokens and sequences.
type layout struct {
	// full and swa are bytes for one token in the pool of full layers and in
	// that of sliding layers; they are not whole for compressed rows.
	full, swa float64
	window    int64
	// state is one slot of recurrent state.
	state int64
	// fixed is what a sequence brings beside its tokens: encoder entries.
	fixed int64
	// scratch is what fp4 caches unpack into, for each token.
	scratch float64
	ratio   float64 // sliding tokens for each full token
	// capTokens is the size of the sliding pool when it follows from
	// max_running_requests, 0 for by ratio.
	capTokens int64
}

// layoutOf sizes the stores of a stage's layers (pool_configurator.py).
func (s *settings) layoutOf(m *model.Model, r shard.Rank) layout {
	l := layout{ratio: s.swaRatio}
	k := kindsOf(m)
	if !shard.KeepsCache(m) {
		return l
	}
	pools := s.swaPools && (k.windowed || k.compressed)
	var layers int64
	var buf []model.Store
	for _, layer := range r.LayersOf(m) {
		kv := false
		for _, x := range layer.Mixers {
			if c, ok := x.(*model.Compressed); ok {
				s.addCompressed(&l, c)
				kv = true
				continue
			}
			buf = x.AppendStores(buf[:0], s.attnTP())
			kv = s.addStores(&l, x, buf, pools) || kv
			if x, ok := x.(*model.MLA); ok && k.indexed && (x.Indexer == nil || x.Indexer.Shared) {
				// SGLang pays index keys for every layer, also those that share.
				l.full += float64(s.types.Entry(x, model.Store{Class: model.IndexKey, Elems: indexDim(m), Heads: 1}))
			}
		}
		if kv {
			layers++
		}
	}
	s.addDraft(m, &l, r, layers)
	if pools && l.swa > 0 && !k.compressed && s.maxRunning > 0 && !s.radix && s.chunk > 0 && l.full > 0 {
		l.capTokens = s.swaCap(l.window)
	}
	if s.types.KV.Name == "fp4" && s.version.atLeast(packedWorkspace) {
		l.scratch = s.scratch(m)
	}
	return l
}

// addStores adds one mixer's stores and reports whether it keeps tokens.
func (s *settings) addStores(l *layout, x model.Mixer, stores []model.Store, pools bool) (kv bool) {
	for _, st := range stores {
		n := s.types.Entry(x, st)
		switch {
		case st.Axis == model.PerSequence:
			l.state += n
		case st.Axis == model.PerEncoderToken:
			l.fixed += n
		case pools && st.Window > 0:
			l.swa, l.window, kv = l.swa+float64(n), max(l.window, st.Window), true
		default:
			l.full, kv = l.full+float64(n), true
		}
	}
	return kv
}

func indexDim(m *model.Model) int64 {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if x, ok := x.(*model.MLA); ok && x.Indexer != nil {
				return x.Indexer.HeadDim
			}
		}
	}
	return 0
}

// compressorRing is how many entries the ratio-4 compressor keeps for each
// window, twice that under speculation.
const compressorRing = 8

// addCompressed adds DeepSeek-V4's rows: raw ones and the compressor's ring in
// the sliding pool, compressed rows and their index keys by the full token.
func (s *settings) addCompressed(l *layout, c *model.Compressed) {
	row := float64(s.types.Entry(c, model.Store{Class: model.Latent, Elems: c.HeadDim, Heads: 1}))
	l.swa += row
	l.window = max(l.window, c.Window)
	if c.Ratio > 0 {
		l.full += row / float64(c.Ratio)
	}
	if c.Indexer == nil || c.Ratio == 0 || c.Window == 0 {
		return
	}
	l.full += float64(c.Indexer.HeadDim+ceilDiv(c.Indexer.HeadDim, 128)*4) / float64(c.Ratio)
	ring := float64(compressorRing)
	if s.spec != "" {
		ring *= 2
	}
	l.swa += ring / float64(c.Window) * 4 * float64(c.HeadDim+c.Indexer.HeadDim) * float64(s.types.State.BlockBytes)
}

// addDraft adds the draft model's rows: its layers are taken to be as the
// model's own.
func (s *settings) addDraft(m *model.Model, l *layout, r shard.Rank, layers int64) {
	if s.draftLayers == 0 || layers == 0 {
		return
	}
	share := float64(s.draftLayers) / float64(layers)
	if l.swa == 0 {
		// The whole cell is cut to whole bytes.
		l.full = float64(int64(l.full * (1 + share)))
		return
	}
	if kindsOf(m).compressed {
		l.full, l.swa = l.full*(1+share), l.swa*(1+share)
		return
	}
	// Draft layers are full ones, each as large as the largest full layer.
	var largest float64
	var buf []model.Store
	for _, layer := range r.LayersOf(m) {
		var n float64
		for _, x := range layer.Mixers {
			buf = x.AppendStores(buf[:0], s.attnTP())
			for _, st := range buf {
				if st.Axis == model.PerToken && st.Window == 0 {
					n += float64(s.types.Entry(x, st))
				}
			}
		}
		largest = max(largest, n)
	}
	l.full += largest * float64(s.draftLayers)
}

// swaCap is the sliding pool that max_running_requests need when nothing is
// kept for later requests: for each a window, what is evicted late and two
// pages, and the chunks in flight.
func (s *settings) swaCap(window int64) int64 {
	groups := int64(1)
	if s.dpAttention {
		groups = s.dp
	}
	reqs := max(1, s.maxRunning/groups)
	flight := int64(1)
	if s.overlap {
		flight = 2
	}
	n := reqs*(window+s.eviction*max(1, s.draftTokens)+2*s.page) + flight*s.chunk + s.page
	return roundUp(n, s.page)
}

// scratch is an fp8 copy of one layer's keys and values.
func (s *settings) scratch(m *model.Model) float64 {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if a, ok := x.(*model.Attention); ok {
				return float64(max(1, a.KVHeads/s.attnTP()) * (a.KeyDim + a.ValueDim))
			}
		}
	}
	return 0
}

// cell is the bytes that one token of max_total_num_tokens takes.
func (l *layout) cell() float64 {
	switch {
	case l.capTokens > 0:
		return l.full + l.scratch
	case l.full == 0:
		return l.swa + l.scratch
	}
	return l.full + l.ratio*l.swa + l.scratch
}

// swaTokens is the size of the sliding pool beside tokens full ones.
func (l *layout) swaTokens(tokens, page int64) int64 {
	switch {
	case l.swa == 0:
		return 0
	case l.capTokens > 0:
		return l.capTokens
	case l.full == 0:
		return tokens
	}
	return int64(float64(tokens)*l.ratio) / page * page
}

// bytes is what pools of that many tokens take: each has one page more, slot 0
// of which takes the writes of padding.
func (l *layout) bytes(tokens, page int64) int64 {
	n := l.full*float64(tokens+page) + l.scratch*float64(tokens)
	if l.swa > 0 {
		n += l.swa * float64(l.swaTokens(tokens, page)+page)
	}
	return scale(n, 1)
}

// needed returns the full tokens that sequences of a length take: whole
// pages, and so many that the sliding pool holds each one's window.
func (l *layout) needed(seqs, context, page int64) int64 {
	n := seqs * roundUp(context, page)
	if l.swa == 0 || l.capTokens > 0 || l.full == 0 {
		return n
	}
	kept := max(seqs*min(roundUp(context, page), roundUp(l.window, page)+page), l.window+2*page)
	return max(n, roundUp(int64(float64(kept)/l.ratio)+1, page))
}
