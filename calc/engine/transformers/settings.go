package transformers

import (
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// flags are arguments of from_pretrained and generate() that change memory.
var flags = []string{
	"attn_implementation", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "cache_implementation", "device_map", "dtype",
	"load_in_4bit", "load_in_8bit", "logits_to_keep", "max_cache_len", "max_new_tokens", "nbits", "num_beams",
	"num_logits_to_keep", "num_return_sequences", "prefill_chunk_size", "q_group_size", "residual_length", "torch_dtype", "use_cache",
}

// The cache classes.
const (
	dynamic   = "dynamic"
	static    = "static"
	quantized = "quantized"
)

// settings are a load as transformers would see it, defaults filled in.
type settings struct {
	version release
	// context tokens of each of seqs sequences, generated of them made by the
	// model; the prompt is read in passes of chunk tokens.
	context, seqs, generated, chunk int64
	// copies of each sequence: beams and returned sequences.
	copies         int64
	stages         int64
	layersOnDevice *int64
	// dtype and width of weights when they are cast, 0 for as stored; elem is
	// the width of activations and of the cache.
	dtype       string
	width, elem int64
	cacheElem   int64
	scheme      string // what bitsandbytes makes
	attention   string

	cache     string
	cacheHost bool // offloaded to system memory but for two layers
	maxCache  int64
	bits      int64
	group     int64
	residual  int64

	lastLogits bool
}

// Bounds of what a caller may ask for; products stay far from the end of
// int64: eager scores are heads × tokens².
const (
	maxTokens = 1 << 23 // of one sequence
	maxAll    = 1 << 26 // of all sequences
)

// settingsFor reads a load and refuses what transformers would refuse.
func settingsFor(m *model.Model, load engine.Load, hw engine.Hardware, u *engine.Usage) (*settings, error) {
	if err := load.Flags.Check("transformers", flags); err != nil {
		return nil, err
	}
	r := &engine.FlagReader{Flags: load.Flags}
	s := &settings{context: max(1, load.ContextTokens), seqs: max(1, load.Sequences)}
	var err error
	if s.version, u.Version, err = parseVersion(load.Version); err != nil {
		return nil, err
	}
	if load.Version == "" {
		u.Assume("engine_version", Newest, "the newest known")
	}
	s.copies = max(r.Int("num_beams", 1, 1, 1024), r.Int("num_return_sequences", 1, 1, 1024))
	s.seqs *= s.copies
	if s.context > maxTokens || s.seqs > maxAll/s.context {
		return nil, model.Errorf(model.InvalidArgument, "context_tokens", "%d sequences of %d tokens are more than can be planned: %d tokens in all, %d in one", s.seqs, s.context, int64(maxAll), int64(maxTokens))
	}
	if load.CPUMoELayers > 0 {
		return nil, model.Errorf(model.InvalidArgument, "cpu_moe_layers", "device_map moves whole layers, not their experts").
			WithHint("use gpu_layers, or plan with llama.cpp")
	}
	s.generated = min(r.Int("max_new_tokens", 0, 0, maxTokens), s.context-1)
	s.chunk = max(1, s.context-s.generated)
	if n := r.Int("prefill_chunk_size", load.BatchTokens, 0, maxTokens); n > 0 {
		s.chunk = min(s.chunk, n)
	}
	s.logitsOf(r)
	if err := s.dtypes(r, m, load, u); err != nil {
		return nil, err
	}
	if err := s.cacheOf(r, m, load, u); err != nil {
		return nil, err
	}
	if err := s.placement(r, m, load, hw, u); err != nil {
		return nil, err
	}
	return s, r.Err
}

// logitsOf reads whether the head runs on the last token only.
func (s *settings) logitsOf(r *engine.FlagReader) {
	keep := int64(0)
	if s.version >= lastToken {
		keep = 1
	}
	for _, name := range [...]string{"num_logits_to_keep", "logits_to_keep"} {
		if _, ok := r.Flags[name]; ok {
			keep = r.Int(name, keep, 0, maxTokens)
		}
	}
	s.lastLogits = keep > 0
}

var widths = map[string]int64{"bfloat16": 2, "bf16": 2, "float16": 2, "fp16": 2, "half": 2, "float32": 4, "fp32": 4, "float": 4}

// dtypes reads the dtype, what bitsandbytes makes, and the attention.
func (s *settings) dtypes(r *engine.FlagReader, m *model.Model, load engine.Load, u *engine.Usage) error {
	def := "auto"
	if s.version < storedDtype && m.Quant == nil {
		def = "float32"
	}
	name := strings.TrimPrefix(r.Word("dtype", r.Word("torch_dtype", def)), "torch.")
	stored := widths[strings.ToLower(m.DType)]
	if stored == 0 {
		stored = 2
	}
	s.elem = stored
	if name != "auto" {
		if s.width = widths[name]; s.width == 0 {
			return model.Errorf(model.InvalidArgument, "flags.dtype", "%q is no dtype that weights are loaded in", name).
				WithHint("use auto, bfloat16, float16 or float32")
		}
		s.elem, s.dtype = s.width, name
		if def == name && r.Flags["dtype"] == nil && r.Flags["torch_dtype"] == nil {
			u.Assume("flags.dtype", name, "transformers before 5 loads float32 unless told otherwise")
		}
	}
	if w := widths[strings.ToLower(load.Weights)]; w > 0 {
		s.elem = w
	}
	four, eight := r.Bool("load_in_4bit", false), r.Bool("load_in_8bit", false)
	double := r.Bool("bnb_4bit_use_double_quant", false)
	kind := r.Word("bnb_4bit_quant_type", "fp4")
	switch {
	case four && eight:
		return model.Errorf(model.InvalidArgument, "flags.load_in_4bit", "4 and 8 bits at once").WithHint("leave one of them out")
	case kind != "fp4" && kind != "nf4":
		return model.Errorf(model.InvalidArgument, "flags.bnb_4bit_quant_type", "bitsandbytes has no %q", kind).WithHint("use nf4 or fp4")
	case four && double:
		s.scheme = "nf4-dq"
	case four:
		s.scheme = "nf4" // fp4 has the same size
	case eight:
		s.scheme = "bnb-int8"
	}
	s.attention = r.Word("attn_implementation", "sdpa")
	switch s.attention {
	case "sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention":
	default:
		return model.Errorf(model.InvalidArgument, "flags.attn_implementation", "%q is unknown", s.attention).WithHint("use sdpa, eager or flash_attention_2")
	}
	return r.Err
}

// cacheOf reads the cache class and type.
func (s *settings) cacheOf(r *engine.FlagReader, m *model.Model, load engine.Load, u *engine.Usage) error {
	s.cacheElem = s.elem
	name := r.Word("cache_implementation", dynamic)
	bits := int64(0)
	switch t := strings.ToLower(load.KVCacheType); t {
	case "", "auto":
	case "int8", "int4", "int2", "quanto-int4", "quanto-int2", "hqq-int8", "hqq-int4", "hqq-int2":
		name = quantized
		bits = int64(t[len(t)-1] - '0')
	default:
		c, err := quant.ParseCache(t)
		if err != nil || c.Block != 1 || c.BlockBytes < 2 {
			e := model.Errorf(model.InvalidArgument, "kv_cache_dtype", "transformers keeps no cache in %q", load.KVCacheType)
			e.Candidates = []string{"bf16", "fp16", "f32", "int4", "int2"}
			return e.WithHint("use one of the candidates; the cache has the dtype of activations unless it is quantized")
		}
		s.cacheElem = c.BlockBytes
	}
	if !r.Bool("use_cache", true) {
		name = "none"
	}
	switch name {
	case dynamic, static, quantized, "none":
		s.cache = name
	case "offloaded", "dynamic_offloaded":
		s.cache, s.cacheHost = dynamic, true
	case "offloaded_static", "static_offloaded":
		s.cache, s.cacheHost = static, true
	case "hybrid", "sliding_window", "hybrid_chunked", "offloaded_hybrid":
		s.cache, s.cacheHost = static, name == "offloaded_hybrid"
	default:
		e := model.Errorf(model.InvalidArgument, "flags.cache_implementation", "%q is unknown", name)
		e.Candidates = []string{dynamic, static, "offloaded", "offloaded_static", quantized}
		return e.WithHint("use one of the candidates")
	}
	s.maxCache = max(s.context, r.Int("max_cache_len", s.context, 1, maxTokens))
	if s.cache != quantized {
		return r.Err
	}
	if !quantizable(m) {
		return model.Errorf(model.InvalidArgument, "kv_cache_dtype", "transformers' quantized cache is for models whose layers are all full attention").
			WithHint("use bf16")
	}
	if bits == 0 {
		bits = 4
	}
	s.bits = r.Int("nbits", bits, 1, 8)
	s.group = r.Int("q_group_size", 64, 1, 1024)
	s.residual = r.Int("residual_length", 128, 1, maxTokens)
	u.Assume("flags.residual_length", strconv.FormatInt(s.residual, 10), "tokens that stay unquantized until they are this many")
	return r.Err
}

// quantizable reports a model of full attention only.
func quantizable(m *model.Model) bool {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if k := x.Kind(); k != model.KindFull && k != model.KindMLA && k != model.KindNone {
				return false
			}
		}
	}
	return m.Causal
}

// placement reads device_map: layers over devices, or part of them in system
// memory.
func (s *settings) placement(r *engine.FlagReader, m *model.Model, load engine.Load, hw engine.Hardware, u *engine.Usage) error {
	s.layersOnDevice = load.GPULayers
	s.stages = max(1, load.PipelineParallel)
	all := max(1, load.TensorParallel) * max(1, load.DataParallel)
	def := ""
	if int64(len(hw.Devices)) > all && s.stages == 1 {
		def = "auto"
	}
	switch name := r.Word("device_map", def); name {
	case "":
	case "auto", "balanced", "balanced_low_0", "sequential":
		if n := int64(len(hw.Devices)) / all; s.stages == 1 && n > 1 {
			s.stages = min(n, int64(len(m.Layers)))
		}
		if def == name && r.Flags["device_map"] == nil {
			u.Assume("flags.device_map", name, "several devices given: layers are spread over them evenly")
		}
	case "cpu":
		none := int64(0)
		s.layersOnDevice = &none
	case "cuda", "cuda:0", "mps", "xpu", "0":
	default:
		return model.Errorf(model.InvalidArgument, "flags.device_map", "%q is unknown", name).WithHint("use auto, sequential, cuda or cpu")
	}
	if s.layersOnDevice != nil && *s.layersOnDevice < 0 {
		return model.Errorf(model.InvalidArgument, "gpu_layers", "%d is less than none", *s.layersOnDevice)
	}
	if load.TensorParallel > 1 && (s.stages > 1 || s.layersOnDevice != nil) {
		return model.Errorf(model.InvalidArgument, "tensor_parallel", "tp_plan and device_map exclude each other").
			WithHint("leave one of them out")
	}
	return r.Err
}

// hostLayers returns how many decoder layers stay in system memory.
func (s *settings) hostLayers(m *model.Model) int64 {
	if s.layersOnDevice == nil {
		return 0
	}
	return max(0, int64(len(m.Layers))-*s.layersOnDevice)
}
