package mlx

import (
	"fmt"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// The servers.
const (
	serverLM       = "mlx-lm"
	serverOMLX     = "omlx"
	serverLMStudio = "lmstudio"
)

// flags are the servers' own switches that change memory.
var flags = []string{
	"decode_concurrency", "hot_cache_max_size", "kv_bits", "kv_group_size", "max_concurrent_requests", "max_kv_size",
	"max_process_memory", "max_tokens", "memory_guard_gb", "no_cache", "paged_cache_block_size", "paged_ssd_cache",
	"prefill_step_size", "prompt_cache_bytes", "prompt_concurrency", "quantized_kv_start", "server", "vision",
}

// settings are a load as the server would see it, defaults filled in.
type settings struct {
	rules  rules
	server string
	// context tokens of each of seqs sequences, of which generated are made by
	// the model; the others are prompt.
	context, seqs, generated int64
	// step is the most prompt tokens in one pass, prompts how many sequences
	// share a pass.
	step, prompts int64
	// maxKV bounds the cache of models that have no cache of their own kind.
	maxKV int64
	// bits of a quantized cache, 0 for none, with its group and the tokens
	// after which it is quantized.
	bits, group, start int64
	quantized          quant.CacheType
	// elem is the bytes of an activation, and of a cache element.
	elem   int64
	towers bool
	// full: windows of sliding layers are not used.
	full bool

	hot         engine.Bytes // oMLX's blocks in memory
	prompt      engine.Bytes // mlx-lm's kept prompt caches
	ssd         bool
	blockTokens int64
	// limit is the process's own limit: a share of memory or bytes, 0 for the
	// server's default.
	limitShare float64
	limit      engine.Bytes
}

// Bounds of what a caller may ask for; products stay far from the end of
// int64.
const (
	maxTokens = 1 << 28
	maxStep   = 1 << 20
)

// settingsFor reads a load and refuses what the server would refuse.
func (e mlx) settingsFor(m *model.Model, load engine.Load, u *engine.Usage) (*settings, error) {
	if err := load.Flags.Check(e.name, flags); err != nil {
		return nil, err
	}
	r := &engine.FlagReader{Flags: load.Flags}
	s := &settings{context: max(1, load.ContextTokens), seqs: max(1, load.Sequences), elem: 2, full: fullWindows[m.Type]}
	var err error
	if s.server, err = e.serverOf(load.Flags); err != nil {
		return nil, err
	}
	if s.rules, err = rulesFor(s.server, load.Version); err != nil {
		return nil, err
	}
	if u.Version = s.rules.version; load.Version == "" && s.server == serverLM {
		u.Assume("engine_version", Newest, "the newest known")
	}
	if load.GPULayers != nil && *load.GPULayers <= int64(len(m.Layers)) || load.CPUMoELayers > 0 {
		return nil, model.Errorf(model.InvalidArgument, "gpu_layers", "MLX keeps all layers in the one memory").
			WithHint("leave gpu_layers and cpu_moe_layers out")
	}
	if s.context > maxTokens || s.seqs > maxTokens/s.context {
		return nil, model.Errorf(model.InvalidArgument, "context_tokens", "%d sequences of %d tokens are more than the %d that can be planned", s.seqs, s.context, int64(maxTokens))
	}
	if strings.EqualFold(m.DType, "float32") {
		s.elem = 4
	}
	s.promptOf(r, load, u)
	s.towers = r.Bool("vision", s.server != serverLM)
	if err := s.cacheOf(r, m, load, u); err != nil {
		return nil, err
	}
	s.serverMemory(r, u)
	return s, r.Err
}

// serverOf reads which server is meant.
func (e mlx) serverOf(f engine.Flags) (string, error) {
	name, err := f.String("server", e.server)
	if err != nil {
		return "", err
	}
	switch n := strings.ToLower(name); n {
	case serverLM, serverOMLX, serverLMStudio:
		return n, nil
	case "mlx_lm", "mlx_lm.server", "mlx-lm.server":
		return serverLM, nil
	}
	bad := model.Errorf(model.InvalidArgument, "flags.server", "there are no rules for the MLX server %q", name)
	bad.Candidates = []string{serverLM, serverOMLX, serverLMStudio}
	return "", bad.WithHint("use one of the candidates")
}

// promptOf reads how prompts are cut and batched.
func (s *settings) promptOf(r *engine.FlagReader, load engine.Load, u *engine.Usage) {
	step := int64(2048)
	if !s.rules.fused {
		step = 512
	}
	if load.BatchTokens > 0 {
		step = min(load.BatchTokens, maxStep)
	}
	s.step = r.Int("prefill_step_size", step, 1, maxStep)
	if _, ok := load.Flags["prefill_step_size"]; !ok && load.BatchTokens == 0 {
		u.Assume("flags.prefill_step_size", count(s.step), "the server's default")
	}
	s.generated = r.Int("max_tokens", 0, 0, maxTokens)
	if s.generated >= s.context {
		s.generated = s.context - 1
	}
	if _, ok := load.Flags["max_tokens"]; !ok {
		u.Assume("flags.max_tokens", "0", "the whole context is taken as prompt, which needs most")
	}
	together := int64(8) // mlx-lm's prompt_concurrency
	if s.server != serverLM {
		together = 1 // the others prefill one request at a time
	}
	s.prompts = min(s.seqs, r.Int("prompt_concurrency", together, 1, 1024))
	s.atOnce("decode_concurrency", r.Int("decode_concurrency", 32, 1, 1<<16), s.server == serverLM, u)
	s.atOnce("max_concurrent_requests", r.Int("max_concurrent_requests", 8, 1, 1<<16), s.server == serverOMLX, u)
}

// atOnce notes that the server holds back sequences beyond its limit.
func (s *settings) atOnce(flag string, limit int64, applies bool, u *engine.Usage) {
	if applies && s.seqs > limit {
		u.Notes = append(u.Notes, fmt.Sprintf("%s runs %d sequences at once; set %s to %d for all of them", s.server, limit, flag, s.seqs))
	}
}

// cacheOf reads the cache's bound and its quantization.
func (s *settings) cacheOf(r *engine.FlagReader, m *model.Model, load engine.Load, u *engine.Usage) error {
	s.maxKV = r.Int("max_kv_size", 0, 0, maxTokens)
	if s.maxKV > 0 && s.ownCaches(m) {
		u.Notes = append(u.Notes, "max_kv_size does nothing here: the model makes caches of its own kinds")
		s.maxKV = 0
	}
	bits, group, err := cacheBits(load.KVCacheType)
	if err != nil {
		return err
	}
	s.bits = r.Int("kv_bits", bits, 0, 8)
	s.group = r.Int("kv_group_size", group, 32, 128)
	s.start = r.Int("quantized_kv_start", s.defaultStart(), 0, maxTokens)
	if r.Err != nil || s.bits == 0 {
		return r.Err
	}
	if s.bits == 1 || s.bits == 7 || s.group&(s.group-1) != 0 {
		return model.Errorf(model.InvalidArgument, "flags.kv_bits", "MLX has no %d bits in groups of %d", s.bits, s.group).
			WithHint("use 2, 3, 4, 5, 6 or 8 bits in groups of 32, 64 or 128")
	}
	if s.maxKV > 0 {
		return model.Errorf(model.InvalidArgument, "flags.max_kv_size", "a rotating cache cannot be quantized").
			WithHint("leave max_kv_size or kv_bits out")
	}
	s.quantized = quant.CacheType{Name: "mlx", Block: s.group, BlockBytes: s.group*s.bits/8 + 4}
	return nil
}

// defaultStart is how many tokens stay unquantized: mlx_lm.generate waits for
// 5000, the servers do not.
func (s *settings) defaultStart() int64 {
	if s.server == serverLM {
		return 5000
	}
	return 0
}

// cacheBits reads a cache type: "mlx-4bit", "mlx-8bit-g32", "8bit"; 16-bit
// types are the activations' own.
func cacheBits(name string) (bits, group int64, err error) {
	n := strings.ToLower(name)
	switch n {
	case "", "auto", "bf16", "bfloat16", "fp16", "f16", "float16":
		return 0, 64, nil
	case "int8", "q8", "q8_0":
		return 8, 64, nil
	case "int4", "q4", "q4_0":
		return 4, 64, nil
	}
	if !strings.HasPrefix(n, "mlx-") {
		n = "mlx-" + n
	}
	t, err := quant.ParseCache(n)
	if err != nil {
		e := model.Errorf(model.InvalidArgument, "kv_cache_dtype", "MLX keeps no cache in %q", name)
		e.Candidates = []string{"bf16", "mlx-8bit", "mlx-4bit"}
		return 0, 0, e.WithHint("use one of the candidates")
	}
	return (t.BlockBytes - 4) * 8 / t.Block, t.Block, nil
}
