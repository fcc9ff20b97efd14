// Package trtllm plans memory as TensorRT-LLM allocates it: weights cut over
// ranks, a profile run of max_num_tokens, and of what is then free a share for
// a paged cache with one pool for each window length. The PyTorch backend is
// the default from 1.0; compiled engines size the same pool after loading.
package trtllm

import (
	"fmt"
	"slices"

	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// New returns the TensorRT-LLM engine.
func New() engine.Engine { return trtllm{} }

type trtllm struct{}

// Name returns "tensorrt-llm".
func (trtllm) Name() string { return "tensorrt-llm" }

// Flags lists the engine's switches that change memory.
func (trtllm) Flags() []string { return slices.Clone(flags) }

// Preallocates is true: the cache takes free_gpu_memory_fraction of what is
// free.
func (trtllm) Preallocates() bool { return true }

// Alternatives lists the schemes that quantized checkpoints come in, and the
// smaller caches.
func (trtllm) Alternatives(m *model.Model) (weights, cacheTypes []string) {
	now, err := quant.AsStored(m)
	if err != nil {
		return nil, nil
	}
	for _, name := range [...]string{"fp8", "nvfp4", "w4a16"} {
		if s, err := quant.Parse(name); err == nil && s.Bits() < now.Bits()-1 {
			weights = append(weights, name)
		}
	}
	return weights, []string{"fp8", "nvfp4"}
}

// Offloads is false: weights stay on the devices. A host pool of cache blocks
// (host_cache_size) only keeps what was computed.
func (trtllm) Offloads() bool { return false }

// Plan sizes the load. It returns *model.Error for models that the engine
// cannot run and settings that it refuses.
func (e trtllm) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	if err := load.Flags.Check(e.Name(), flags); err != nil {
		return nil, err
	}
	u := &engine.Usage{Engine: e.Name()}
	s, err := resolve(m, load, u)
	if err != nil {
		return nil, err
	}
	for _, err := range [...]error{s.supported(m), quant.Served(m, load.Weights, "TensorRT-LLM", served), checkDevices(hw)} {
		if err != nil {
			return nil, err
		}
	}
	stored, err := shard.Stored(m, load.Weights)
	if err != nil {
		return nil, err
	}
	u.Stored = stored
	u.Devices = int(s.tp * s.pp * s.dp * s.cp)
	u.Budgets = make([]engine.Bytes, min(u.Devices, len(hw.Devices)))
	stages := s.stages(m, stored)
	fullest, budget := &stages[0], int64(-1)
	for i := range stages {
		st := &stages[i]
		weights := s.weightTerms(m, st)
		hw.Correct(e.Name(), &load, st.reserved)
		u.Terms = append(append(append(u.Terms, weights...), s.cacheTerms(st)...), st.reserved...)
		if s.sequence(st, s.context)+st.state > s.sequence(fullest, s.context)+fullest.state {
			fullest = st
		}
		inside := s.inside(st, weights)
		for _, d := range st.On {
			if d < len(u.Budgets) {
				n := s.budget(hw.Devices[d].Free, inside)
				u.Budgets[d] = engine.Bytes(inside + n)
				if budget < 0 || n < budget {
					budget = n
				}
			}
		}
	}
	s.capacity(&u.Cache, fullest, budget)
	u.Terms = append(u.Terms, s.hostPool()...)
	u.LayerWeights = shard.Weights{Stored: stored}.ByLayer(m)
	u.LayerCache = s.byLayer(m)
	s.notes(m, fullest, u)
	return u, nil
}

// cacheTerms is what the load's sequences hold on a stage, a term for each
// pool.
func (s *settings) cacheTerms(st *stage) []engine.Term {
	var out []engine.Term
	for i := range st.pools {
		p := &st.pools[i]
		n := s.blocks(p, s.context)
		t := engine.Term{
			Name: "kv cache", Category: engine.KVCache, On: st.On, Confidence: engine.Exact, Source: "TensorRT-LLM pyexecutor/resource_manager.py",
			Bytes:   engine.Bytes(paged.Mul(paged.Mul(s.seqs, n), s.block*p.bytes)),
			Formula: "sequences × blocks × tokens_per_block × Σ layers of the pool: kv_factor × ⌈key/value heads ÷ ranks⌉ × head size × element bytes",
			Inputs: []engine.Input{
				{Name: "sequences", Value: s.seqs, From: "argument"}, {Name: "blocks_per_sequence", Value: n, From: "TensorRT-LLM rule"},
				{Name: "tokens_per_block", Value: s.block, From: "argument or default"}, {Name: "layers", Value: p.layers, From: "config.json"},
				{Name: "bytes_per_token", Value: p.bytes, From: "TensorRT-LLM rule"},
			},
		}
		switch {
		case p.cross:
			t.Name, t.Confidence = "cross-attention cache", engine.Derived
		case !p.full:
			t.Name, t.Confidence = fmt.Sprintf("kv cache of window %d", p.window), engine.Derived
			most := paged.CeilDiv(min(s.context, p.window+s.tokens), s.block*s.cp) + 1
			t.Low, t.High = t.Bytes, max(t.Bytes, engine.Bytes(paged.Mul(paged.Mul(s.seqs, most), s.block*p.bytes)))
		}
		out = append(out, t)
	}
	if st.state > 0 {
		t := engine.Term{
			Name: "recurrent state", Category: engine.State, On: st.On, Confidence: engine.Derived, Source: "TensorRT-LLM pyexecutor/mamba_cache_manager.py",
			Bytes: engine.Bytes(paged.Mul(s.seqs, st.state)), Formula: "sequences × Σ recurrent layers: convolution tail + state",
			Inputs: []engine.Input{{Name: "sequences", Value: s.seqs, From: "argument"}},
		}
		if s.assumedState {
			t.Low, t.High = t.Bytes, 2*t.Bytes // float32 states, where the files ask for them
		}
		out = append(out, t)
	}
	return out
}

// hostPool is the pool of blocks in system memory.
func (s *settings) hostPool() []engine.Term {
	if s.host == 0 {
		return nil
	}
	n := min(paged.Mul(s.host, s.tp*s.pp*s.dp*s.cp), paged.Most)
	return []engine.Term{{
		Name: "host cache pool", Category: engine.KVCache, Bytes: engine.Bytes(n), Confidence: engine.Exact,
		Formula: "host_cache_size × ranks", Source: "TensorRT-LLM KvCacheConfig",
		Inputs: []engine.Input{{Name: "host_cache_size", Value: s.host, From: "argument"}},
	}}
}

// byLayer returns what each decoder layer keeps for the load over all ranks.
func (s *settings) byLayer(m *model.Model) []engine.Bytes {
	out := make([]engine.Bytes, len(m.Layers))
	ranks := s.tp * s.cp * s.dp
	for i := range m.Layers {
		var st stage
		st.Layers = [2]int{i, i + 1}
		s.fill(m, &st)
		out[i] = engine.Bytes(paged.Mul(paged.Mul(s.sequence(&st, s.context)+st.state, s.seqs), ranks))
	}
	return out
}

// notes says in words what a reader of the plan should know.
func (s *settings) notes(m *model.Model, st *stage, u *engine.Usage) {
	note := func(format string, args ...any) { u.Notes = append(u.Notes, fmt.Sprintf(format, args...)) }
	if st.state > 0 {
		note("TensorRT-LLM sets aside recurrent states for max_batch_size sequences (%s on a rank); set max_batch_size to what is served", engine.Bytes(s.states(st)))
	}
	if mixed(m) && s.windows == nil && !(s.release.AtLeast(derivedWindows) && !s.engine) {
		note("TensorRT-LLM %s keeps whole sequences in windowed layers unless max_attention_window lists the windows", s.release)
	}
	if len(st.pools) > 1 {
		note("each window's pool takes an equal share of the cache's memory")
	}
	if s.dp > 1 {
		note("trtllm-serve has no replicas of its own; planned as that many servers")
	}
	if s.cp > 1 {
		note("context parallelism is planned with the feed-forward weights cut by tensor_parallel alone, which is at most what a rank holds")
	}
	if c := u.Cache; c.Pool > 0 && c.PerSequence > 0 && int64(c.Pool)/int64(c.PerSequence) < s.seqs {
		note("the pool holds fewer sequences of this length than asked for; TensorRT-LLM would queue the rest")
	}
	if m.Multimodal {
		note("the encoder's share of the profile run is not in this plan")
	}
}
