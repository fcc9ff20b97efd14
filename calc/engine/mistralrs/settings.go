package mistralrs

import (
	"math"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// flags are mistral.rs's own switches that change memory, with underscores.
var flags = []string{
	"cpu", "device_layers", "isq", "max_batch_size", "max_num_batched_tokens", "max_seq_len", "max_seqs", "no_kv_cache",
	"pa_block_size", "pa_cache_type", "pa_context_len", "pa_memory_fraction", "pa_memory_mb", "paged_attn", "quant",
}

// newest is the release that unknown and unnamed versions are planned as.
var newest = paged.Release{0, 9, 2}

// The releases at which a memory rule changed, read from the tags' sources.
var (
	// reserves: a part of each device is kept free, and latent attention is
	// paged as such.
	reserves = paged.Release{0, 7, 0}
	// afterLoad: the pool is sized when weights and states are loaded, with
	// room for activations; layers without pages are left out.
	afterLoad = paged.Release{0, 9, 0}
)

// settings are a load with every default resolved.
type settings struct {
	// correct puts what starts on the hardware took in the place of an estimate.
	correct  func(engine.Term) engine.Term
	release  paged.Release
	tp, pp   int64
	context  int64
	seqs     int64
	encoder  int64 // tokens that an encoder brings
	batch    int64 // max_num_batched_tokens
	maxSeqs  int64
	mapLen   int64 // max_seq_len of device mapping
	mapBatch int64 // max_batch_size of device mapping
	weights  string
	isq      bool // weights are quantized while loading
	metal    bool
	cpu      bool
	paged    bool
	noCache  bool
	block    int64
	size     int64 // bytes of a cache element
	memory   memory
	// onDevice is how many first decoder layers are on devices, -1 for all;
	// split is how many each device is given, nil for equal parts.
	onDevice int
	split    []int
}

// memory says how the pool is sized: by one of its fields, in this order.
type memory struct {
	mb       int64
	tokens   int64 // pa_context_len
	fraction float64
}

// resolve fills every open setting as the given release would.
func resolve(m *model.Model, load engine.Load, hw engine.Hardware, u *engine.Usage) (*settings, error) {
	s := &settings{tp: max(1, load.TensorParallel), pp: max(1, load.PipelineParallel), onDevice: -1}
	s.release = paged.ResolveRelease(u, load.Version, newest)
	o := &paged.Options{Flags: load.Flags}
	s.cpu = o.Bool("cpu", false)
	for _, d := range hw.Devices {
		s.metal = s.metal || d.Vendor == "apple"
		s.cpu = s.cpu || d.Vendor == "cpu"
	}
	s.context, s.seqs, s.encoder = max(1, load.ContextTokens), max(1, load.Sequences), m.EncoderTokens
	s.maxSeqs = max(1, o.Int("max_seqs", 32, 1<<20))
	s.mapLen, s.mapBatch = max(1, o.Int("max_seq_len", 4096, paged.MaxTokens)), max(1, o.Int("max_batch_size", 1, 1<<20))
	s.batch = max(1, o.Int("max_num_batched_tokens", max(0, load.BatchTokens), paged.MaxTokens))
	if s.batch == 1 {
		s.batch = paged.AssumeInt(u, "max_num_batched_tokens", 4096, "default")
	}
	s.noCache = o.Bool("no_kv_cache", false) || !m.Causal
	s.scheme(load, o)
	s.offload(m, load, o)
	s.pages(load, o, u)
	s.paged = s.paged && m.Causal
	if err := s.cacheType(m, load, o); err != nil {
		return nil, err
	}
	if o.Err != nil {
		return nil, o.Err
	}
	return s, s.check(m, load)
}

// scheme takes the in-situ type from weights, or from --isq and --quant.
func (s *settings) scheme(load engine.Load, o *paged.Options) {
	s.weights = load.Weights
	for _, f := range [...]string{"isq", "quant"} {
		if !o.Given(f) {
			continue
		}
		name := ""
		switch v := load.Flags[f].(type) {
		case string:
			name = v
		default:
			name = strconv.FormatInt(o.Int(f, 0, 8), 10)
		}
		if _, ok := isqByName(name, s.metal); !ok {
			o.Refuse(f, "mistral.rs has no in-situ quantization %q", name)
		}
		s.weights = name
	}
	if t, ok := isqByName(s.weights, s.metal); ok && t.cpu && !s.cpu {
		o.Refuse("isq", "%s is for the processor only", t.name)
	}
}

// offload reads --device-layers, "0:10;1:20": layers that no device is given
// are computed on the processor.
func (s *settings) offload(m *model.Model, load engine.Load, o *paged.Options) {
	if n := load.GPULayers; n != nil && *n < int64(len(m.Layers)) {
		s.onDevice = int(max(0, *n))
	}
	text := o.Text("device_layers")
	if text == "" {
		return
	}
	sum := int64(0)
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == ',' }) {
		_, n, ok := strings.Cut(part, ":")
		k, err := strconv.ParseInt(strings.TrimSpace(n), 10, 32)
		if !ok || err != nil || k < 0 {
			o.Refuse("device_layers", "%q is not DEVICE:LAYERS", part)
			return
		}
		sum += k
		s.split = append(s.split, int(k))
	}
	if int64(len(s.split)) != s.pp {
		o.Refuse("device_layers", "layers are mapped to %d devices, but pipeline_parallel is %d", len(s.split), s.pp)
	}
	if sum > int64(len(m.Layers)) {
		o.Refuse("device_layers", "%d layers are mapped, the model has %d", sum, len(m.Layers))
	}
	if sum < int64(len(m.Layers)) {
		s.onDevice = int(sum)
	}
}

// pages resolves whether attention is paged, and how the pool is sized.
func (s *settings) pages(load engine.Load, o *paged.Options, u *engine.Usage) {
	mode := o.Text("paged_attn")
	switch {
	case s.cpu || s.onDevice >= 0:
		// Layers on the processor turn paging off for all.
		if mode == "on" {
			o.Refuse("paged_attn", "there is no paged attention on the processor")
		}
	case mode == "on":
		s.paged = true
	case mode == "" || mode == "auto":
		s.paged = !s.metal
		u.Assume("flags.paged_attn", onOff(s.paged), "auto: on for CUDA, off for Metal and the processor")
	case mode != "off":
		o.Refuse("paged_attn", "must be auto, on or off")
	}
	s.block = o.Int("pa_block_size", 32, 32)
	if s.block != 8 && s.block != 16 && s.block != 32 {
		o.Refuse("pa_block_size", "%d tokens is not a block; 8, 16 and 32 are", s.block)
		s.block = 32
	}
	s.memory.mb = o.Int("pa_memory_mb", 0, paged.Most>>20)
	s.memory.tokens = o.Int("pa_context_len", 0, paged.MaxTokens)
	s.memory.fraction = load.MemoryUtilization
	if s.memory.fraction == 0 {
		s.memory.fraction = 0.9
	}
	s.memory.fraction = o.Fraction("pa_memory_fraction", s.memory.fraction)
	if s.paged && s.memory.mb == 0 && s.memory.tokens == 0 && load.MemoryUtilization == 0 && !o.Given("pa_memory_fraction") {
		u.Assume("flags.pa_memory_fraction", "0.9", "default")
	}
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// cacheType resolves the element size of the cache.
func (s *settings) cacheType(m *model.Model, load engine.Load, o *paged.Options) error {
	name := load.KVCacheType
	if f := o.Text("pa_cache_type"); f != "" {
		name = f
	}
	if strings.EqualFold(name, "f8e4m3") {
		name = "fp8"
	}
	s.size = 2
	if name == "" || name == "auto" {
		return nil
	}
	kv, err := quant.ParseCache(name)
	fp8 := err == nil && kv.Name == "fp8"
	switch {
	case err != nil || !fp8 && kv.Name != "bf16" && kv.Name != "fp16":
		e := model.Errorf(model.InvalidArgument, "kv_cache_dtype", "mistral.rs has no cache type %q", name)
		e.Candidates = []string{"auto", "f8e4m3"}
		return e
	case fp8 && !s.paged:
		return model.Errorf(model.InvalidArgument, "kv_cache_dtype", "the f8e4m3 cache needs paged attention").WithHint("set paged_attn to on, or keep the cache type")
	case fp8 && hasLatent(m):
		return model.Errorf(model.InvalidArgument, "kv_cache_dtype", "mistral.rs has no fp8 cache for latent attention").WithHint("keep the cache type")
	case fp8:
		s.size = 1
	}
	return nil
}

func hasLatent(m *model.Model) bool {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if x.Kind() == model.KindMLA {
				return true
			}
		}
	}
	return false
}

// check refuses what mistral.rs refuses, or has no switch for.
func (s *settings) check(m *model.Model, load engine.Load) error {
	if load.CPUMoELayers > 0 {
		return model.Errorf(model.InvalidArgument, "cpu_moe_layers", "mistral.rs leaves whole layers on the processor, not experts alone").WithHint("use gpu_layers")
	}
	if load.DataParallel > 1 {
		return model.Errorf(model.InvalidArgument, "data_parallel", "mistral.rs has no data parallelism").WithHint("start one server for each replica and plan one of them")
	}
	if load.ExpertParallel {
		return model.Errorf(model.InvalidArgument, "expert_parallel", "mistral.rs cuts experts over ranks, it does not spread them").WithHint("leave it out")
	}
	if s.tp > 1 && (s.metal || s.cpu) {
		return model.Errorf(model.InvalidArgument, "tensor_parallel", "mistral.rs shares tensors between CUDA devices only").WithHint("use one device")
	}
	if s.tp > 1 && s.onDevice >= 0 {
		return model.Errorf(model.InvalidArgument, "gpu_layers", "tensor-parallel ranks hold all layers").WithHint("use pipeline_parallel to map layers to devices")
	}
	if math.IsNaN(s.memory.fraction) || s.memory.fraction <= 0 || s.memory.fraction > 1 {
		return model.Errorf(model.InvalidArgument, "gpu_memory_utilization", "%g is not above 0 and at most 1", s.memory.fraction)
	}
	return nil
}
