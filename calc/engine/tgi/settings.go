package tgi

import (
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// flags are TGI's own switches that change memory: those of the launcher, and
// the variables that it has no switch for.
var flags = []string{
	"TGI_WIGGLE_ROOM", "attention", "cuda_graphs", "cuda_memory_fraction", "dtype", "enable_prefill_logprobs",
	"kv_cache_dtype", "max_batch_prefill_tokens", "max_batch_size", "max_batch_total_tokens", "max_input_tokens",
	"max_total_tokens", "num_shard", "quantize", "speculate",
}

// settings are a load with every default resolved.
type settings struct {
	release   paged.Release
	tp, dp    int64
	context   int64
	seqs      int64 // of one server
	attention string
	block     int64
	prefill   int64 // max_batch_prefill_tokens
	maxInput  int64 // 0: not given
	maxTotal  int64 // 0: as many as the cache and the model allow
	maxBatch  int64 // max_batch_total_tokens, 0: what was found at start
	fraction  float64
	room      float64
	graphs    int64 // captured batch sizes
	speculate int64
	promptRow bool // logits of all prompt tokens are made
	weights   string
	kv        quant.CacheType
	device    *engine.Device
}

// resolve fills every open setting as the given release would.
func resolve(m *model.Model, load engine.Load, hw engine.Hardware, u *engine.Usage) (*settings, error) {
	s := &settings{tp: max(1, load.TensorParallel), dp: max(1, load.DataParallel)}
	s.release = paged.ResolveRelease(u, load.Version, newest)
	if len(hw.Devices) > 0 {
		s.device = &hw.Devices[0]
	}
	o := &paged.Options{Flags: load.Flags}
	if n := o.Int("num_shard", s.tp, 1024); n != s.tp {
		o.Refuse("num_shard", "%d shards, but tensor_parallel is %d", n, s.tp)
	}
	s.context, s.seqs = max(1, load.ContextTokens), paged.CeilDiv(max(1, load.Sequences), s.dp)
	s.speculate = o.Int("speculate", 0, 1024)
	s.memory(load, o, u)
	if err := s.types(m, load, o, u); err != nil {
		return nil, err
	}
	s.backend(m, o, u)
	s.lengths(m, load, o, u)
	s.captures(m, load, o)
	s.promptRow = o.Bool("enable_prefill_logprobs", !s.release.AtLeast(wiggleOfTotal))
	if o.Err != nil {
		return nil, o.Err
	}
	return s, s.check(m, load)
}

func (s *settings) memory(load engine.Load, o *paged.Options, u *engine.Usage) {
	s.fraction = load.MemoryUtilization
	if s.fraction == 0 {
		s.fraction = 1
	}
	s.fraction = o.Fraction("cuda_memory_fraction", s.fraction)
	s.room = wiggleRoom(s.release)
	if o.Given("TGI_WIGGLE_ROOM") {
		s.room = o.Fraction("TGI_WIGGLE_ROOM", s.room)
	} else {
		u.Assume("flags.TGI_WIGGLE_ROOM", strconv.FormatFloat(s.room, 'g', -1, 64), "default of TGI "+s.release.String())
	}
}

// blocks are the tokens of a block by attention backend (models/globals.py).
var blocks = map[string]int64{"flashinfer": 1, "flashdecoding": 256, "flashdecoding-ipex": 64, "paged": 16}

// backend chooses the attention backend as the launcher does, or as the image
// for the vendor's devices is built.
func (s *settings) backend(m *model.Model, o *paged.Options, u *engine.Usage) {
	s.attention = o.Text("attention")
	if s.attention != "" {
		if blocks[s.attention] == 0 {
			o.Refuse("attention", "TGI has no attention backend %q", s.attention)
		} else if !s.release.AtLeast(flashinfer) && s.attention == "flashinfer" {
			o.Refuse("attention", "TGI %s has no FlashInfer", s.release)
		}
		s.block = max(1, blocks[s.attention])
		return
	}
	var why string
	s.attention, why = s.defaultBackend(m)
	s.block = blocks[s.attention]
	u.Assume("flags.attention", s.attention, why)
}

func (s *settings) defaultBackend(m *model.Model) (name, why string) {
	vendor, arch := "", ""
	if s.device != nil {
		vendor, arch = s.device.Vendor, s.device.Arch
	}
	fallback := "flashdecoding"
	if len(arch) > 1 && arch[1] == '.' && arch[0] < '8' {
		fallback = "paged"
	}
	h := headsOf(m)
	switch {
	case !s.release.AtLeast(flashinfer):
		return "paged", "default of TGI " + s.release.String()
	case vendor == "amd":
		return "paged", "as the image for AMD devices is built"
	case vendor == "intel":
		return "flashdecoding-ipex", "as the image for Intel devices is built"
	case h.latent || m.Type == "falcon":
		return fallback, "the launcher forces it for " + m.Type
	case h.size != 64 && h.size != 128 && h.size != 256:
		return fallback, "FlashInfer has no heads of " + strconv.FormatInt(h.size, 10)
	}
	return "flashinfer", "default of TGI " + s.release.String()
}

// types resolves the weight scheme and the cache type.
func (s *settings) types(m *model.Model, load engine.Load, o *paged.Options, u *engine.Usage) error {
	s.weights = load.Weights
	if q := o.Text("quantize"); q != "" {
		name, ok := quantizers[q]
		if !ok {
			e := model.Errorf(model.InvalidArgument, "flags.quantize", "TGI has no quantizer %q", q)
			e.Candidates = quantizerNames()
			return e
		}
		if name != "" {
			s.weights = name
		} else if m.Quant == nil && !m.Exact {
			return model.Errorf(model.InvalidArgument, "flags.quantize", "%s loads a checkpoint that is already quantized so; this one is not", q).
				WithHint("name a quantized repository, or use eetq, fp8 or bitsandbytes-nf4, which quantize while loading")
		}
	}
	if err := quant.Served(m, s.weights, "TGI", served); err != nil {
		return err
	}
	name := load.KVCacheType
	if f := o.Text("kv_cache_dtype"); f != "" {
		name = f
	}
	switch name {
	case "", "auto":
		name = "bf16"
		if m.KVCacheType == "fp8" && s.release.AtLeast(wiggleOfTotal) {
			u.Notes = append(u.Notes, "the checkpoint has fp8 cache scales; TGI uses them only with kv_cache_dtype fp8_e4m3fn")
		}
	}
	kv, err := quant.ParseCache(name)
	if err == nil && (kv.Name == "bf16" || kv.Name == "fp16" || kv.Name == "fp8") {
		s.kv = kv
		return nil
	}
	e := model.Errorf(model.InvalidArgument, "kv_cache_dtype", "TGI has no cache type %q", name)
	e.Candidates = []string{"auto", "fp8_e4m3fn", "fp8_e5m2"}
	return e
}

// captures resolves the batch sizes that CUDA graphs are captured for: those
// that are given, whatever the weights; by default none for weights that graphs
// do not work with. (launcher/src/main.rs)
func (s *settings) captures(m *model.Model, load engine.Load, o *paged.Options) {
	q := o.Text("quantize")
	switch {
	case o.Given("cuda_graphs"):
		if !isZero(load.Flags["cuda_graphs"]) {
			s.graphs = int64(len(o.Ints("cuda_graphs", 1<<16)))
		}
	case q == "exl2", q == "bitsandbytes", q == "" && (strings.EqualFold(s.weights, "bnb-int8") || byBitsAndBytes(m)):
	default:
		s.graphs = 6 // 1, 2, 4, 8, 16, 32
	}
}

// byBitsAndBytes reports a checkpoint that bitsandbytes stored. Its
// configuration names no bits, so that the launcher takes both kinds for the
// 8-bit one.
func byBitsAndBytes(m *model.Model) bool {
	if m.Quant == nil {
		return false
	}
	method := strings.ToLower(m.Quant.Method)
	return strings.HasPrefix(method, "nf4") || strings.HasPrefix(method, "bnb")
}

// isZero reports a switch that says "none": 0, "0", false.
func isZero(v any) bool {
	switch v := v.(type) {
	case string:
		return v == "0" || v == ""
	case bool:
		return !v
	}
	n, err := engine.Flags{"n": v}.Int("n", 1)
	return err == nil && n == 0
}

// check refuses what TGI refuses.
func (s *settings) check(m *model.Model, load engine.Load) error {
	if load.PipelineParallel > 1 {
		return model.Errorf(model.InvalidArgument, "pipeline_parallel", "TGI has no pipeline stages").WithHint("use tensor_parallel (num_shard)")
	}
	if load.ExpertParallel {
		return model.Errorf(model.InvalidArgument, "expert_parallel", "TGI cuts experts, it does not spread them").WithHint("leave it out")
	}
	if load.GPULayers != nil || load.CPUMoELayers > 0 {
		return model.Errorf(model.InvalidArgument, "gpu_layers", "TGI leaves no layers in system memory")
	}
	if s.maxInput > 0 && s.maxTotal > 0 && s.maxInput >= s.maxTotal {
		return model.Errorf(model.InvalidArgument, "flags.max_input_tokens", "max_input_tokens (%d) must be below max_total_tokens (%d)", s.maxInput, s.maxTotal)
	}
	if s.maxTotal > 0 && s.context > s.maxTotal {
		return model.Errorf(model.InvalidArgument, "flags.max_total_tokens", "sequences of %d tokens are longer than max_total_tokens (%d)", s.context, s.maxTotal).
			WithHint("raise max_total_tokens or plan a shorter context")
	}
	if s.maxBatch > 0 && s.maxTotal > s.maxBatch {
		return model.Errorf(model.InvalidArgument, "flags.max_batch_total_tokens", "max_total_tokens (%d) must not be above max_batch_total_tokens (%d)", s.maxTotal, s.maxBatch)
	}
	if s.kv.Name == "fp8" && s.attention == "flashdecoding" {
		return model.Errorf(model.InvalidArgument, "kv_cache_dtype", "TGI's flashdecoding backend has no fp8 cache").WithHint("use attention=paged, or flashinfer where the head size allows")
	}
	h := headsOf(m)
	if s.tp > 1 && h.kv > 0 && (h.query%s.tp != 0 || h.kv > 1 && h.kv < s.tp) {
		return model.Errorf(model.InvalidArgument, "tensor_parallel", "%d shards do not divide %d attention heads (%d key/value heads); TGI replicates none but a single one", s.tp, h.query, h.kv).
			WithHint("use a divisor of the head counts")
	}
	return nil
}
