package model

// Group says which part of a checkpoint a tensor belongs to.
type Group uint8

const (
	// Text is the language model itself.
	Text Group = iota
	// MTP is a multi-token-prediction (NextN) layer beside the trunk.
	MTP
	// Vision is an image tower with its projector.
	Vision
	// Audio is an audio tower with its projector.
	Audio
	// Encoder is the encoder of an encoder-decoder model.
	Encoder
	// Pipeline is a network of a diffusion pipeline. Its tensors' names begin
	// with the folder that it is stored in (see Tensor.Component).
	Pipeline
)

var groupNames = [...]string{"text", "mtp", "vision", "audio", "encoder", "pipeline"}

// String returns the group's name as it appears in answers.
func (g Group) String() string { return groupNames[g] }

// Part says what a tensor does. Quantization schemes and engines decide by it.
type Part uint8

const (
	// Linear is a matrix of a mixer or of a dense feed-forward network: what
	// every weight quantization covers.
	Linear Part = iota
	// Embedding is the token (or position, or per-layer) embedding.
	Embedding
	// Head is the output projection to the vocabulary.
	Head
	// Norm is a normalisation weight or bias.
	Norm
	// Bias is the additive vector of a linear layer.
	Bias
	// Router is the matrix (or bias) that picks experts.
	Router
	// Expert is a routed expert's matrix; Count experts are stacked in it.
	Expert
	// SharedExpert is an expert that every token passes through.
	SharedExpert
	// Conv is a short convolution of a recurrent mixer.
	Conv
	// Vector is any other small parameter: A_log, D, dt_bias, sinks, scales.
	Vector
)

var partNames = [...]string{"linear", "embedding", "head", "norm", "bias", "router", "expert", "shared_expert", "conv", "vector"}

// String returns the part's name as it appears in answers.
func (p Part) String() string { return partNames[p] }

// Split says how tensor parallelism cuts a tensor.
type Split uint8

const (
	// Replicated tensors are whole on every rank: norms, routers, the MLA
	// down-projections, the sparse indexer.
	Replicated Split = iota
	// ByColumn cuts the output features (column-parallel linear).
	ByColumn
	// ByRow cuts the input features (row-parallel linear).
	ByRow
	// ByKVHead cuts whole key/value heads; with fewer heads than ranks each
	// rank keeps one head.
	ByKVHead
	// ByVocab cuts rows of the vocabulary.
	ByVocab
)

// Tensor is one weight, or a stack of Count equal ones (the experts of a
// layer). Names are those of GGUF without the "blk.N." prefix, whatever the
// checkpoint calls them, so one rule can speak of tensors from any source.
type Tensor struct {
	Name  string
	Layer int // decoder layer, counted from 0; -1 outside the layers
	Group Group
	Part  Part
	Split Split
	// Out and In are the rows (output features) and columns (input features)
	// of the matrix. A vector has Out = 1.
	Out, In int64
	// Count is the number of stacked matrices, 1 unless Part is Expert.
	Count int64
	// Active is how many of Count one token uses.
	Active int64
	// Units is the number of key/value heads when Split is ByKVHead.
	Units int64
	// Type is the stored type ("BF16", "F8_E4M3", "Q4_K"), empty when only a
	// configuration is known.
	Type string
	// Bytes is the stored size read from a header, 0 when only a
	// configuration is known.
	Bytes int64
}

// Elems returns the number of parameters in all Count matrices.
func (t *Tensor) Elems() int64 { return t.Out * t.In * t.Count }

// ActiveElems returns the number of parameters that one token uses.
func (t *Tensor) ActiveElems() int64 { return t.Out * t.In * t.Active }

// Share returns the numerator and denominator of the part of the tensor that
// one of tp tensor-parallel ranks holds, vocabulary padding aside.
func (t *Tensor) Share(tp int64) (num, den int64) {
	switch t.Split {
	case Replicated:
		return 1, 1
	case ByKVHead:
		if t.Units > 0 && t.Units < tp {
			return 1, t.Units
		}
	}
	return 1, tp
}

// Matrix returns a replicated linear tensor of shape [out, in].
func Matrix(name string, out, in int64) Tensor {
	return Tensor{Name: name, Out: out, In: in, Count: 1, Active: 1}
}

// Vec returns a replicated vector of n elements with the given part.
func Vec(name string, part Part, n int64) Tensor {
	return Tensor{Name: name, Part: part, Out: 1, In: n, Count: 1, Active: 1}
}

// With returns t with its split set.
func (t Tensor) With(s Split) Tensor { t.Split = s; return t }

// As returns t with its part set.
func (t Tensor) As(p Part) Tensor { t.Part = p; return t }

// KV returns t cut by its units key/value heads.
func (t Tensor) KV(units int64) Tensor { t.Split, t.Units = ByKVHead, units; return t }

// Stack returns t as a stack of count experts of which active serve a token.
func (t Tensor) Stack(count, active int64) Tensor {
	t.Part, t.Count, t.Active = Expert, count, active
	return t
}
