// Package model says what a language model is: its layers, what each layer
// keeps between steps and what it weighs. It holds facts only; how an engine
// turns them into bytes is decided elsewhere.
package model

// Format is where a description was read from.
type Format string

// The formats.
const (
	FormatConfig      Format = "config"      // config.json alone
	FormatSafetensors Format = "safetensors" // config.json and tensor headers
	FormatGGUF        Format = "gguf"
)

// Layer is one decoder layer. Most have one mixer; Falcon-H1 and Hymba run
// two in parallel; a feed-forward layer of a hybrid has None.
type Layer struct {
	Mixers []Mixer
	FFN    FFN
}

// Kind returns the kinds of the layer's mixers, joined with "+".
func (l *Layer) Kind() Kind {
	if len(l.Mixers) == 0 {
		return KindNone
	}
	k := l.Mixers[0].Kind()
	for _, m := range l.Mixers[1:] {
		k += "+" + m.Kind()
	}
	return k
}

// Quantization is how a checkpoint says its weights are stored.
type Quantization struct {
	// Method is the scheme's name as package quant knows it: "fp8-block",
	// "gptq", "awq", "mxfp4", "mlx" …
	Method    string
	Bits      int64
	GroupSize int64
	BlockSize [2]int64 // output × input, for block-scaled fp8
	Symmetric bool
	// Exclude are module-name patterns kept in the model's own dtype.
	Exclude []string
	// Overrides are how single modules are stored otherwise than the rest
	// (MLX), keyed by module path.
	Overrides map[string]Override
	// Experts is the method of the routed experts where it is another than
	// Method: "mxfp4" beside block-scaled fp8 in DeepSeek-V4.
	Experts string
	// Modules is the method of each quantized module, by its path, in a
	// checkpoint that lists them because they differ; Method is then the most
	// frequent one, and what is not listed keeps the model's dtype.
	Modules map[string]string
}

// Override is how one module of an MLX checkpoint is quantized.
type Override struct {
	// Mode is affine, mxfp4, nvfp4 or mxfp8.
	Mode            string
	Bits, GroupSize int64
}

// Rope holds what the position encoding says about usable context.
type Rope struct {
	Type              string
	Factor            float64
	OriginalMaxTokens int64
	// Dim is the rotated part of a head's dimensions, 0 for all of them.
	Dim int64
	// Axes: positions have several axes (time, height, width).
	Axes bool
}

// Fact is one thing known about a model and where it was read.
type Fact struct {
	Field string `json:"field"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// Model is a model description. It does not change after parsing and may be
// shared between goroutines.
type Model struct {
	// Type is config.json's model_type, or GGUF's general.architecture.
	Type string
	// Architecture is the class name (config.json architectures[0]), or
	// GGUF's general.architecture.
	Architecture string
	// Arch is the GGUF architecture name, by which llama.cpp chooses its
	// rules; empty when llama.cpp has none.
	Arch   string
	Name   string
	Format Format
	// Role is not empty for what does not run on its own.
	Role Role

	Hidden  int64
	Vocab   int64
	Context int64 // the longest context in tokens, 0 when the files do not say
	DType   string
	// Tied: the output projection is the token embedding.
	Tied bool

	Layers []Layer
	// MTPLayers are the multi-token-prediction layers after the trunk.
	MTPLayers []Layer
	// EncoderLayers, EncoderHeads and EncoderTokens describe the encoder of an
	// encoder-decoder model; EncoderTokens is the most it produces.
	EncoderTokens int64

	// Tensors are all weights: of the trunk, of MTP layers and of towers. They
	// come from a header when Format is not FormatConfig.
	Tensors []Tensor
	// Exact reports that Tensors carries stored bytes read from headers.
	Exact bool

	Quant *Quantization
	// KVCacheType is the cache type that the checkpoint asks for
	// (kv_cache_scheme, kv_cache_quant_algo), empty when it does not.
	KVCacheType string
	// StateType is the recurrent state's type that the configuration asks
	// for ("float32"), empty when it does not.
	StateType string

	Rope       Rope
	License    string
	Causal     bool // false for encoders: embedding models keep no cache
	EncDec     bool
	Multimodal bool

	Facts []Fact
	// Meta holds what only one engine asks for, such as GGUF keys, by name.
	Meta map[string]any
}

// Params counts parameters.
type Params struct {
	Total  int64 // all that one token can reach: text, encoder and towers
	Active int64 // used for one token of text
	MTP    int64 // in multi-token-prediction layers, not in Total
	Vision int64
	Audio  int64
}

// Count returns the model's parameters. Active leaves out towers, MTP layers
// and the experts a token is not routed to.
func (m *Model) Count() Params {
	var p Params
	for i := range m.Tensors {
		t := &m.Tensors[i]
		n := t.Elems()
		switch t.Group {
		case MTP:
			p.MTP += n
			continue
		case Vision:
			p.Vision += n
		case Audio:
			p.Audio += n
		default:
			p.Active += t.ActiveElems()
		}
		p.Total += n
	}
	return p
}

// Build fills m.Tensors from the layers: what a configuration alone implies.
// Embeddings, final norm and head are appended by add, layer norms by norms.
func (m *Model) Build(add func([]Tensor) []Tensor, norms func([]Tensor, *Layer) []Tensor) {
	ts := make([]Tensor, 0, 16+12*len(m.Layers))
	ts = add(ts)
	layer := func(i int, l *Layer, g Group) {
		from := len(ts)
		ts = norms(ts, l)
		for _, x := range l.Mixers {
			ts = x.AppendTensors(ts, m.Hidden)
		}
		ts = l.FFN.AppendTensors(ts, m.Hidden)
		for j := from; j < len(ts); j++ {
			ts[j].Layer, ts[j].Group = i, g
		}
	}
	for i := range m.Layers {
		layer(i, &m.Layers[i], Text)
	}
	for i := range m.MTPLayers {
		layer(len(m.Layers)+i, &m.MTPLayers[i], MTP)
	}
	m.Tensors = ts
}
