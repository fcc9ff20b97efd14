// Package ideal plans for an engine without overhead: stored weights, and a
// cache that holds exactly the tokens there are. It is the floor that real
// engines are measured against (MATH of attention and state kinds only, no
// pages, no padding, no workspace).
package ideal

import (
	"fmt"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// New returns the ideal engine.
func New() engine.Engine { return ideal{} }

// Name is the engine's name on the public surface.
const Name = "ideal"

type ideal struct{}

var flags = []string{"mamba_ssm_cache_dtype", "speculative"}

// Name returns "ideal".
func (ideal) Name() string { return Name }

// Flags lists the state type and whether MTP layers are loaded.
func (ideal) Flags() []string { return flags }

// Preallocates is false: memory is taken as tokens come.
func (ideal) Preallocates() bool { return false }

// rank is one device's share of the model.
type rank struct {
	tp     int64
	layers [2]int // of the stage
	first  bool   // holds the embedding
	last   bool   // holds the head
	on     []int
	seqs   int64
}

// Plan sizes weights, cache and state on each rank.
func (e ideal) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	if err := load.Flags.Check(e.Name(), flags); err != nil {
		return nil, err
	}
	stored, err := weights(m, load.Weights)
	if err != nil {
		return nil, err
	}
	types, err := cacheTypes(m, load)
	if err != nil {
		return nil, err
	}
	mtp, err := load.Flags.Bool("speculative", false)
	if err != nil {
		return nil, err
	}
	if m.Role == model.RolePipeline {
		return e.pipeline(m, stored, load, hw)
	}
	tp, pp, dp := load.TensorParallel, load.PipelineParallel, load.DataParallel
	if pp > int64(len(m.Layers)) {
		return nil, model.Errorf(model.InvalidArgument, "pipeline_parallel", "%d stages for %d layers", pp, len(m.Layers))
	}
	if err := checkTP(m, tp); err != nil {
		return nil, err
	}
	u := e.usage(int(tp*pp*dp), hw)
	for s, span := range engine.Stages(len(m.Layers), int(pp)) {
		r := rank{tp: tp, layers: span, first: s == 0, last: s == int(pp)-1, seqs: (load.Sequences + dp - 1) / dp}
		for d := range int(dp) {
			for t := range int(tp) {
				r.on = append(r.on, (d*int(pp)+s)*int(tp)+t)
			}
		}
		u.Terms = append(u.Terms, weightTerm(m, stored, r, load, mtp))
		u.Terms = append(u.Terms, types.terms(m, load, r)...)
	}
	u.Cache = types.summary(m, load)
	u.LayerWeights, u.LayerCache = perLayer(m, stored, types, load)
	return u, nil
}

// usage starts an answer for a number of devices.
func (e ideal) usage(devices int, hw engine.Hardware) *engine.Usage {
	u := &engine.Usage{Engine: e.Name(), Devices: devices}
	for i := range min(devices, len(hw.Devices)) {
		u.Budgets = append(u.Budgets, hw.Devices[i].Usable)
	}
	return u
}

// checkTP refuses a split that leaves heads between ranks.
func checkTP(m *model.Model, tp int64) error {
	if tp == 1 {
		return nil
	}
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			a, ok := x.(*model.Attention)
			if ok && (a.Heads%tp != 0 || a.KVHeads%tp != 0 && tp%a.KVHeads != 0) {
				return model.Errorf(model.InvalidArgument, "tensor_parallel",
					"%d ranks do not divide %d attention heads (%d key/value heads)", tp, a.Heads, a.KVHeads).
					WithHint("use a divisor of the head counts")
			}
		}
	}
	return nil
}

// weights returns the stored size of each tensor under the asked scheme.
func weights(m *model.Model, name string) ([]quant.Stored, error) {
	s, err := quant.For(m, name)
	if err != nil {
		return nil, err
	}
	return s.Assign(m)
}

// held reports whether a rank loads the tensor.
func (r rank) held(m *model.Model, t *model.Tensor, mtp bool) bool {
	switch {
	case t.Group == model.MTP:
		return mtp && r.last
	case t.Layer >= 0 && t.Group == model.Text:
		return t.Layer >= r.layers[0] && t.Layer < r.layers[1]
	case t.Part == model.Head:
		return r.last
	case t.Part == model.Embedding:
		return r.first || m.Tied && r.last
	case t.Group == model.Text:
		return r.last
	}
	return r.first // towers and encoders feed the first stage
}

func weightTerm(m *model.Model, stored []quant.Stored, r rank, load engine.Load, mtp bool) engine.Term {
	var sum int64
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if !r.held(m, t, mtp) {
			continue
		}
		num, den := t.Share(r.tp)
		if load.ExpertParallel && t.Part == model.Expert {
			num, den = (t.Count+r.tp-1)/r.tp, t.Count
		}
		sum += (stored[i].Bytes*num + den - 1) / den
	}
	conf, from := engine.Derived, "config.json"
	if m.Exact {
		conf, from = engine.Exact, "tensor headers"
	}
	return engine.Term{
		Name: "weights", Category: engine.Weights, Bytes: engine.Bytes(sum), On: r.on,
		Formula:    "Σ tensors held by the rank: elements × bits / 8 + scales, ÷ tensor_parallel where the tensor is cut",
		Inputs:     []engine.Input{{Name: "tensors", Value: int64(len(m.Tensors)), From: from}, {Name: "tensor_parallel", Value: r.tp, From: "argument"}},
		Confidence: conf, Source: "checkpoint layout",
	}
}

func perLayer(m *model.Model, stored []quant.Stored, types elementTypes, load engine.Load) (w, c []engine.Bytes) {
	w, c = make([]engine.Bytes, len(m.Layers)), make([]engine.Bytes, len(m.Layers))
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if t.Group == model.Text && t.Layer >= 0 && t.Layer < len(w) {
			w[t.Layer] += engine.Bytes(stored[i].Bytes)
		}
	}
	if !keepsCache(m) {
		return w, c
	}
	var buf []model.Store
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			buf = x.AppendStores(buf[:0], 1)
			for _, s := range buf {
				c[i] += engine.Bytes(types.bytes(m, x, s, load.ContextTokens) * load.Sequences)
			}
		}
	}
	return w, c
}

func layersText(span [2]int) string { return fmt.Sprintf("layers %d–%d", span[0], span[1]-1) }
