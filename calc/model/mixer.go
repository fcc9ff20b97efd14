package model

// Kind names what a layer uses to mix information between positions.
type Kind string

// The mixer kinds. A model whose mixer is none of these is an error, never a
// silent multi-head attention.
const (
	KindFull        Kind = "full"
	KindSliding     Kind = "sliding"
	KindChunked     Kind = "chunked"
	KindMLA         Kind = "mla"
	KindCompressed  Kind = "compressed"
	KindCross       Kind = "cross"
	KindMamba1      Kind = "mamba1"
	KindMamba2      Kind = "mamba2"
	KindGatedDelta  Kind = "gated_delta_net"
	KindKDA         Kind = "kda"
	KindLightning   Kind = "lightning"
	KindShortConv   Kind = "short_conv"
	KindRWKV        Kind = "rwkv"
	KindRGLRU       Kind = "rg_lru"
	KindGatedMemory Kind = "gated_memory"
	KindNone        Kind = "none"
)

// Class says what a store holds; engines choose the element type by it.
type Class uint8

const (
	// Key and Value are attention cache vectors.
	Key Class = iota
	Value
	// Latent is the compressed key/value row of multi-head latent attention.
	Latent
	// IndexKey is the key of a sparse-attention indexer.
	IndexKey
	// ConvState is the tail of a short convolution, in the model's dtype.
	ConvState
	// State is a recurrent state, usually float32.
	State
	// CompressorState is the running state of a key/value compressor.
	CompressorState
)

// Axis says what a store grows with.
type Axis uint8

const (
	// PerToken stores grow with the tokens of a sequence, up to Window.
	PerToken Axis = iota
	// PerSequence stores have one entry for each live sequence.
	PerSequence
	// PerEncoderToken stores grow with the encoder's (or image's) tokens.
	PerEncoderToken
)

// Store is one array that a mixer keeps between steps, as one tensor-parallel
// rank holds it. A cache cost is always a function of tokens and sequences:
// entries(tokens) × Elems × element size, never one "bytes per token".
type Store struct {
	Class Class
	Axis  Axis
	// Elems is the number of elements in one entry.
	Elems int64
	// Heads is the number of vectors in one entry, for formats with a scale
	// per head; at least 1.
	Heads int64
	// Window is the most tokens kept, 0 for all.
	Window int64
	// Stride is the number of tokens that share one entry; 0 and 1 mean one.
	Stride int64
}

// Entries returns how many entries the store has for a sequence of tokens
// tokens under an ideal allocator.
func (s Store) Entries(tokens int64) int64 {
	if s.Axis == PerSequence {
		return 1
	}
	if s.Window > 0 && tokens > s.Window {
		tokens = s.Window
	}
	if s.Stride > 1 {
		return tokens / s.Stride
	}
	return tokens
}

// Mixer is one sequence mixer of a layer: what it keeps and what it weighs.
type Mixer interface {
	Kind() Kind
	// AppendStores appends what one sequence keeps on one of tp ranks.
	// Nothing is appended when another layer owns the cache.
	AppendStores(dst []Store, tp int64) []Store
	// AppendTensors appends the mixer's weights in a model of the given
	// hidden size, without its layer's input norm.
	AppendTensors(dst []Tensor, hidden int64) []Tensor
}

// None is a layer without a mixer: a feed-forward layer of a hybrid, or a
// pruned block.
type None struct{}

// Kind returns KindNone.
func (None) Kind() Kind { return KindNone }

// AppendStores appends nothing.
func (None) AppendStores(dst []Store, _ int64) []Store { return dst }

// AppendTensors appends nothing.
func (None) AppendTensors(dst []Tensor, _ int64) []Tensor { return dst }
