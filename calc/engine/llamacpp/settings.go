package llamacpp

import (
	"fmt"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
)

const f32 = ggml.F32

// settings are a load as llama.cpp would see it, defaults filled in.
type settings struct {
	sizes
	rules        rules
	runner, own  bool // see inside
	flash        bool
	swaFull      bool
	offloadKQV   bool
	opOffload    bool
	mmap, repack bool
	mmproj       bool
	embeddings   bool
	pipeline     bool
	scratch      bool // devices copy a quantized cache to f16 for flash attention
	fragments    bool // devices pad quantized matrices' last row
	rotate       bool
	typeK, typeV ggml.Type
	nRS          int64
	// whole is how many sequences of the load's length the context is for;
	// fewer than slots that share it.
	whole int64

	// What follows is set from the model.
	mla, expanded bool
	contBytes     int64 // bytes of an element of a transposed latent copy
	vElemsMax     int64
	cache         []layerCache
	placed        placement
}

// Flags lists the switches by llama.cpp's own names.
func (*llama) Flags() []string {
	return []string{
		"cache_type_k", "cache_type_v", "embeddings", "flash_attn", "kv_unified", "main_gpu", "mmproj",
		"n_batch", "n_cpu_moe", "n_ctx", "n_outputs_max", "n_parallel", "n_rs_seq", "n_ubatch",
		"no_kv_offload", "no_mmap", "no_op_offload", "no_repack", "offload_kqv", "override_tensor", "pipeline_parallel", "split_mode",
		"swa_full", "tensor_split",
	}
}

// flagReader reads flags and keeps the first error.
type flagReader struct {
	f   engine.Flags
	err error
}

func (r *flagReader) bool(name string, def bool) bool {
	v, err := r.f.Bool(name, def)
	r.fail(err)
	return v
}

func (r *flagReader) int(name string, def, low, high int64) int64 {
	v, err := r.f.Int(name, def)
	r.fail(err)
	if err == nil && (v < low || v > high) {
		r.fail(model.Errorf(model.InvalidArgument, "flags."+name, "%d is not between %d and %d", v, low, high))
		return def
	}
	return v
}

func (r *flagReader) string(name, def string) string {
	v, err := r.f.String(name, def)
	r.fail(err)
	return v
}

func (r *flagReader) fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

// What a caller may ask for: a scores matrix of this context and batch over a
// thousand heads stays far from the end of int64.
const (
	maxContext = 1 << 28
	maxBatch   = 1 << 18
)

// settingsFor reads a load and refuses what llama.cpp would refuse.
func (e *llama) settingsFor(m *model.Model, load engine.Load, hw engine.Hardware, u *engine.Usage) (*settings, error) {
	if err := load.Flags.Check(e.name, e.Flags()); err != nil {
		return nil, err
	}
	s := &settings{rotate: true}
	in, err := inside{version: load.Version}, error(nil)
	if e.inside != nil {
		if in, err = e.inside(load.Version); err != nil {
			return nil, err
		}
	}
	if s.rules, err = rulesFor(in.version); err != nil {
		return nil, err
	}
	s.runner, s.own = in.runner, in.own(m.Arch)
	if s.own {
		s.rules.asOwn()
		note := "Ollama " + load.Version + " runs " + m.Arch + " in an engine of its own"
		if !ownMeasured[m.Arch] {
			note += ", where its compute buffer was not measured"
		}
		u.Notes = append(u.Notes, note)
	}
	r := &flagReader{f: load.Flags}
	s.swaFull = r.bool("swa_full", e.swaFull || s.runner && !s.own)
	s.offloadKQV = r.bool("offload_kqv", !r.bool("no_kv_offload", false))
	s.opOffload = !r.bool("no_op_offload", false)
	s.mmap = !r.bool("no_mmap", false)
	s.repack = !r.bool("no_repack", false)
	s.mmproj = r.bool("mmproj", false)
	s.embeddings = r.bool("embeddings", s.runner)
	if err := e.contextOf(s, r, m, load, u); err != nil {
		return nil, err
	}
	s.nRS = r.int("n_rs_seq", 0, 0, 1024)
	if s.nRS > 0 && !quirksOf(m.Arch).rollback {
		u.Assume("flags.n_rs_seq", "0", "llama.cpp cannot roll back the state of "+m.Arch)
		s.nRS = 0
	}
	if r.err != nil {
		return nil, r.err
	}
	if err := s.cacheTypes(m, load, r, u); err != nil {
		return nil, err
	}
	if err := s.place(m, load, hw, r, u); err != nil {
		return nil, err
	}
	// Before 0.30 Ollama maps no file for a processor alone, its engine none at
	// all. (llm/server.go, ml/backend/ggml/ggml.go)
	s.mmap = s.mmap && !s.own && !(s.runner && s.placed.devices == 0)
	s.pipeline = r.bool("pipeline_parallel", asynchronous(hw))
	s.fragments = asynchronous(hw)
	s.scratch = s.rules.scratch && len(hw.Devices) > 0 && hw.Devices[0].Vendor == "nvidia"
	return s, r.err
}

// contextOf fills the context numbers.
func (e *llama) contextOf(s *settings, r *flagReader, m *model.Model, load engine.Load, u *engine.Usage) error {
	nSeq := r.int("n_parallel", max(e.slots, load.Sequences), 1, maxSequences)
	s.whole = nSeq
	if _, ok := load.Flags["n_parallel"]; !ok && e.slots > 0 {
		s.whole = load.Sequences
		u.Assume("flags.n_parallel", strconv.FormatInt(nSeq, 10), e.name+"'s default")
	} else if !ok {
		why := "one slot for each sequence; llama-server without -np takes 4 unified slots"
		if e.oneBatch {
			why = "one slot for each sequence; Ollama opens as many as OLLAMA_NUM_PARALLEL of its server says, 1 by default"
		}
		u.Assume("flags.n_parallel", strconv.FormatInt(nSeq, 10), why)
	}
	unified := r.bool("kv_unified", e.unified) || s.rules.alwaysUnified
	if _, ok := load.Flags["kv_unified"]; !ok && nSeq > 1 {
		u.Assume("flags.kv_unified", strconv.FormatBool(unified), "the default with a given number of slots")
	}
	if load.ContextTokens > maxContext/nSeq {
		return model.Errorf(model.InvalidArgument, "context_tokens", "%d sequences of %d tokens are more than the %d that can be planned", nSeq, load.ContextTokens, maxContext)
	}
	if load.BatchTokens > maxBatch {
		return model.Errorf(model.InvalidArgument, "batch_tokens", "%d is more than the %d that can be planned", load.BatchTokens, maxBatch)
	}
	each := load.ContextTokens
	if e.trained && m.Context > 0 && each > m.Context {
		each = m.Context
		u.Notes = append(u.Notes, fmt.Sprintf("%s gives a sequence no more than the %d tokens that the model was trained for", e.name, each))
	}
	nCtx := r.int("n_ctx", each*s.whole, 0, maxContext)
	if nCtx == 0 {
		nCtx = m.Context
	}
	if nCtx <= 0 {
		return model.Errorf(model.InvalidArgument, "context_tokens", "neither the load nor the model gives a context length")
	}
	nBatch, nUBatch := e.batches(s, r, load, nCtx/nSeq, nSeq, u)
	rows := int64(0)
	if s.rules.serverRows {
		rows = nSeq
	}
	nOutputs := r.int("n_outputs_max", rows, 0, maxBatch)
	if _, ok := load.Flags["n_outputs_max"]; !ok {
		why := "llama-server reserves logits for its slots only; other programs on libllama reserve n_batch rows (0)"
		if !s.rules.serverRows {
			why = "this version reserves logits for the whole batch"
		}
		u.Assume("flags.n_outputs_max", strconv.FormatInt(nOutputs, 10), why)
	}
	s.flash = true
	if err := s.flashOf(m, r, u); err != nil {
		return err
	}
	padding := int64(256)
	if s.rules.oldPadding && !s.flash {
		padding = 32
	}
	if r.err != nil {
		return r.err
	}
	var err error
	s.sizes, err = resolve(nCtx, nSeq, nBatch, nUBatch, nOutputs, padding, unified, m.Causal || !isEncoder(m))
	return err
}

// batches reads the batch, and how much of it is evaluated at once.
func (e *llama) batches(s *settings, r *flagReader, load engine.Load, each, nSeq int64, u *engine.Usage) (nBatch, nUBatch int64) {
	def := max(e.batch, load.BatchTokens)
	if e.oneBatch && load.BatchTokens > 0 {
		def = load.BatchTokens
	}
	nBatch = r.int("n_batch", def, 1, maxBatch)
	_, given := load.Flags["n_batch"]
	if !given && (!e.oneBatch || load.BatchTokens == 0) {
		u.Assume("flags.n_batch", strconv.FormatInt(nBatch, 10), e.name+"'s default")
	}
	ub := load.BatchTokens
	if ub == 0 {
		ub = 512
	}
	if e.oneBatch {
		ub = nBatch
	}
	if s.runner { // each sequence has its batch, of its context at most
		ub = min(nBatch, max(each, 1))
		nBatch = ub * nSeq
	}
	nUBatch = r.int("n_ubatch", ub, 0, maxBatch)
	if _, ok := load.Flags["n_ubatch"]; !ok && load.BatchTokens == 0 && !e.oneBatch {
		u.Assume("flags.n_ubatch", "512", e.name+"'s default")
	}
	return nBatch, nUBatch
}

// isEncoder reports a model that keeps no cache at all.
func isEncoder(m *model.Model) bool { return !m.Causal && !m.EncDec }

// flashOf reads flash_attn: on, off, or auto, which is on wherever the
// backend has the kernel.
func (s *settings) flashOf(m *model.Model, r *flagReader, u *engine.Usage) error {
	v, given := r.f["flash_attn"]
	text, isText := v.(string)
	switch {
	case !given || isText && strings.EqualFold(text, "auto"):
		s.flash = m.Arch != "grok"
		if !given {
			u.Assume("flags.flash_attn", "auto (on)", "llama.cpp's default; it falls back to off where a backend lacks the kernel")
		}
	default:
		s.flash = r.bool("flash_attn", true)
		if n, err := r.f.Int("flash_attn", 0); err == nil && n == -1 {
			s.flash = m.Arch != "grok"
		}
	}
	if s.flash && m.Arch == "grok" {
		return model.Errorf(model.InvalidArgument, "flags.flash_attn", "llama.cpp has no flash attention for grok").WithHint("set flash_attn to off")
	}
	return r.err
}

// cacheNames are the types that llama.cpp offers for caches.
var cacheNames = []string{"f16", "bf16", "f32", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"}

func cacheType(field, name string) (ggml.Type, error) {
	switch n := strings.ToLower(name); n {
	case "", "auto", "fp16", "float16":
		return ggml.F16, nil
	default:
		for _, c := range cacheNames {
			if c == n {
				t, _ := ggml.ByName(strings.ToUpper(n))
				return t, nil
			}
		}
	}
	e := model.Errorf(model.InvalidArgument, field, "llama.cpp keeps no cache in %q", name)
	e.Candidates = cacheNames
	return 0, e.WithHint("use one of the candidates")
}

func quantized(t ggml.Type) bool { return t.BlockElems() > 1 }

// cacheTypes reads the K and V types and refuses what llama_init_from_model
// refuses.
func (s *settings) cacheTypes(m *model.Model, load engine.Load, r *flagReader, u *engine.Usage) error {
	if load.KVCacheType == "" && load.Flags["cache_type_k"] == nil {
		u.Assume("kv_cache_dtype", "f16", "llama.cpp's default")
	}
	both := load.KVCacheType
	var err error
	if s.typeK, err = cacheType("flags.cache_type_k", r.string("cache_type_k", both)); err != nil {
		return err
	}
	if s.typeV, err = cacheType("flags.cache_type_v", r.string("cache_type_v", both)); err != nil {
		return err
	}
	if r.err != nil {
		return r.err
	}
	if !caches(m) {
		return nil
	}
	s.latentOf(m)
	if s.mla && s.typeK != s.typeV {
		return model.Errorf(model.InvalidArgument, "flags.cache_type_v", "%s has latent attention, whose K (%s) and V (%s) types must be equal", m.Arch, s.typeK, s.typeV).
			WithHint("set cache_type_k and cache_type_v to the same type")
	}
	if quantized(s.typeV) && !s.flash {
		return model.Errorf(model.InvalidArgument, "flags.cache_type_v", "a quantized V cache (%s) needs flash attention", s.typeV).
			WithHint("set flash_attn to on, or cache_type_v to f16")
	}
	if !s.flash {
		return nil
	}
	return s.headsFit(m)
}

// headsFit refuses head sizes that the cache's block size does not divide.
func (s *settings) headsFit(m *model.Model) error {
	check := func(field string, t ggml.Type, head int64) error {
		if quantized(t) && head > 0 && head%t.BlockElems() != 0 {
			return model.Errorf(model.InvalidArgument, field, "blocks of %d (%s) do not divide the head size %d", t.BlockElems(), t, head).
				WithHint("use f16")
		}
		return nil
	}
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			a, ok := x.(*model.Attention)
			if !ok {
				continue
			}
			if err := check("flags.cache_type_k", s.typeK, a.KeyDim); err != nil {
				return err
			}
			if err := check("flags.cache_type_v", s.typeV, a.ValueDim); err != nil {
				return err
			}
		}
	}
	return nil
}
