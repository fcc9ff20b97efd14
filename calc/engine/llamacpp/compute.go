package llamacpp

import (
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// computeBuffers returns the compute buffer of every backend: what is expected,
// and what it is where no device takes operations over from the host, which
// backends do for those that they have kernels for.
func (s *settings) computeBuffers(m *model.Model, stored []quant.Stored, align []int64) (expected, apart []int64) {
	layers := s.representative(m)
	buffers := func(offload bool) []int64 {
		b := newBuilder(m, s, stored, layers)
		b.g.offload = offload
		b.build(layers)
		return simulate(&b.g, align, s.copies())
	}
	apart = buffers(false)
	if s.opOffload && s.placed.weightsOnHost() {
		return buffers(true), apart
	}
	return apart, apart
}

// copies is how many copies of every input pipeline parallelism keeps: with
// several devices that hold everything. (llama_context, GGML_SCHED_MAX_COPIES)
func (s *settings) copies() int {
	p := &s.placed
	if p.devices > 1 && p.all && s.pipeline && s.offloadKQV && p.expr == "" && p.cpuMoE == 0 && !p.rows {
		return 4
	}
	return 1
}

// mostLayers bounds how many layers of a hybrid are laid out one by one.
const mostLayers = 512

// representative picks the layers that decide the peak: every pair of
// neighbouring layer shapes, twice, and the last layer. Layers with recurrent
// states are all taken: where a small state comes to lie decides what fits
// beside it many layers later.
func (s *settings) representative(m *model.Model) []int {
	n := len(m.Layers)
	out := make([]int, 0, 16)
	if recurrent(m) && n <= mostLayers {
		for i := range n {
			out = append(out, i)
		}
		return out
	}
	type pair struct{ a, b int }
	kinds := make([]shapeKey, 0, 8)
	seen := make([]pair, 0, 16)
	prev := -1
	for i := range n {
		k := kindOf(m, s, i)
		x := -1
		for j := range kinds {
			if kinds[j] == k {
				x = j
				break
			}
		}
		if x < 0 {
			kinds = append(kinds, k)
			x = len(kinds) - 1
		}
		count := 0
		for _, p := range seen {
			if p == (pair{prev, x}) {
				count++
			}
		}
		if count < 2 || i == n-1 {
			seen = append(seen, pair{prev, x})
			out = append(out, i)
		}
		prev = x
	}
	return out
}

// recurrent reports whether any layer keeps a state.
func recurrent(m *model.Model) bool {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch x.(type) {
			case *model.Attention, *model.MLA, *model.Compressed, model.None:
			default:
				return true
			}
		}
	}
	return false
}

// shapeKey tells layers of different shape or place apart.
type shapeKey struct {
	mixer  [2]any
	ffn    model.FFN
	dev    int8
	expert int8
	swa    bool
}

func kindOf(m *model.Model, s *settings, i int) shapeKey {
	l := &m.Layers[i]
	k := shapeKey{ffn: l.FFN, dev: s.placed.layer(i), swa: s.cache[i].swa}
	k.expert = s.placed.expert(i, k.dev)
	for j, x := range l.Mixers {
		if j < 2 {
			k.mixer[j] = mixerKey(x)
		}
	}
	return k
}

// mixerKey returns a comparable copy of a mixer.
func mixerKey(x model.Mixer) any {
	switch x := x.(type) {
	case *model.Attention:
		a := *x
		a.SharedFrom = min(a.SharedFrom, 0)
		return a
	case *model.MLA:
		a := *x
		a.Indexer = nil
		return a
	case *model.Mamba1:
		return *x
	case *model.Mamba2:
		return *x
	case *model.GatedDelta:
		return *x
	case *model.KDA:
		return *x
	case *model.ShortConv:
		return *x
	case *model.RWKV:
		return *x
	case *model.Lightning:
		return *x
	}
	return x.Kind()
}
