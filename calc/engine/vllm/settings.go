package vllm

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/calibration"
	"hwledger/calc/model"
)

// flags are vLLM's own switches that change memory.
var flags = []string{
	"block_size", "chunked_local_attention", "decode_context_parallel_size", "disable_hybrid_kv_cache_manager",
	"dtype", "enable_prefix_caching", "enforce_eager", "kv_cache_memory_bytes", "language_model_only",
	"mamba_cache_mode", "mamba_ssm_cache_dtype", "max_model_len", "max_num_batched_tokens",
	"max_num_encoder_input_tokens", "max_num_seqs", "num_gpu_blocks_override", "num_speculative_tokens",
	"prefill_context_parallel_size", "runner", "speculative", "speculative_method",
}

// settings are a load with every default resolved.
type settings struct {
	table    *calibration.Table
	version  version
	tp       int64
	pp, dp   int64
	ep       bool
	dcp      int64 // context-parallel ranks that share a sequence's tokens
	maxLen   int64
	context  int64
	seqs     int64 // live sequences of one data-parallel replica
	maxSeqs  int64
	batch    int64 // max_num_batched_tokens
	encoder  int64 // encoder tokens that a request may bring
	util     float64
	block    int64 // user block size, 0 when not given
	eager    bool
	noHybrid bool // every attention layer is paged as full attention
	// chunkedFull: chunked layers are paged as full attention.
	chunkedFull bool
	mambaMode   string // none, align, all
	draft       int64  // num_speculative_tokens
	mtp         bool   // the model's own MTP layers are loaded
	textOnly    bool
	pooling     bool  // an embedding or reranking model: no head, no sampler
	poolBytes   int64 // kv_cache_memory_bytes
	poolBlocks  int64 // num_gpu_blocks_override
	modelSize   int64 // bytes of the run-time dtype
	stateSize   int64 // bytes of the recurrent state's dtype
	kv          kvType
	v0          bool
	device      *engine.Device
}

// maxFlag bounds integer flags: 1 PiB, and far more tokens than any context.
const maxFlag = 1 << 50

// maxTokens bounds counts of tokens and sequences.
const maxTokens = 1 << 34

// reader collects flags and remembers the first failure.
type reader struct {
	f   engine.Flags
	err error
}

func (r *reader) int(name string, def int64) int64 {
	v, err := r.f.Int(name, def)
	if err == nil && (v < 0 || v > maxFlag) {
		err = model.Errorf(model.InvalidArgument, "flags."+name, "%d is out of range", v)
	}
	if err != nil && r.err == nil {
		r.err = err
	}
	return v
}

func (r *reader) bool(name string, def bool) bool {
	v, err := r.f.Bool(name, def)
	if err != nil && r.err == nil {
		r.err = err
	}
	return v
}

func (r *reader) string(name string) string {
	v, err := r.f.String(name, "")
	if err != nil && r.err == nil {
		r.err = err
	}
	return strings.ToLower(v)
}

// resolve fills every open setting as the given release of vLLM would, and
// records in u what was assumed.
func (e vllm) resolve(m *model.Model, load engine.Load, hw engine.Hardware, u *engine.Usage) (*settings, error) {
	s := &settings{table: e.table, tp: max(1, load.TensorParallel), pp: max(1, load.PipelineParallel), dp: max(1, load.DataParallel), ep: load.ExpertParallel}
	var known bool
	if s.version, known = parseVersion(load.Version); !known {
		why := "not given; the newest known"
		if load.Version != "" {
			why = load.Version + " is not a release that is known; planned as the newest"
		}
		u.Assume("engine_version", s.version.String(), why)
	}
	u.Version = s.version.String()
	if known && load.Version != "" {
		u.Version = strings.TrimPrefix(load.Version, "v")
	}
	s.v0 = !s.version.atLeast(v1Default)
	if len(hw.Devices) > 0 {
		s.device = &hw.Devices[0]
	}
	r := &reader{f: load.Flags}
	s.context = max(1, load.ContextTokens)
	s.maxLen = r.int("max_model_len", max(load.MaxModelLen, 0))
	if s.maxLen == 0 {
		s.maxLen = s.context
	}
	s.context = min(s.context, s.maxLen)
	s.seqs = ceilDiv(max(1, load.Sequences), s.dp)
	s.batchDefaults(load, r, u)
	s.block = r.int("block_size", 0)
	s.eager = r.bool("enforce_eager", false)
	s.textOnly = r.bool("language_model_only", false)
	s.poolBytes = r.int("kv_cache_memory_bytes", 0)
	s.poolBlocks = r.int("num_gpu_blocks_override", 0)
	s.dcp = max(1, r.int("decode_context_parallel_size", 1)) * max(1, r.int("prefill_context_parallel_size", 1))
	encoder := max(s.batch, m.EncoderTokens)
	if m.EncDec { // VllmConfig sets it to the encoder's own length
		encoder = max(1, m.EncoderTokens)
	}
	s.encoder = r.int("max_num_encoder_input_tokens", encoder)
	s.util = load.MemoryUtilization
	if s.util == 0 {
		s.util = 0.9
		if s.version.atLeast(budgetedGraphs) {
			s.util = 0.92
		}
		u.Assume("gpu_memory_utilization", strconv.FormatFloat(s.util, 'g', -1, 64), "default of vLLM "+s.version.String())
	}
	s.noHybrid = r.bool("disable_hybrid_kv_cache_manager", false) || !s.version.atLeast(hybridManager)
	s.chunkedFull = !r.bool("chunked_local_attention", s.version.atLeast(chunkedHybrid))
	s.runner(m, r, u)
	s.speculation(m, r, u)
	s.mamba(m, r, u)
	if err := s.types(m, load, r, u); err != nil {
		return nil, err
	}
	if r.err != nil {
		return nil, r.err
	}
	return s, s.check(m)
}

// batchDefaults resolves max_num_batched_tokens and max_num_seqs by device
// (engine/arg_utils.py get_batch_defaults).
func (s *settings) batchDefaults(load engine.Load, r *reader, u *engine.Usage) {
	batch, seqs, why := int64(2048), int64(256), "default for devices below 70 GiB"
	d := s.device
	unread := d != nil && d.Vendor == "nvidia" && d.Kind == engine.Unified
	if unread {
		// NVML reports no memory of these, and vLLM takes that for none (vllm
		// pull request 57378).
		why = "default where NVML reports no memory, as on devices that share the host's"
	}
	if d == nil || !unread && d.Total >= 70*engine.GiB && !isA100(d) {
		why = "default for devices of 70 GiB and more"
		if d == nil {
			why = "no hardware given; default for devices of 70 GiB and more"
		}
		if s.version.atLeast(largeDefaults) {
			batch, seqs = 8192, 1024
		}
	}
	s.batch = r.int("max_num_batched_tokens", load.BatchTokens)
	if s.batch == 0 {
		s.batch = batch
		if s.v0 {
			// V0 without chunked prefill runs whole prompts up to 32k tokens.
			s.batch, why = max(2048, min(s.maxLen, 32768)), "V0 runs whole prompts"
			if s.maxLen > 32768 {
				s.batch, why = 2048, "V0 chunks prompts beyond 32768 tokens"
			}
		}
		u.Assume("max_num_batched_tokens", strconv.FormatInt(s.batch, 10), why)
	}
	s.maxSeqs = r.int("max_num_seqs", 0)
	if s.maxSeqs == 0 {
		s.maxSeqs = seqs
		if s.v0 {
			s.maxSeqs = 256
		}
		s.maxSeqs = min(s.maxSeqs, s.batch)
		u.Assume("max_num_seqs", strconv.FormatInt(s.maxSeqs, 10), why)
	}
}

// runner resolves whether the model is served for pooling. vLLM reads that
// from sentence-transformers files beside the weights; here the repository's
// name stands for them.
func (s *settings) runner(m *model.Model, r *reader, u *engine.Usage) {
	switch r.string("runner") {
	case "pooling":
		s.pooling = true
	case "", "auto":
		name := strings.ToLower(m.Name)
		if s.pooling = strings.Contains(name, "embedding"); s.pooling {
			u.Assume("runner", "pooling", "the repository's name says that it makes embeddings")
		}
	}
}

func (s *settings) speculation(m *model.Model, r *reader, u *engine.Usage) {
	method := r.string("speculative_method")
	s.draft = r.int("num_speculative_tokens", 0)
	if r.bool("speculative", false) && s.draft == 0 {
		s.draft = 1
		u.Assume("num_speculative_tokens", "1", "speculative decoding asked for without a number")
	}
	s.mtp = s.draft > 0 && len(m.MTPLayers) > 0 && (method == "" || strings.Contains(method, "mtp"))
	if s.draft > 0 && !s.mtp && method != "ngram" && method != "suffix" {
		u.Notes = append(u.Notes, "the draft model's weights and cache are not in this plan")
	}
}

// mamba resolves how recurrent states are cached: with prefix caching a
// request keeps states at block boundaries too.
func (s *settings) mamba(m *model.Model, r *reader, u *engine.Usage) {
	caching := r.bool("enable_prefix_caching", s.version.atLeast(hybridPrefixCaching))
	s.mambaMode = r.string("mamba_cache_mode")
	if s.mambaMode != "" || !recurrent(m) {
		return
	}
	s.mambaMode = "none"
	if caching {
		s.mambaMode = "align"
	}
	u.Assume("mamba_cache_mode", s.mambaMode, fmt.Sprintf("prefix caching %s for recurrent layers in vLLM %s", onOff(caching), s.version))
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func recurrent(m *model.Model) bool {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if model.ConvKernel(x) > 0 || x.Kind() == model.KindLightning {
				return true
			}
		}
	}
	return false
}

// types resolves the run-time dtype, the cache type and the state type.
func (s *settings) types(m *model.Model, load engine.Load, r *reader, u *engine.Usage) error {
	dtype := r.string("dtype")
	if dtype == "" || dtype == "auto" {
		dtype = load.Weights
	}
	s.modelSize = dtypeBytes(dtype)
	if s.modelSize == 0 {
		// dtype=auto runs float32 checkpoints in half precision.
		s.modelSize = 2
	}
	name := load.KVCacheType
	if name == "" || name == "auto" {
		name = "auto"
		if m.KVCacheType != "" {
			name = m.KVCacheType
			u.Assume("kv_cache_dtype", name, "the checkpoint asks for it")
		}
	}
	var err error
	if s.kv, err = parseKV(name, s.modelSize); err != nil {
		return err
	}
	s.stateSize = s.modelSize
	for _, name := range []string{m.StateType, r.string("mamba_ssm_cache_dtype")} {
		if n := dtypeBytes(name); n > 0 {
			s.stateSize = n
		} else if name != "" && name != "auto" {
			return model.Errorf(model.InvalidArgument, "flags.mamba_ssm_cache_dtype", "vLLM keeps no state as %q", name)
		}
	}
	return nil
}

func (s *settings) check(m *model.Model) error {
	if s.util > 1 || s.util < 0 || math.IsNaN(s.util) {
		return model.Errorf(model.InvalidArgument, "gpu_memory_utilization", "%g is not between 0 and 1", s.util)
	}
	if s.pp > int64(len(m.Layers)) {
		return model.Errorf(model.InvalidArgument, "pipeline_parallel", "%d stages for %d layers", s.pp, len(m.Layers))
	}
	for _, n := range [...]int64{s.maxLen, s.batch, s.maxSeqs, s.encoder, s.seqs} {
		if n > maxTokens || n < 1 {
			return model.Errorf(model.InvalidArgument, "flags", "%d is not a count of tokens or sequences that vLLM can serve", n)
		}
	}
	if s.draft > 1024 || s.dcp > 1024 {
		return model.Errorf(model.InvalidArgument, "flags", "num_speculative_tokens and decode_context_parallel_size are at most 1024")
	}
	if s.block > 1<<20 || s.block < 0 {
		return model.Errorf(model.InvalidArgument, "flags.block_size", "%d tokens is not a block size", s.block)
	}
	switch s.mambaMode {
	case "", "none", "align", "all":
	default:
		e := model.Errorf(model.InvalidArgument, "flags.mamba_cache_mode", "unknown mode %q", s.mambaMode)
		e.Candidates = []string{"none", "align", "all"}
		return e
	}
	if s.dcp > s.tp {
		return model.Errorf(model.InvalidArgument, "flags.decode_context_parallel_size", "%d ranks do not fit in tensor_parallel %d", s.dcp, s.tp)
	}
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if err := s.checkSplit(x); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSplit refuses what vLLM refuses: heads that ranks do not divide.
func (s *settings) checkSplit(x model.Mixer) error {
	switch x := x.(type) {
	case *model.Attention:
		if x.Heads%s.tp != 0 || x.KVHeads > 0 && x.KVHeads%s.tp != 0 && s.tp%x.KVHeads != 0 {
			return model.Errorf(model.InvalidArgument, "tensor_parallel", "%d ranks do not divide %d attention heads (%d key/value heads)", s.tp, x.Heads, x.KVHeads).
				WithHint("use a divisor of the head counts")
		}
		if s.dcp > 1 && x.Window > 0 {
			return model.Errorf(model.InvalidArgument, "flags.decode_context_parallel_size", "vLLM does not split sliding-window layers by context")
		}
	case *model.MLA:
		if x.Heads%s.tp != 0 {
			return model.Errorf(model.InvalidArgument, "tensor_parallel", "%d ranks do not divide %d attention heads", s.tp, x.Heads)
		}
	}
	return nil
}
