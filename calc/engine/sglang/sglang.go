// Package sglang plans memory as SGLang allocates it: weights as a rank loads
// them, then pools for tokens and recurrent states out of what
// mem_fraction_static leaves, then graphs and activations in the rest. See
// layout.go for what a token takes, capacity.go for how pools are shared out,
// fraction.go for the automatic fraction and calibration.go for what is
// measured.
package sglang

import (
	"slices"

	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// New returns the SGLang engine.
func New() engine.Engine { return sglang{} }

type sglang struct{}

// Name returns "sglang".
func (sglang) Name() string { return "sglang" }

// Flags lists SGLang's switches that change memory.
func (sglang) Flags() []string { return slices.Clone(flags) }

// Preallocates is true: pools take all that mem_fraction_static allows.
func (sglang) Preallocates() bool { return true }

// Alternatives lists schemes with fewer bits than the checkpoint has that
// SGLang loads, and the cache type it offers beside the model's own.
func (sglang) Alternatives(m *model.Model) (weights, cacheTypes []string) {
	now, err := quant.AsStored(m)
	if err != nil {
		return nil, nil
	}
	for _, name := range [...]string{"fp8", "w4a16"} {
		if s, err := quant.Parse(name); err == nil && s.Bits() < now.Bits()-1 {
			weights = append(weights, name)
		}
	}
	return weights, []string{"fp8"}
}

// Offloads is false: SGLang offloads bytes (cpu_offload_gb), not whole layers
// or experts of layers.
func (sglang) Offloads() bool { return false }

// stage is one pipeline stage as each of its ranks holds it.
type stage struct {
	rank    shard.Rank
	layout  layout
	weights weightSizes
	before  []engine.Term
	// loading is what loading takes beside tensors.
	loading engine.Term
}

// Plan sizes weights, what the load takes of the pools and everything else on
// each rank, and the pools that SGLang would take on the given hardware. With
// the flag enable_dp_attention, TensorParallel counts all ranks and
// DataParallel divides them into groups with attention of their own. It
// returns *model.Error for settings that SGLang refuses and for models that it
// has no pool for.
func (e sglang) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	if err := load.Flags.Check(e.Name(), flags); err != nil {
		return nil, err
	}
	if err := supported(m); err != nil {
		return nil, err
	}
	u := &engine.Usage{Engine: e.Name()}
	s, err := resolve(m, load, hw, u)
	if err != nil {
		return nil, err
	}
	stored, err := shard.Stored(m, load.Weights)
	if err != nil {
		return nil, err
	}
	u.Stored = stored
	stages, err := s.stages(m, load, stored)
	if err != nil {
		return nil, err
	}
	correct := func(t []engine.Term) []engine.Term { return hw.Correct(e.Name(), &load, t) }
	for i := range stages {
		st := &stages[i]
		u.Devices = max(u.Devices, slices.Max(st.rank.On)+1)
		st.loading = correct([]engine.Term{st.loading})[0]
		u.Terms = append(u.Terms, st.weightTerms(m, s)...)
		u.Terms = append(u.Terms, s.poolTerms(st)...)
		u.Terms = append(u.Terms, correct(st.before)...)
		u.Terms = append(u.Terms, correct(s.afterPools(m, st.rank))...)
	}
	s.budgets(stages, hw, u)
	s.capacity(m, stages, hw, u)
	s.hostCache(stages, u)
	w := shard.Weights{Stored: stored}
	u.LayerWeights, u.LayerCache = w.ByLayer(m), s.types.ByLayer(m, load)
	s.notes(load, stages, u)
	return u, nil
}

// supported refuses mixers that SGLang has no pool for.
func supported(m *model.Model) error {
	if len(m.Layers) == 0 {
		return model.Errorf(model.UnsupportedArchitecture, "model", "there are no decoder layers to plan").WithHint("use the engine \"ideal\" for the weights alone")
	}
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch x.Kind() {
			case model.KindRWKV, model.KindRGLRU:
				return model.Errorf(model.UnsupportedArchitecture, "engine", "SGLang has no cache for %s layers (layer %d)", x.Kind(), i).
					WithHint("plan with \"transformers\" or \"ideal\"")
			}
		}
	}
	return nil
}

// stages sizes each pipeline stage.
func (s *settings) stages(m *model.Model, load engine.Load, stored []quant.Stored) ([]stage, error) {
	cut := load
	if s.dpAttention {
		// Ranks of all groups are tensor-parallel ranks; heads are divided
		// within a group only.
		cut.DataParallel, cut.TensorParallel = 1, s.attnTP()
	}
	ranks, err := shard.Ranks(m, cut)
	if err != nil {
		return nil, err
	}
	out := make([]stage, len(ranks))
	for i, r := range ranks {
		if s.dpAttention {
			r.On = r.On[:0:0]
			for t := range s.tp {
				r.On = append(r.On, int(int64(i)*s.tp+t))
			}
		}
		out[i] = stage{rank: r, layout: s.layoutOf(m, r), weights: s.load(m, stored, r), before: s.beforeLoad(r.On),
			loading: loadResidue.term("loading", engine.Weights, r.On)}
	}
	return out, nil
}

// budgets is what weights and pools may take of each device.
func (s *settings) budgets(stages []stage, hw engine.Hardware, u *engine.Usage) {
	u.Budgets = make([]engine.Bytes, min(u.Devices, len(hw.Devices)))
	for i := range stages {
		for _, d := range stages[i].rank.On {
			if d < len(u.Budgets) {
				u.Budgets[d] = s.budget(&stages[i], hw.Devices[d])
			}
		}
	}
}

// poolTerms returns what the load's sequences take of the pools on a stage.
func (s *settings) poolTerms(st *stage) []engine.Term {
	l := &st.layout
	var out []engine.Term
	add := func(name string, c engine.Category, n int64, formula string, inputs ...engine.Input) {
		if n <= 0 {
			return
		}
		conf := engine.Exact
		if l.swa > 0 && l.full != float64(int64(l.full)) {
			conf = engine.Derived // compressed rows
		}
		out = append(out, engine.Term{Name: name, Category: c, On: st.rank.On, Bytes: engine.Bytes(n), Confidence: conf,
			Formula: formula, Inputs: inputs, Source: "sglang pool_configurator.py"})
	}
	tokens := l.needed(s.seqs, s.context, s.page)
	page := engine.Input{Name: "page_size", Value: s.page, From: "argument or default"}
	if l.cell() > 0 {
		add("kv cache", engine.KVCache, l.bytes(tokens, s.page), "(tokens + page) × bytes of a token, and the sliding layers' pool beside it",
			engine.Input{Name: "tokens", Value: tokens, From: "sequences × context in whole pages"}, page,
			engine.Input{Name: "sliding_tokens", Value: l.swaTokens(tokens, s.page), From: "swa_full_tokens_ratio or max_running_requests"},
			engine.Input{Name: "bytes_per_token", Value: scale(l.full, 1), From: "config.json"})
	}
	add("encoder entries", engine.KVCache, scale(float64(l.fixed)*float64(s.seqs), 1), "sequences × encoder entries")
	slots := s.seqs * s.slotsPerRequest()
	add("recurrent state", engine.State, s.stateBytes(l, slots), "(slots + 1) × bytes of a state, and one for each draft token",
		engine.Input{Name: "slots", Value: slots, From: "sequences × slots of a request"}, engine.Input{Name: "state_bytes", Value: l.state, From: "config.json"})
	return out
}

// hostCache adds the hierarchical cache: a pool in system memory for each
// rank, by ratio of the device's or of a given size.
func (s *settings) hostCache(stages []stage, u *engine.Usage) {
	if !s.hicache {
		return
	}
	for i := range stages {
		st := &stages[i]
		one := s.hicacheBytes
		if one == 0 {
			base := float64(u.Cache.Pool)
			if base == 0 {
				base = float64(st.layout.bytes(st.layout.needed(s.seqs, s.context, s.page), s.page))
			}
			one = scale(base, s.hicacheRatio)
		}
		u.Terms = append(u.Terms, engine.Term{Name: "hierarchical cache", Category: engine.KVCache, Bytes: engine.Bytes(scale(float64(one), float64(len(st.rank.On)))),
			Confidence: engine.Derived, Source: "sglang mem_cache/hicache", Formula: "ranks × (hicache_size, or hicache_ratio × the device's pool)",
			Inputs: []engine.Input{{Name: "ranks", Value: int64(len(st.rank.On)), From: "argument"}, {Name: "bytes_per_rank", Value: one, From: "flag or pool"}}})
	}
}

// notes says in words what a reader of the plan should know.
func (s *settings) notes(load engine.Load, stages []stage, u *engine.Usage) {
	if load.GPULayers != nil || load.CPUMoELayers > 0 {
		u.Notes = append(u.Notes, "SGLang keeps all layers on devices; gpu_layers and cpu_moe_layers are ignored, cpu_offload_gb moves bytes")
	}
	l := &stages[0].layout
	if l.capTokens > 0 && l.capTokens < l.window+s.page {
		u.Notes = append(u.Notes, "the sliding pool would not hold one window; SGLang refuses to start")
	}
	if u.Cache.CapacityTokens > 0 && l.needed(s.seqs, s.context, s.page) > u.Cache.CapacityTokens {
		u.Notes = append(u.Notes, "the pool holds fewer sequences of this length than asked for; SGLang would queue the rest")
	}
}
