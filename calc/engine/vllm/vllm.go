// Package vllm plans memory as vLLM allocates it: weights as a rank loads
// them, a paged cache whose layers share one pool of blocks, and what the
// profile run leaves for that pool. Rules depend on the release; see
// version.go for the gates and calibration.go for what is measured.
package vllm

import (
	"slices"

	"hwledger/calc/engine"
	"hwledger/calc/engine/calibration"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// New returns the vLLM engine.
func New() engine.Engine { return With(calibration.Default()) }

// With returns the vLLM engine with measured figures of its own, for fitting.
func With(t *calibration.Table) engine.Engine { return vllm{t} }

type vllm struct{ table *calibration.Table }

// Name returns "vllm".
func (vllm) Name() string { return "vllm" }

// Flags lists vLLM's switches that change memory.
func (vllm) Flags() []string { return slices.Clone(flags) }

// Preallocates is true: vLLM takes gpu_memory_utilization of each device.
func (vllm) Preallocates() bool { return true }

// Plan sizes weights, the load's cache and everything else on each rank, and
// the pool that vLLM would take on the given hardware. It returns *model.Error
// for settings that vLLM refuses.
func (e vllm) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	if err := load.Flags.Check(e.Name(), flags); err != nil {
		return nil, err
	}
	if err := Supports(m, load.Version); err != nil {
		return nil, err
	}
	u := &engine.Usage{Engine: e.Name()}
	s, err := e.resolve(m, load, hw, u)
	if err != nil {
		return nil, err
	}
	stored, err := assign(m, load.Weights)
	if err != nil {
		return nil, err
	}
	u.Stored = stored
	u.Devices = int(s.tp * s.pp * s.dp)
	for i := range min(u.Devices, len(hw.Devices)) {
		u.Budgets = append(u.Budgets, engine.Bytes(float64(hw.Devices[i].Total)*s.util))
	}
	stages := s.stages(m, stored)
	for i := range stages {
		hw.Correct(e.Name(), &load, stages[i].reserve)
	}
	for i := range stages {
		st := &stages[i]
		u.Terms = append(u.Terms, st.weights.terms(m, st, s)...)
		u.Terms = append(u.Terms, s.cacheTerms(st)...)
		u.Terms = append(u.Terms, st.reserve...)
	}
	s.capacity(&u.Cache, stages)
	u.LayerWeights, u.LayerCache = s.perLayer(m, stored, stages)
	s.notes(m, stages, u)
	return u, nil
}

// assign returns the stored size of each tensor under the asked scheme.
func assign(m *model.Model, name string) ([]quant.Stored, error) {
	scheme, err := quant.For(m, name)
	if err != nil {
		return nil, err
	}
	return scheme.Assign(m)
}

// stages sizes each pipeline stage.
func (s *settings) stages(m *model.Model, stored []quant.Stored) []stage {
	spans := engine.Stages(len(m.Layers), int(s.pp))
	out := make([]stage, len(spans))
	for i, span := range spans {
		st := &out[i]
		st.layers, st.first, st.last = span, i == 0, i == len(spans)-1
		for d := range int(s.dp) {
			for t := range int(s.tp) {
				st.on = append(st.on, (d*int(s.pp)+i)*int(s.tp)+t)
			}
		}
		st.layout = s.layoutOf(s.layersOf(m, span, st.last))
		st.weights = s.load(m, stored, st)
		st.mx = microscaledExperts(m, stored)
		st.reserve = s.reserved(m, st)
	}
	return out
}

// microscaledExperts reports experts stored as MXFP4.
func microscaledExperts(m *model.Model, stored []quant.Stored) bool {
	for i := range m.Tensors {
		if m.Tensors[i].Part == model.Expert {
			return stored[i].Type == "MXFP4"
		}
	}
	return false
}

// cacheTerms returns what the load's sequences hold on a stage.
func (s *settings) cacheTerms(st *stage) []engine.Term {
	l := &st.layout
	if l.blockBytes == 0 {
		return nil
	}
	all, state := l.request(s, s.context)
	conf := engine.Exact
	if l.compressed != nil || l.padded {
		conf = engine.Derived
	}
	inputs := []engine.Input{
		{Name: "sequences", Value: s.seqs, From: "argument"},
		{Name: "block_size", Value: l.block, From: "vLLM rule"},
		{Name: "page_bytes", Value: l.page, From: "vLLM rule"},
		{Name: "layers_per_group", Value: l.size, From: "vLLM rule"},
		{Name: "groups", Value: int64(max(1, len(l.groups))), From: "vLLM rule"},
	}
	var out []engine.Term
	add := func(name string, c engine.Category, blocks int64) {
		if blocks > 0 {
			out = append(out, engine.Term{
				Name: name, Category: c, On: st.on, Confidence: conf, Source: "vllm v1/core/kv_cache_utils.py",
				Bytes: engine.Bytes(mul(s.seqs, mul(blocks, l.blockBytes))), Inputs: append(slices.Clone(inputs), engine.Input{Name: "blocks_per_sequence", Value: blocks, From: "vLLM rule"}),
				Formula: "sequences × blocks × page × layers of a group",
			})
		}
	}
	add("kv cache", engine.KVCache, all-state)
	add("recurrent state", engine.State, state)
	return out
}

// perLayer spreads weights and cache over decoder layers, all devices
// together.
func (s *settings) perLayer(m *model.Model, stored []quant.Stored, stages []stage) (w, c []engine.Bytes) {
	w, c = make([]engine.Bytes, len(m.Layers)), make([]engine.Bytes, len(m.Layers))
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if t.Group == model.Text && t.Layer >= 0 && t.Layer < len(w) {
			w[t.Layer] += engine.Bytes(stored[i].Bytes)
		}
	}
	var specs []spec
	var stores []model.Store
	for i := range stages {
		st := &stages[i]
		if st.layout.blockBytes == 0 {
			continue
		}
		for j := st.layers[0]; j < st.layers[1]; j++ {
			specs, stores = s.appendSpecs(specs[:0], &m.Layers[j], stores)
			for _, x := range specs {
				n := x.page
				if x.kind != mambaSpec {
					x = x.sized(max(1, st.layout.block))
					n = x.page
				}
				c[j] += engine.Bytes(mul(mul(n, s.blocks(x, s.context)), s.seqs*s.tp*s.dp))
			}
		}
	}
	return w, c
}

// notes says in words what a reader of the plan should know.
func (s *settings) notes(m *model.Model, stages []stage, u *engine.Usage) {
	for i := range stages {
		l := &stages[i].layout
		if l.padded && !s.version.atLeast(paddedPages) {
			u.Notes = append(u.Notes, "vLLM "+s.version.String()+" cannot make this model's page sizes equal; planned as newer releases pad them")
			break
		}
	}
	if s.v0 && recurrent(m) {
		u.Notes = append(u.Notes, "V0 kept recurrent states beside the paged cache; planned as V1 does")
	}
	if u.Cache.Pool > 0 && u.Cache.PerSequence > 0 && s.seqs > int64(u.Cache.Pool)/int64(u.Cache.PerSequence) {
		u.Notes = append(u.Notes, "the pool holds fewer sequences of this length than asked for; vLLM would queue the rest")
	}
}
