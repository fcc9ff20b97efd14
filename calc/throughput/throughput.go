// Package throughput bounds how fast a plan can run: a roofline of memory,
// arithmetic, interconnect and system memory, each with the share of it that
// engines reach in practice. Every figure is a range with what bounds it.
package throughput

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// Input is a plan as far as its speed depends on it.
type Input struct {
	Model *model.Model
	// Stored is the size of each of the model's tensors as planned.
	Stored []quant.Stored
	// LayerCache is what each layer keeps for the load, on all devices
	// together, and Types the types that it is kept in.
	LayerCache []engine.Bytes
	Types      shard.Types
	Load       engine.Load
	// Devices are those that take part; all are taken to be like the slowest.
	Devices []engine.Device
	// HostShare is the share of the weights that stays in system memory.
	HostShare float64
	// HostBandwidth is that of system memory in bytes/s, 0 when unknown.
	HostBandwidth float64
	// SplitsLayers: devices take turns (llama.cpp's layer split) instead of
	// sharing each layer.
	SplitsLayers bool
	// Eager: kernels are launched one by one, without graphs.
	Eager bool
	// Draft is how many tokens are drafted for each step, 0 for none.
	Draft int64

	quantized, fp8 bool // how the weights are stored
}

// Range is a speed in tokens per second, or a time in milliseconds.
type Range struct {
	Low, High float64
	// Bound says what the speed is bound by: memory, compute, interconnect,
	// host or launch.
	Bound string
}

// Estimate is how fast a plan runs.
type Estimate struct {
	// Decode is tokens per second of all sequences together, PerUser of one.
	Decode, PerUser Range
	// Prefill is prompt tokens per second of one replica.
	Prefill Range
	// FirstToken is milliseconds to the first token of a prompt that fills the
	// load's context. Low is the shortest.
	FirstToken Range
}

// band is a lowest and a highest value.
type band struct{ low, high float64 }

// Of returns how fast a plan runs, nil when the devices' bandwidth is unknown
// or the model makes no tokens.
func Of(in Input) *Estimate {
	m := in.Model
	if len(in.Devices) == 0 || !m.Causal && !m.EncDec || len(m.Layers) == 0 {
		return nil
	}
	d := slowest(in.Devices)
	if d.Bandwidth <= 0 {
		return nil
	}
	w := in.weigh()
	st := step{in: &in, w: &w, d: d, tp: float64(max(1, in.Load.TensorParallel)), cache: in.cacheRead(float64(max(1, in.Load.TensorParallel)))}
	dp := float64(max(1, in.Load.DataParallel))
	seqs := max(1, float64(in.Load.Sequences)/dp)
	// Stages of a pipeline work at the same time when there are sequences for
	// each; at the slow end a step passes them one after another.
	flight := max(1, seqs/float64(max(1, in.Load.PipelineParallel)))
	fast, fastBound := st.seconds(flight, true)
	slow, slowBound := st.seconds(seqs, false)
	bound := slowBound
	if fastBound == slowBound || fastBound == "memory" {
		bound = fastBound
	}
	e := &Estimate{
		Decode:  Range{dp * seqs / slow, dp * seqs / fast, bound},
		PerUser: Range{1 / slow, 1 / fast, bound},
	}
	if in.flops(d) > 0 {
		e.Prefill, e.FirstToken = st.prompt(fast, slow)
	}
	return e
}

func slowest(devices []engine.Device) engine.Device {
	d := devices[0]
	for _, x := range devices[1:] {
		if x.Bandwidth < d.Bandwidth {
			d = x
		}
	}
	return d
}
