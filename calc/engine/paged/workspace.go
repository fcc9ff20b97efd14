package paged

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// Activation is the lower bound of what one step over tokens tokens holds on a
// rank: the residual rows and the widest intermediate of a layer, of size
// bytes an element (MATH §6). Kernels are fused; scores are never stored.
func Activation(m *model.Model, layers []model.Layer, tp, tokens, size int64) int64 {
	var peak int64
	for i := range layers {
		l := &layers[i]
		for _, x := range l.Mixers {
			peak = max(peak, 3*m.Hidden+mixerWidth(x, tp))
		}
		f := &l.FFN
		dense := 2*m.Hidden + 3*CeilDiv(max(f.Width, f.SharedWidth), tp)
		if f.MoE() {
			dense = max(dense, 2*m.Hidden+f.TopK*(m.Hidden+3*CeilDiv(f.ExpertWidth, tp)))
		}
		peak = max(peak, dense)
	}
	return Mul(Mul(tokens, peak), size)
}

// mixerWidth is the elements that a mixer makes of one token on a rank.
func mixerWidth(x model.Mixer, tp int64) int64 {
	switch x := x.(type) {
	case *model.Attention:
		return CeilDiv(x.Heads, tp)*(x.KeyDim+x.ValueDim) + CeilDiv(x.KVHeads, tp)*(x.KeyDim+x.ValueDim)
	case *model.MLA:
		return CeilDiv(x.Heads, tp) * (3*(x.NopeDim+x.RopeDim) + 2*x.ValDim)
	case *model.Compressed:
		return CeilDiv(x.Heads, tp) * 3 * x.HeadDim
	case *model.GatedDelta:
		return CeilDiv(2*(2*x.KeyHeads*x.KeyDim+2*x.ValueHeads*x.ValueDim), tp)
	case *model.KDA:
		return CeilDiv(8*x.Heads*x.HeadDim, tp)
	case *model.Mamba2:
		return CeilDiv(4*x.Inner()+2*x.Groups*x.StateSize, tp)
	case *model.Mamba1:
		return CeilDiv(5*x.Inner, tp)
	case *model.ShortConv:
		return CeilDiv(4*x.Dim, tp)
	}
	return 0
}

// ActivationTerm makes a term of Activation's bound: allocators reuse buffers
// imperfectly, so the expected size is a quarter more and the high end twice.
func ActivationTerm(bound int64, tokens engine.Input, on []int, source string) engine.Term {
	return engine.Term{
		Name: "activation", Category: engine.Workspace, On: on, Confidence: engine.Derived, Source: source,
		Bytes: engine.Bytes(bound + bound/4), Low: engine.Bytes(bound), High: engine.Bytes(2 * bound),
		Formula: "1.25 × tokens × widest layer's elements of a token × dtype bytes",
		Inputs:  []engine.Input{tokens},
	}
}

// planning is a range that no log of the engine narrows: the figures of MATH §6
// from other engines on the same runtime.
func planning(name, formula string, low, mid, high engine.Bytes, on []int) engine.Term {
	return engine.Term{
		Name: name, Category: engine.Runtime, On: on, Confidence: engine.Estimated,
		Bytes: mid, Low: low, High: high, Formula: formula, Source: "planning range; no log of this engine says it",
	}
}

// Context is the driver's context with loaded modules in one process.
func Context(on []int) engine.Term {
	return planning("device context", "0.25 to 0.6 GiB for each process and device", 256*engine.MiB, 460*engine.MiB, 615*engine.MiB, on)
}

// Communicators is what NCCL holds on each of ranks devices; false for one.
func Communicators(ranks int64, on []int) (engine.Term, bool) {
	if ranks < 2 {
		return engine.Term{}, false
	}
	mid := 540 * engine.MiB
	if ranks > 2 {
		mid = 690 * engine.MiB
	}
	return planning("communicators", "one NCCL group: about 0.53 GiB for two ranks, 0.67 GiB for more", mid/3, mid, 3*mid, on), true
}

// Graphs is what capturing CUDA graphs for sizes batch sizes takes; false for
// none.
func Graphs(sizes int64, on []int) (engine.Term, bool) {
	if sizes < 1 {
		return engine.Term{}, false
	}
	mid := 154*engine.MiB + engine.Bytes(sizes)*6*engine.MiB
	t := planning("CUDA graphs", "0.15 GiB + 6 MiB × captured sizes", mid/3, mid, 3*mid, on)
	t.Inputs = []engine.Input{{Name: "captured_sizes", Value: sizes, From: "argument or default"}}
	return t, true
}
