package model

// The mixers in this file keep a state of fixed size for each sequence,
// whatever its length. Shapes are those of vLLM's mamba_utils.py; a short
// convolution of kernel K keeps its last K-1 columns.

// Mamba1 is the selective state space of Mamba, Jamba and Falcon-Mamba.
type Mamba1 struct {
	Inner, StateSize, Conv, DtRank int64
	ConvBias, ProjBias             bool
	DtBCNorms                      bool // Jamba normalises dt, B and C
}

// Kind returns KindMamba1.
func (*Mamba1) Kind() Kind { return KindMamba1 }

// AppendStores appends the convolution tail and the state, cut by channel.
func (m *Mamba1) AppendStores(dst []Store, tp int64) []Store {
	d := m.Inner / tp
	return append(dst,
		Store{Class: ConvState, Axis: PerSequence, Elems: d * (m.Conv - 1), Heads: 1},
		Store{Class: State, Axis: PerSequence, Elems: d * m.StateSize, Heads: 1})
}

// Mamba2 is the state space of Mamba-2 with heads and groups.
type Mamba2 struct {
	Heads, HeadDim, Groups, StateSize, Conv int64
	ConvBias, ProjBias                      bool
	NoNorm                                  bool // no gated norm before the output (Falcon-H1)
	// DtRank, when set, makes B, C and dt come from the convolved input through
	// a projection with norms, as in Mamba-1 (PLaMo-2); Groups is then 0.
	DtRank int64
}

// Inner returns the inner width, Heads × HeadDim.
func (m *Mamba2) Inner() int64 { return m.Heads * m.HeadDim }

// Kind returns KindMamba2.
func (*Mamba2) Kind() Kind { return KindMamba2 }

// AppendStores appends the convolution tail and the state. When tp does not
// divide the groups they are replicated up to one for each rank.
func (m *Mamba2) AppendStores(dst []Store, tp int64) []Store {
	g := m.Groups
	if g%tp != 0 {
		g = tp
	}
	return append(dst,
		Store{Class: ConvState, Axis: PerSequence, Elems: (m.Inner() + 2*g*m.StateSize) / tp * (m.Conv - 1), Heads: 1},
		Store{Class: State, Axis: PerSequence, Elems: m.Inner() / tp * m.StateSize, Heads: m.Heads / tp})
}

// GatedDelta is the gated delta net of Qwen3-Next and Qwen3.5 and later.
type GatedDelta struct {
	KeyHeads, ValueHeads, KeyDim, ValueDim, Conv int64
	// SplitProj: in_proj_qkv, z, b and a are separate tensors (Qwen3.5); the
	// number of parameters is the same.
	SplitProj bool
}

// Kind returns KindGatedDelta.
func (*GatedDelta) Kind() Kind { return KindGatedDelta }

// AppendStores appends the convolution tail and the state, cut by head.
func (g *GatedDelta) AppendStores(dst []Store, tp int64) []Store {
	conv := 2*g.KeyHeads*g.KeyDim + g.ValueHeads*g.ValueDim
	return append(dst,
		Store{Class: ConvState, Axis: PerSequence, Elems: conv / tp * (g.Conv - 1), Heads: 1},
		Store{Class: State, Axis: PerSequence, Elems: g.ValueHeads / tp * g.ValueDim * g.KeyDim, Heads: g.ValueHeads / tp})
}

// KDA is Kimi delta attention.
type KDA struct {
	Heads, HeadDim, Conv int64
	// FullRankGate: the output gate is one matrix instead of a low-rank pair
	// (Kimi K3).
	FullRankGate bool
	// DecayRows is the stored length of A_log when it is not one for each head.
	DecayRows int64
}

// Kind returns KindKDA.
func (*KDA) Kind() Kind { return KindKDA }

// AppendStores appends three convolution tails and the state.
func (k *KDA) AppendStores(dst []Store, tp int64) []Store {
	p := k.Heads / tp * k.HeadDim
	return append(dst,
		Store{Class: ConvState, Axis: PerSequence, Elems: 3 * p * (k.Conv - 1), Heads: 1},
		Store{Class: State, Axis: PerSequence, Elems: p * k.HeadDim, Heads: k.Heads / tp})
}

// Lightning is the linear attention of MiniMax-Text-01: a state, no
// convolution.
type Lightning struct {
	Heads, HeadDim int64
	// HeadNorm: queries and keys are normalised by head (Ling and Ring).
	HeadNorm bool
}

// Kind returns KindLightning.
func (*Lightning) Kind() Kind { return KindLightning }

// AppendStores appends the state.
func (l *Lightning) AppendStores(dst []Store, tp int64) []Store {
	return append(dst, Store{Class: State, Axis: PerSequence, Elems: l.Heads / tp * l.HeadDim * l.HeadDim, Heads: l.Heads / tp})
}

// ShortConv is LFM2's gated short convolution.
type ShortConv struct {
	Dim, Kernel int64
	Bias        bool
}

// Kind returns KindShortConv.
func (*ShortConv) Kind() Kind { return KindShortConv }

// AppendStores appends the convolution tail.
func (s *ShortConv) AppendStores(dst []Store, tp int64) []Store {
	return append(dst, Store{Class: ConvState, Axis: PerSequence, Elems: s.Dim / tp * (s.Kernel - 1), Heads: 1})
}

// RWKV is the time mix of RWKV-5 to RWKV-7 with its channel mix's shift.
type RWKV struct {
	// Version is 5, 6 or 7; 0 means 7.
	Version          int64
	Hidden, HeadSize int64
	Shifts           int64 // token-shift rows kept, 2 unless the file says so
	// Ranks are the low-rank sizes of decay, in-context rate, value residual
	// and gate (RWKV-7); of decay and token shift (RWKV-6). The first layer of
	// RWKV-7 has no value residual: rank 0.
	Ranks [4]int64
}

// Kind returns KindRWKV.
func (*RWKV) Kind() Kind { return KindRWKV }

// AppendStores appends the shift rows and the state.
func (r *RWKV) AppendStores(dst []Store, tp int64) []Store {
	return append(dst,
		Store{Class: ConvState, Axis: PerSequence, Elems: r.Shifts * r.Hidden, Heads: 1},
		Store{Class: State, Axis: PerSequence, Elems: r.Hidden / tp * r.HeadSize, Heads: r.Hidden / r.HeadSize / tp})
}

// RGLRU is the real-gated linear recurrent unit of RecurrentGemma.
type RGLRU struct {
	Width, Conv int64
	// Heads is the number of diagonal blocks of the two gate matrices; 0 when
	// the weights come from a header.
	Heads int64
}

// Kind returns KindRGLRU.
func (*RGLRU) Kind() Kind { return KindRGLRU }

// AppendStores appends the convolution tail and the state.
func (r *RGLRU) AppendStores(dst []Store, tp int64) []Store {
	return append(dst,
		Store{Class: ConvState, Axis: PerSequence, Elems: r.Width / tp * (r.Conv - 1), Heads: 1},
		Store{Class: State, Axis: PerSequence, Elems: r.Width / tp, Heads: 1})
}

// GatedMemory is the gated memory unit of Phi-4-mini-flash: it gates the
// output of an earlier layer's state space and keeps nothing itself.
type GatedMemory struct{ Inner int64 }

// Kind returns KindGatedMemory.
func (*GatedMemory) Kind() Kind { return KindGatedMemory }

// AppendStores appends nothing.
func (*GatedMemory) AppendStores(dst []Store, _ int64) []Store { return dst }

// ConvKernel returns the kernel of a recurrent mixer's short convolution, 1
// for a recurrent mixer without one, 0 for other mixers.
func ConvKernel(x Mixer) int64 {
	switch x := x.(type) {
	case *Mamba1:
		return x.Conv
	case *Mamba2:
		return x.Conv
	case *GatedDelta:
		return x.Conv
	case *KDA:
		return x.Conv
	case *ShortConv:
		return x.Kernel
	case *RGLRU:
		return x.Conv
	case *Lightning, *RWKV:
		return 1
	}
	return 0
}
