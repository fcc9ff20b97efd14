// Package shard says which part of a model one rank holds: layers of its
// pipeline stage, its share of each tensor, its share of what the layers keep
// for a sequence. Engines whose loaders add nothing of their own plan with it
// directly.
package shard

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// Rank is one pipeline stage as each of its tensor-parallel ranks holds it.
type Rank struct {
	// TP is the number of ranks that cut each tensor.
	TP int64
	// Layers are the first decoder layer of the stage and the one after its
	// last.
	Layers [2]int
	// First and Last say that the stage holds the embedding, the head.
	First, Last bool
	// On are the indices of the devices that hold such a rank.
	On []int
	// Sequences are those of one data-parallel replica.
	Sequences int64
}

// Ranks cuts a model as the load says. It returns InvalidArgument for more
// stages than layers and for ranks that do not divide the heads.
func Ranks(m *model.Model, load engine.Load) ([]Rank, error) {
	tp, pp, dp := max(1, load.TensorParallel), max(1, load.PipelineParallel), max(1, load.DataParallel)
	if pp > int64(max(1, len(m.Layers))) {
		return nil, model.Errorf(model.InvalidArgument, "pipeline_parallel", "%d stages for %d layers", pp, len(m.Layers))
	}
	if err := checkHeads(m, tp); err != nil {
		return nil, err
	}
	var out []Rank
	for s, span := range engine.Stages(len(m.Layers), int(pp)) {
		r := Rank{TP: tp, Layers: span, First: s == 0, Last: s == int(pp)-1, Sequences: (max(1, load.Sequences) + dp - 1) / dp}
		for d := range int(dp) {
			for t := range int(tp) {
				r.On = append(r.On, (d*int(pp)+s)*int(tp)+t)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// checkHeads refuses a split that leaves heads between ranks.
func checkHeads(m *model.Model, tp int64) error {
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

// LayersOf returns the decoder layers of the stage.
func (r Rank) LayersOf(m *model.Model) []model.Layer { return m.Layers[r.Layers[0]:r.Layers[1]] }

// Budgets returns what is usable of each device that the ranks take.
func Budgets(devices int, hw engine.Hardware) (out []engine.Bytes) {
	for i := range min(devices, len(hw.Devices)) {
		out = append(out, hw.Devices[i].Usable)
	}
	return out
}

// Devices returns how many devices a load takes.
func Devices(load engine.Load) int {
	return int(max(1, load.TensorParallel) * max(1, load.PipelineParallel) * max(1, load.DataParallel))
}
