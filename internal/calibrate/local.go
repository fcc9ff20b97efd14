package main

import (
	"slices"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/engine/vllm"
	"hwledger/calc/enginelog"
	"hwledger/calc/model"
	"hwledger/internal/scoring"
)

// remembering is an engine whose hardware has a history.
type remembering struct {
	engine.Engine
	took []engine.Took
}

func (r remembering) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	hw.History.Took = r.took
	return r.Engine.Plan(m, load, hw)
}

// took is what a recorded start says of its open terms, as the log of a start
// on this machine would.
func took(s *scoring.Start) []engine.Took {
	log := &enginelog.Report{Engine: "vllm"}
	add := func(name string, c engine.Category, gib *float64) {
		if gib != nil {
			log.Actual = append(log.Actual, enginelog.Actual{Name: name, Category: c, Bytes: engine.Bytes(*gib * float64(engine.GiB))})
		}
	}
	if f, ok := s.Figures["predicted pool"]; ok {
		add("KV cache pool", engine.KVCache, &f.Observed)
	}
	add("weights", engine.Weights, s.Weights)
	add("activation", engine.Workspace, s.Activation)
	add(vllm.OutsideTorch, engine.Runtime, s.OutsideTorch)
	add(vllm.GraphRate, engine.Runtime, s.Graphs)
	plan := &calc.Result{Terms: slices.Clone(s.Terms), Cache: s.Usage.Cache, Load: engine.Load{TensorParallel: s.TP, PipelineParallel: s.PP}}
	for i := range plan.Terms {
		plan.Terms[i].On = []int{0} // they are all of the rank that logged
	}
	out := log.Took(plan, &engine.Hardware{Devices: []engine.Device{*s.Device}}, nil)
	for i := range out {
		out[i].Engine, out[i].Version, out[i].Start = "vllm", s.Release, s.Model
	}
	return out
}

// afterOthers plans every start that its publisher recorded another model's
// start of on the same devices, with a table fitted without that publisher:
// without a history, with that of one other model, and with that of all of
// them. It is what starts on a machine tell of the next model on it.
func afterOthers(set *scoring.Set, starts []start) (without, one, all []*scoring.Start) {
	for i := range starts {
		s := &starts[i]
		if s.Device == nil {
			continue
		}
		var rest, others []start
		for j := range starts {
			switch o := &starts[j]; {
			case o.Source != s.Source:
				rest = append(rest, *o)
			case o.Device != nil && o.Device.Name == s.Device.Name && o.Model != s.Model && o.TP == s.TP && o.PP == s.PP &&
				!slices.ContainsFunc(others, func(x start) bool { return x.Model == o.Model }):
				others = append(others, *o)
			}
		}
		e := vllm.With(fit(rest))
		var history []engine.Took
		for j := range others {
			history = append(history, took(set.Plan(others[j].row, e))...)
		}
		if len(history) == 0 {
			continue
		}
		first := slices.DeleteFunc(slices.Clone(history), func(t engine.Took) bool { return t.Start != history[0].Start })
		without = append(without, set.Plan(s.row, e))
		one = append(one, set.Plan(s.row, remembering{e, first}))
		all = append(all, set.Plan(s.row, remembering{e, history}))
	}
	return without, one, all
}
