package trtllm

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// stage is one pipeline stage as each of its ranks holds it.
type stage struct {
	shard.Rank
	pools []pool
	// state is what the recurrent layers keep for one sequence.
	state    int64
	reserved []engine.Term
	weights  int64
}

// pool holds the layers that keep the same number of tokens.
type pool struct {
	// window is the most tokens that the layers keep; full is set when that is
	// max_seq_len.
	window int64
	full   bool
	// cross: the layers keep the encoder's tokens, window of them, however long
	// the sequence is.
	cross bool
	// bytes is what a token takes in the pool; cost is by what the engine
	// counts it, which differs for an indexer's keys.
	bytes, cost int64
	layers      int64
}

// stages cuts the model: layers as evenly as they divide, earlier stages
// taking the remainder (mapping.py pp_layers).
func (s *settings) stages(m *model.Model, stored []quant.Stored) []stage {
	out := make([]stage, s.pp)
	n, from := len(m.Layers), 0
	for i := range out {
		size := n / int(s.pp)
		if i < n%int(s.pp) {
			size++
		}
		if s.partition != nil {
			size = int(s.partition[i])
		}
		st := &out[i]
		st.Rank = shard.Rank{TP: s.attention, Layers: [2]int{from, from + size}, First: i == 0, Last: i == len(out)-1, Sequences: s.seqs}
		from += size
		group := s.tp * s.cp
		for d := range s.dp {
			for t := range group {
				st.On = append(st.On, int((d*s.pp+int64(i))*group+t))
			}
		}
		s.fill(m, st)
		st.weights = s.held(m, stored, st.Rank)
		st.reserved = s.reserve(m, st)
	}
	return out
}

// fill sizes what the stage's layers keep.
func (s *settings) fill(m *model.Model, st *stage) {
	layers := st.LayersOf(m)
	if st.Last && s.mtp {
		layers = append(append(make([]model.Layer, 0, len(layers)+len(m.MTPLayers)), layers...), m.MTPLayers...)
	}
	derive := s.windows == nil && s.release.AtLeast(derivedWindows) && !s.engine && mixed(m)
	for i := range layers {
		for _, x := range layers[i].Mixers {
			bytes, cost := s.entry(x)
			if bytes == 0 {
				st.state += s.stateBytes(x)
				continue
			}
			w := s.maxLen
			if a, ok := x.(*model.Attention); ok && derive && a.Kind() == model.KindSliding {
				w = min(w, a.Window)
			} else if s.windows != nil {
				w = min(w, s.windows[i%len(s.windows)])
			}
			p := pool{window: w, full: w == s.maxLen, bytes: bytes, cost: cost, layers: 1}
			if x.Kind() == model.KindCross {
				p.window, p.full, p.cross = max(1, m.EncoderTokens), false, true
			}
			st.add(p)
		}
	}
}

// add puts a layer into the pool of its window.
func (st *stage) add(p pool) {
	for i := range st.pools {
		if q := &st.pools[i]; q.window == p.window && q.cross == p.cross {
			q.bytes, q.cost, q.layers = q.bytes+p.bytes, q.cost+p.cost, q.layers+1
			return
		}
	}
	st.pools = append(st.pools, p)
}

// mixed reports whether some attention layers have a window and some do not.
func mixed(m *model.Model) bool {
	var full, sliding bool
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			full = full || x.Kind() == model.KindFull
			sliding = sliding || x.Kind() == model.KindSliding
		}
	}
	return full && sliding
}

// entry returns the bytes that one token takes in a layer on a rank, and the
// bytes that the engine counts: key/value heads are ⌈G ÷ ranks⌉, latent rows
// are whole and have no values, index keys are fp8 with a scale for 128
// elements but are counted in elements of the cache's type, by blocks of 64.
func (s *settings) entry(x model.Mixer) (bytes, cost int64) {
	switch x := x.(type) {
	case *model.Attention:
		if x.SharedFrom >= 0 {
			return 0, 0
		}
		g := paged.CeilDiv(x.KVHeads, s.attention)
		bytes = s.kv.Bytes(g*x.KeyDim, g) + s.kv.Bytes(g*x.ValueDim, g)
		if x.Indexer != nil {
			bytes += 2 * x.Indexer.HeadDim // MiniMax-M3's index keys are bf16
		}
		return bytes, bytes
	case *model.MLA:
		bytes = s.kv.Bytes(x.KVLoRARank+x.RopeDim, 1)
		cost = bytes
		if k := x.Indexer; k != nil && !k.Shared {
			index := k.HeadDim + k.HeadDim/128*4
			bytes += index
			cost += s.kv.Bytes(index*64/s.block, 1)
		}
		return bytes, cost
	}
	return 0, 0
}

// stateBytes returns what a recurrent layer keeps for one sequence. Kimi's
// delta attention keeps float32 whatever is asked.
func (s *settings) stateBytes(x model.Mixer) int64 {
	var sum int64
	for _, st := range x.AppendStores(nil, s.attention) {
		size := int64(2)
		if st.Class == model.State {
			size = s.state.BlockBytes
			if x.Kind() == model.KindKDA {
				size = 4
			}
		}
		if st.Axis == model.PerSequence {
			sum += st.Elems * size
		}
	}
	return sum
}

// blocks returns the blocks that one sequence of tokens tokens holds in the
// pool. A window that has begun to slide spans one block more than it fills.
func (s *settings) blocks(p *pool, tokens int64) int64 {
	if p.cross {
		return paged.CeilDiv(p.window, s.block)
	}
	n := paged.CeilDiv(min(tokens, p.window), s.block*s.cp)
	if !p.full && tokens > p.window {
		n++
	}
	return n
}

// sequence returns the cache of one sequence of tokens tokens on a rank,
// without states.
func (s *settings) sequence(st *stage, tokens int64) int64 {
	var sum int64
	for i := range st.pools {
		p := &st.pools[i]
		sum += paged.Mul(s.blocks(p, tokens), s.block*p.bytes)
	}
	return min(sum, paged.Most)
}
