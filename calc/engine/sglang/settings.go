package sglang

import (
	"math"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// flags are SGLang's own switches that change memory, with underscores.
var flags = []string{
	"chunked_prefill_size", "cpu_offload_gb", "cuda_graph_max_bs", "disable_cuda_graph", "disable_hybrid_swa_memory",
	"disable_overlap_schedule", "disable_radix_cache", "dtype", "enable_dp_attention", "enable_dp_lm_head",
	"enable_hierarchical_cache", "ep_num_redundant_experts", "ep_size", "hicache_ratio", "hicache_size",
	"mamba_full_memory_ratio", "mamba_scheduler_strategy", "mamba_ssm_dtype", "max_mamba_cache_size", "max_prefill_tokens",
	"max_running_requests", "max_total_tokens", "mem_fraction_static", "moe_a2a_backend", "moe_dense_tp_size", "page_size",
	"piecewise_cuda_graph_max_tokens", "speculative_algorithm", "speculative_num_draft_tokens", "swa_eviction_interval",
	"swa_full_tokens_ratio",
}

// settings are a load with every default resolved.
type settings struct {
	version version
	// tp ranks hold a model; dp of them form groups with attention of their own
	// when dpAttention is on, else there are dp whole replicas.
	tp, pp, dp  int64
	dpAttention bool
	dpHead      bool
	denseTP     int64 // ranks that cut dense networks
	ep          int64 // ranks over which whole experts are spread
	redundant   int64 // copies of busy experts beside the model's own
	deepEP      bool  // experts are reached by all-to-all; shared ones are whole

	context, seqs int64 // seqs are live sequences of one attention group
	page          int64
	chunk         int64 // chunked_prefill_size, -1 for whole prompts
	prefill       int64 // max_prefill_tokens
	graphBatch    int64 // cuda_graph_max_bs, 0 without graphs
	piecewise     int64 // piecewise_cuda_graph_max_tokens, 0 without
	fraction      float64
	radix         bool
	overlap       bool
	extraBuffer   bool // recurrent states are double-buffered
	maxRunning    int64
	maxTokens     int64
	maxSlots      int64
	stateRatio    float64 // mamba_full_memory_ratio
	swaRatio      float64
	swaPools      bool
	eviction      int64
	spec          string // speculative_algorithm, "" for none
	draftTokens   int64
	draftLayers   int64
	mtp           bool // the model's own MTP layers are the draft
	offload       int64
	hicache       bool
	hicacheRatio  float64
	hicacheBytes  int64 // hicache_size for each rank, 0 for by ratio
	modelSize     int64
	types         shard.Types
	device        *engine.Device
}

// attnTP is how many ranks share a sequence's attention.
func (s *settings) attnTP() int64 {
	if s.dpAttention {
		return s.tp / s.dp
	}
	return s.tp
}

// resolve fills every open setting as the given release of SGLang would, and
// records in u what was assumed.
func resolve(m *model.Model, load engine.Load, hw engine.Hardware, u *engine.Usage) (*settings, error) {
	s := &settings{tp: max(1, load.TensorParallel), pp: max(1, load.PipelineParallel), dp: max(1, load.DataParallel)}
	var known bool
	if s.version, known = parseVersion(load.Version); !known {
		why := "not given; the newest known"
		if load.Version != "" {
			why = load.Version + " is not a release that is known; planned as the newest"
		}
		u.Assume("engine_version", s.version.String(), why)
	}
	u.Version = s.version.String()
	if known {
		u.Version = strings.TrimPrefix(load.Version, "v")
	}
	if len(hw.Devices) > 0 {
		s.device = &hw.Devices[0]
	}
	r := &reader{f: load.Flags}
	s.context = max(1, load.ContextTokens)
	s.parallel(load, r, u)
	s.batching(load, r, u)
	s.speculation(m, r, u)
	s.pools(m, r, u)
	s.host(r)
	if err := s.resolveTypes(m, load, r, u); err != nil {
		return nil, err
	}
	s.static(m, load, r, u)
	if r.err != nil {
		return nil, r.err
	}
	return s, s.check(m)
}

// parallel resolves how ranks share the model.
func (s *settings) parallel(load engine.Load, r *reader, u *engine.Usage) {
	s.dpAttention = r.bool("enable_dp_attention", false) && s.dp > 1
	s.dpHead = r.bool("enable_dp_lm_head", false) && s.dpAttention
	s.denseTP = r.int("moe_dense_tp_size", s.tp)
	s.redundant = r.int("ep_num_redundant_experts", 0)
	a2a := r.string("moe_a2a_backend")
	s.deepEP = a2a != "" && a2a != "none"
	def := int64(1)
	if load.ExpertParallel || s.deepEP {
		def = s.tp
	}
	s.ep = r.int("ep_size", def)
	if s.deepEP && s.ep != s.tp {
		u.Assume("flags.ep_size", strconv.FormatInt(s.tp, 10), "all-to-all backends spread experts over all ranks")
		s.ep = s.tp
	}
	s.seqs = ceilDiv(max(1, load.Sequences), s.dp)
}

// batching resolves chunk and graph sizes by device (server_args.py).
func (s *settings) batching(load engine.Load, r *reader, u *engine.Usage) {
	chunk, batch := s.batchDefaults()
	why := "default for this device"
	if s.device == nil {
		why = "no hardware given; default for devices of 60 to 90 GiB"
	}
	s.prefill = r.int("max_prefill_tokens", 16384)
	s.chunk = r.signed("chunked_prefill_size", load.BatchTokens)
	if s.chunk == 0 {
		s.chunk = chunk
		u.Assume("chunked_prefill_size", strconv.FormatInt(chunk, 10), why)
	}
	s.graphBatch = r.int("cuda_graph_max_bs", 0)
	if s.graphBatch == 0 {
		s.graphBatch = batch
		u.Assume("cuda_graph_max_bs", strconv.FormatInt(batch, 10), why)
	}
	if r.bool("disable_cuda_graph", false) {
		s.graphBatch = 0
	}
	s.piecewise = r.int("piecewise_cuda_graph_max_tokens", 0)
	s.maxRunning = r.int("max_running_requests", 0)
	s.maxTokens = r.int("max_total_tokens", 0)
	s.overlap = !r.bool("disable_overlap_schedule", false)
	s.radix = !r.bool("disable_radix_cache", false)
}

func (s *settings) batchDefaults() (chunk, batch int64) {
	wide := func(narrow, wide int64) int64 {
		if s.tp < 4 {
			return narrow
		}
		return wide
	}
	total := 80 * engine.GiB
	if s.device != nil {
		total = s.device.Total
	}
	if !s.version.atLeast(reservedFraction) {
		switch {
		case total < 35*engine.GiB:
			return 2048, wide(8, 80)
		case total < 160*engine.GiB:
			return 8192, 160
		}
		return 16384, 160
	}
	switch {
	case total < 20*engine.GiB:
		return 2048, 8
	case total < 35*engine.GiB:
		return 2048, wide(24, 80)
	case total < 60*engine.GiB:
		return 4096, wide(32, 160)
	case total < 64*engine.GiB && s.ascend():
		return 32768, wide(64, 128)
	case total < 160*engine.GiB:
		return 8192, wide(256, 512)
	}
	return 16384, 512
}

func (s *settings) ascend() bool { return s.device != nil && s.device.Vendor == "huawei" }

// speculation resolves the draft model: EAGLE and NEXTN run the checkpoint's
// MTP layers when it has them, else one layer of the same shape.
func (s *settings) speculation(m *model.Model, r *reader, u *engine.Usage) {
	s.spec = strings.ToUpper(r.string("speculative_algorithm"))
	if s.spec == "NONE" {
		s.spec = ""
	}
	s.draftTokens = r.int("speculative_num_draft_tokens", 0)
	if s.spec == "" || s.spec == "NGRAM" {
		return
	}
	s.draftTokens = max(1, s.draftTokens)
	s.draftLayers = 1
	switch s.spec {
	case "EAGLE", "NEXTN":
		if n := int64(len(m.MTPLayers)); n > 0 {
			s.mtp, s.draftLayers = true, n
			return
		}
	case "EAGLE3":
	default:
		s.draftLayers = 0
	}
	u.Notes = append(u.Notes, "the draft model's weights are not in this plan")
}

// pools resolves pages and how pools are shared out.
func (s *settings) pools(m *model.Model, r *reader, u *engine.Usage) {
	page := int64(1)
	why := "default of most attention backends"
	switch k := kindsOf(m); {
	case k.compressed:
		page, why = 256, "compressed attention keeps pages of 256 tokens"
	case k.indexed:
		page, why = 64, "sparse attention keeps pages of 64 tokens"
	case s.ascend():
		page, why = 128, "default on Ascend"
	}
	if s.page = r.int("page_size", 0); s.page == 0 {
		s.page = page
		u.Assume("page_size", strconv.FormatInt(page, 10), why)
	}
	s.stateRatio = r.float("mamba_full_memory_ratio", 0.9)
	s.maxSlots = r.int("max_mamba_cache_size", 0)
	s.extraBuffer = r.string("mamba_scheduler_strategy") == "extra_buffer"
	ratio := 0.8
	if kindsOf(m).compressed {
		ratio = 0.1
	}
	s.swaRatio = r.float("swa_full_tokens_ratio", ratio)
	s.eviction = max(1, r.int("swa_eviction_interval", 1))
	old := strings.HasPrefix(m.Type, "gemma") && !s.version.atLeast(gemmaPools)
	s.swaPools = !r.bool("disable_hybrid_swa_memory", old)
}

// host resolves what is kept in system memory.
func (s *settings) host(r *reader) {
	s.offload = scale(r.float("cpu_offload_gb", 0), gib)
	s.hicache = r.bool("enable_hierarchical_cache", false)
	s.hicacheRatio = r.float("hicache_ratio", 2)
	s.hicacheBytes = scale(r.float("hicache_size", 0), 1e9)
}

const gib = float64(engine.GiB)

// resolveTypes resolves the run-time dtype and the cache types.
func (s *settings) resolveTypes(m *model.Model, load engine.Load, r *reader, u *engine.Usage) error {
	s.modelSize = 2
	if d := strings.TrimPrefix(r.string("dtype"), "torch."); d == "float32" || d == "float" || d == "fp32" {
		s.modelSize = 4
	}
	plain := load
	plain.Flags = nil // mamba_ssm_dtype is this engine's name for the state's type
	blackwell := s.device != nil && s.device.Vendor == "nvidia" && (strings.HasPrefix(s.device.Arch, "10.") || strings.HasPrefix(s.device.Arch, "12."))
	k := kindsOf(m)
	if (load.KVCacheType == "" || load.KVCacheType == "auto") && m.KVCacheType == "" && (k.indexed && blackwell || k.compressed) {
		plain.KVCacheType = "fp8"
		u.Assume("kv_cache_dtype", "fp8", "default for sparse attention on this device")
	}
	var err error
	if s.types, err = shard.CacheTypes(m, plain); err != nil {
		return err
	}
	if c := s.types.KV; c.Rows || strings.HasPrefix(c.Name, "mlx") || strings.HasPrefix(c.Name, "turbo") || c.PerHead > 0 || c.Name == "int8" {
		e := model.Errorf(model.InvalidArgument, "kv_cache_dtype", "SGLang has no cache type %q", load.KVCacheType)
		e.Candidates = []string{"auto", "bf16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1", "mxfp8"}
		return e.WithHint("use one of the candidates")
	}
	if s.types.KV.Name == "fp8" && k.indexed {
		s.types.SparseFP8 = true
	}
	if name := r.string("mamba_ssm_dtype"); name != "" {
		if s.types.State, err = quant.ParseCache(name); err != nil || s.types.State.BlockBytes < 2 {
			return model.Errorf(model.InvalidArgument, "flags.mamba_ssm_dtype", "SGLang keeps no state as %q", name).WithHint("use float32 or bfloat16")
		}
	}
	return nil
}

// static resolves mem_fraction_static.
func (s *settings) static(m *model.Model, load engine.Load, r *reader, u *engine.Usage) {
	if s.fraction = r.float("mem_fraction_static", load.MemoryUtilization); s.fraction != 0 {
		return
	}
	var why string
	s.fraction, why = s.autoFraction(m)
	u.Assume("mem_fraction_static", strconv.FormatFloat(s.fraction, 'g', 4, 64), why)
}

// maxSetting bounds token and sequence counts of flags.
const maxSetting = 1 << 34

func (s *settings) check(m *model.Model) error {
	bad := func(field, format string, a ...any) *model.Error {
		return model.Errorf(model.InvalidArgument, field, format, a...)
	}
	switch {
	case math.IsNaN(s.fraction) || s.fraction <= 0 || s.fraction >= 1:
		return bad("flags.mem_fraction_static", "%g is not between 0 and 1", s.fraction).WithHint("give the share of free memory for weights and cache, such as 0.85")
	case s.dpAttention && s.tp%s.dp != 0:
		return bad("data_parallel", "attention of %d groups does not divide %d tensor-parallel ranks", s.dp, s.tp).
			WithHint("with enable_dp_attention, tensor_parallel counts all ranks and data_parallel divides it")
	case s.ep < 1 || s.tp%s.ep != 0:
		return bad("flags.ep_size", "%d expert-parallel ranks do not divide %d tensor-parallel ranks", s.ep, s.tp)
	case s.denseTP < 1 || s.tp%s.denseTP != 0:
		return bad("flags.moe_dense_tp_size", "%d does not divide %d tensor-parallel ranks", s.denseTP, s.tp)
	case s.page > 1<<20:
		return bad("flags.page_size", "%d tokens is not a page size", s.page)
	case kindsOf(m).compressed && s.page%128 != 0:
		return bad("flags.page_size", "%d is not a multiple of 128, which compressed attention needs", s.page)
	case !(s.swaRatio > 0 && s.swaRatio <= 1):
		return bad("flags.swa_full_tokens_ratio", "%g is not between 0 and 1", s.swaRatio)
	case !(s.stateRatio > 0 && s.stateRatio < 1e6):
		return bad("flags.mamba_full_memory_ratio", "%g is not a positive ratio", s.stateRatio)
	case !(s.hicacheRatio >= 0 && s.hicacheRatio < 1e6):
		return bad("flags.hicache_ratio", "%g is not a ratio", s.hicacheRatio)
	case s.draftTokens > 1024 || s.redundant > 1<<16:
		return bad("flags", "speculative_num_draft_tokens is at most 1024, ep_num_redundant_experts at most 65536")
	}
	for _, n := range [...]int64{s.chunk, s.prefill, s.graphBatch, s.maxRunning, s.maxTokens, s.maxSlots, s.piecewise, s.eviction} {
		if n > maxSetting {
			return bad("flags", "%d is more tokens or sequences than SGLang can serve", n)
		}
	}
	return nil
}
