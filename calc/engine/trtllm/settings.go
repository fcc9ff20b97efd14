package trtllm

import (
	"strconv"

	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// flags are the engine's own names for what changes memory: options of
// trtllm-serve and fields of its YAML configuration.
var flags = []string{
	"backend", "context_parallel_size", "cuda_graph_max_batch_size", "dtype", "enable_attention_dp", "ep_size", "free_gpu_memory_fraction",
	"host_cache_size", "kv_cache_dtype", "kv_cache_free_gpu_memory_fraction", "mamba_ssm_cache_dtype", "max_attention_window",
	"max_batch_size", "max_gpu_total_bytes", "max_num_tokens", "max_seq_len", "max_tokens", "moe_expert_parallel_size",
	"moe_tensor_parallel_size", "pp_partition", "speculative", "tokens_per_block", "use_cuda_graph",
}

// settings are a load with every default resolved.
type settings struct {
	release      paged.Release
	engine       bool // a compiled TensorRT engine instead of the PyTorch backend
	tp, pp, dp   int64
	cp           int64 // context-parallel ranks, which share a sequence's tokens
	attention    int64 // ranks that cut attention: tp, or 1 with attention DP
	moeTP, moeEP int64
	adp          bool
	context      int64
	seqs         int64 // of one rank's attention
	maxLen       int64
	batch        int64 // max_batch_size
	tokens       int64 // max_num_tokens
	block        int64
	fraction     float64
	maxTokens    int64 // max_tokens of the cache, 0: none
	maxBytes     int64 // max_gpu_total_bytes, 0: none
	host         int64 // host_cache_size
	graphs       int64 // captured batch sizes
	graphBatch   int64
	windows      []int64 // max_attention_window
	partition    []int64 // layers of each pipeline stage
	mtp          bool
	kv           quant.CacheType
	state        quant.CacheType
	assumedState bool // nothing says the states' type
}

// resolve fills every open setting as the given release would.
func resolve(m *model.Model, load engine.Load, u *engine.Usage) (*settings, error) {
	s := &settings{tp: max(1, load.TensorParallel), pp: max(1, load.PipelineParallel), dp: max(1, load.DataParallel)}
	s.release = paged.ResolveRelease(u, load.Version, newest)
	o := &paged.Options{Flags: load.Flags}
	s.backend(o)
	s.adp = o.Bool("enable_attention_dp", false)
	s.cp = max(1, o.Int("context_parallel_size", 1, 1024))
	s.attention = s.tp
	s.context, s.seqs = max(1, load.ContextTokens), paged.CeilDiv(max(1, load.Sequences), s.dp)
	if s.adp {
		s.attention, s.seqs = 1, paged.CeilDiv(s.seqs, s.tp)
	}
	s.experts(load, o)
	s.limits(m, load, o, u)
	s.cache(m, load, o, u)
	s.captures(o)
	s.partition = o.Ints("pp_partition", 1<<16)
	s.mtp = o.Bool("speculative", false) && len(m.MTPLayers) > 0
	if err := s.types(m, load, o, u); err != nil {
		return nil, err
	}
	if o.Err != nil {
		return nil, o.Err
	}
	return s, s.check(m, load)
}

func (s *settings) backend(o *paged.Options) {
	s.engine = !s.release.AtLeast(pytorchDefault)
	switch o.Text("backend") {
	case "":
	case "pytorch":
		s.engine = false
	case "tensorrt", "trt", "cpp":
		s.engine = true
	default:
		o.Refuse("backend", "there are rules for pytorch and tensorrt only")
	}
}

// experts resolves how the ranks of a tensor-parallel group share experts:
// moe_tp × moe_ep = tp; each expert is cut unless told otherwise.
func (s *settings) experts(load engine.Load, o *paged.Options) {
	ep := o.Int("ep_size", 0, 1024)
	ep = o.Int("moe_expert_parallel_size", ep, 1024)
	tp := o.Int("moe_tensor_parallel_size", 0, 1024)
	if ep == 0 && tp == 0 && load.ExpertParallel {
		ep = s.tp
	}
	switch {
	case ep == 0 && tp == 0:
		tp, ep = s.tp, 1
	case ep == 0:
		ep = s.tp / max(1, tp)
	case tp == 0:
		tp = s.tp / max(1, ep)
	}
	if tp*ep != s.tp {
		o.Refuse("moe_expert_parallel_size", "moe_tensor_parallel_size (%d) × moe_expert_parallel_size (%d) must be tensor_parallel (%d)", tp, ep, s.tp)
	}
	s.moeTP, s.moeEP = max(1, tp), max(1, ep)
}

func (s *settings) limits(m *model.Model, load engine.Load, o *paged.Options, u *engine.Usage) {
	if s.batch = o.Int("max_batch_size", 0, 1<<20); s.batch == 0 {
		s.batch = paged.AssumeInt(u, "max_batch_size", 2048, "default of trtllm-serve")
	}
	if s.tokens = o.Int("max_num_tokens", max(0, load.BatchTokens), paged.MaxTokens); s.tokens == 0 {
		s.tokens = paged.AssumeInt(u, "max_num_tokens", 8192, "default of trtllm-serve")
	}
	s.maxLen = o.Int("max_seq_len", max(0, load.MaxModelLen), paged.MaxTokens)
	if s.maxLen == 0 {
		n, why := s.context, "the planned context; the model does not say its maximum"
		if m.Context > 0 {
			n, why = max(m.Context, s.context), "the model's maximum"
		}
		s.maxLen = paged.AssumeInt(u, "max_seq_len", n, why)
	}
}

func (s *settings) cache(m *model.Model, load engine.Load, o *paged.Options, u *engine.Usage) {
	s.fraction = load.MemoryUtilization
	if s.fraction == 0 {
		s.fraction = 0.9
		if !o.Given("free_gpu_memory_fraction") && !o.Given("kv_cache_free_gpu_memory_fraction") {
			u.Assume("free_gpu_memory_fraction", "0.9", "default; of the memory that is free after weights and activations")
		}
	}
	s.fraction = o.Fraction("kv_cache_free_gpu_memory_fraction", o.Fraction("free_gpu_memory_fraction", s.fraction))
	s.maxTokens = o.Int("max_tokens", 0, paged.MaxTokens)
	s.maxBytes = o.Int("max_gpu_total_bytes", 0, paged.Most)
	s.host = o.Int("host_cache_size", 0, paged.Most)
	s.windows = o.Ints("max_attention_window", paged.MaxTokens)
	if s.block = o.Int("tokens_per_block", 0, 1<<16); s.block > 0 {
		if s.block&(s.block-1) != 0 {
			o.Refuse("tokens_per_block", "%d is not a power of two", s.block)
		}
		return
	}
	n, why := int64(32), "default"
	switch {
	case indexed(m):
		n, why = 64, "the indexer's cache has blocks of 64"
	case !s.release.AtLeast(blocksOf32):
		n, why = 64, "default before 0.18"
	}
	s.block = paged.AssumeInt(u, "tokens_per_block", n, why)
}

// indexed reports whether layers of latent attention have an indexer.
func indexed(m *model.Model) bool {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if x, ok := x.(*model.MLA); ok && x.Indexer != nil {
				return true
			}
		}
	}
	return false
}

// captures counts the batch sizes of CUDA graphs: 1, 2, 4, multiples of 8 up to
// 128, powers of two above, and the largest.
func (s *settings) captures(o *paged.Options) {
	top := o.Int("cuda_graph_max_batch_size", 128, 1<<20)
	if s.engine || !o.Bool("use_cuda_graph", true) || top == 0 {
		return
	}
	top = min(top, s.batch)
	s.graphBatch = top
	last := int64(0)
	count := func(size int64) {
		if size <= top {
			s.graphs, last = s.graphs+1, size
		}
	}
	for _, n := range [...]int64{1, 2, 4} {
		count(n)
	}
	for n := int64(8); n <= 128; n += 8 {
		count(n)
	}
	for n := int64(256); n < top; n *= 2 {
		count(n)
	}
	if last != top {
		s.graphs++
	}
}

// types resolves the types of cache and states.
func (s *settings) types(m *model.Model, load engine.Load, o *paged.Options, u *engine.Usage) error {
	name := load.KVCacheType
	if f := o.Text("kv_cache_dtype"); f != "" {
		name = f
	}
	if name == "" || name == "auto" {
		name = "bf16"
		if m.KVCacheType != "" {
			name = m.KVCacheType
			u.Assume("kv_cache_dtype", name, "the checkpoint asks for it")
		}
	}
	var err error
	s.kv, err = quant.ParseCache(name)
	ok := err == nil && (s.kv.Name == "bf16" || s.kv.Name == "fp16" || s.kv.Name == "f32" || s.kv.Name == "fp8" || s.kv.Name == "nvfp4" || s.kv.Name == "int8" && s.engine)
	if !ok {
		e := model.Errorf(model.InvalidArgument, "kv_cache_dtype", "TensorRT-LLM has no cache type %q", name)
		e.Candidates = []string{"auto", "bf16", "fp8", "nvfp4"}
		return e
	}
	state := "bf16"
	if m.StateType != "" {
		state = m.StateType
	}
	if f := o.Text("mamba_ssm_cache_dtype"); f != "" && f != "auto" {
		state = f
	} else {
		s.assumedState = m.StateType == ""
	}
	if s.state, err = quant.ParseCache(state); err != nil || s.state.Block != 1 || s.state.BlockBytes < 2 {
		e := model.Errorf(model.InvalidArgument, "flags.mamba_ssm_cache_dtype", "TensorRT-LLM keeps no state as %q", state)
		e.Candidates = []string{"auto", "float16", "bfloat16", "float32"}
		return e
	}
	return nil
}

// check refuses what the engine refuses.
func (s *settings) check(m *model.Model, load engine.Load) error {
	if load.GPULayers != nil || load.CPUMoELayers > 0 {
		return model.Errorf(model.InvalidArgument, "gpu_layers", "TensorRT-LLM leaves no layers in system memory")
	}
	if s.context > s.maxLen {
		return model.Errorf(model.InvalidArgument, "flags.max_seq_len", "sequences of %d tokens are longer than max_seq_len (%d)", s.context, s.maxLen).
			WithHint("raise max_seq_len or plan a shorter context")
	}
	if n := s.tp * s.pp * s.dp * s.cp; n > 4096 {
		return model.Errorf(model.InvalidArgument, "flags.context_parallel_size", "%d devices are more than can be planned", n)
	}
	if s.pp > int64(max(1, len(m.Layers))) {
		return model.Errorf(model.InvalidArgument, "pipeline_parallel", "%d stages for %d layers", s.pp, len(m.Layers))
	}
	if err := s.checkPartition(m); err != nil {
		return err
	}
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			var heads int64
			switch x := x.(type) {
			case *model.Attention:
				heads = x.Heads
			case *model.MLA:
				heads = x.Heads
			}
			if heads%s.attention != 0 {
				return model.Errorf(model.InvalidArgument, "tensor_parallel", "%d ranks do not divide %d attention heads", s.attention, heads).
					WithHint("use a divisor of the head count, or enable_attention_dp")
			}
			if s.cp > 1 && x.Kind() != model.KindMLA && x.Kind() != model.KindFull {
				return model.Errorf(model.InvalidArgument, "flags.context_parallel_size", "%s layers are not split by context", x.Kind())
			}
		}
	}
	return nil
}

func (s *settings) checkPartition(m *model.Model) error {
	if s.partition == nil {
		return nil
	}
	var sum int64
	for _, n := range s.partition {
		sum += n
	}
	if int64(len(s.partition)) != s.pp || sum != int64(len(m.Layers)) {
		return model.Errorf(model.InvalidArgument, "flags.pp_partition", "%d stages with %s layers are not %d stages with %d",
			len(s.partition), strconv.FormatInt(sum, 10), s.pp, len(m.Layers))
	}
	return nil
}
