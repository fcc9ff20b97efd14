// Package throughput bounds how fast a plan can run: a roofline of memory,
// arithmetic, interconnect and system memory, each with the share of it that
// engines reach in practice. Every figure is a range with what bounds it.
package throughput

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// Input is a plan as far as its speed depends on it.
type Input struct {
	Model *model.Model
	// Stored is the size of each of the model's tensors as planned.
	Stored []quant.Stored
	// CacheBytes is what one sequence of the load's length keeps, on all
	// devices together.
	CacheBytes int64
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

// The shares of a device's nominal rates that kernels reach. Memory: the slope
// of time over bytes between F16, Q8_0 and Q4_0 of one model in llama.cpp's
// published tables of Apple chips gives 0.87 to 0.89, and batch-1 studies 0.8
// (J. Chen 2026, L4); quantized kernels stay below. Arithmetic: prompt speeds of
// the same tables are 0.2 to 0.9 of the nominal rate.
var (
	memoryShare  = band{0.65, 0.95}
	computeShare = band{0.2, 0.9}
)

// perLayer is the time in seconds that a layer takes beyond its bytes: kernel
// launches, synchronisation, small kernels. Apple's is what remains in the
// tables above when bytes go to 0 (5 to 7 ms for 32 layers); NVIDIA's from
// batch-1 figures with CUDA graphs.
func perLayer(vendor string) band {
	switch vendor {
	case "nvidia":
		return band{20e-6, 70e-6}
	case "apple":
		return band{100e-6, 230e-6}
	case "amd":
		return band{40e-6, 150e-6}
	case "cpu":
		return band{10e-6, 120e-6}
	}
	return band{20e-6, 250e-6}
}

// hostMemory is the bandwidth of system memory when it is not known: two
// channels of DDR4 to eight of DDR5.
var hostMemory = band{35e9, 250e9}

// link is the bandwidth between devices in bytes/s: PCIe 4.0 x8 to NVLink 5.
var link = band{12e9, 900e9}

// reduce is the latency of one all-reduce.
var reduce = band{6e-6, 30e-6}

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
	w := weigh(in)
	tp := float64(max(1, in.Load.TensorParallel))
	dp := float64(max(1, in.Load.DataParallel))
	seqs := max(1, float64(in.Load.Sequences)/dp)
	fast, fastBound := w.step(in, d, tp, seqs, true)
	slow, slowBound := w.step(in, d, tp, seqs, false)
	bound := slowBound
	if fastBound == slowBound || fastBound == "memory" {
		bound = fastBound
	}
	e := &Estimate{
		Decode:  Range{dp * seqs / slow, dp * seqs / fast, bound},
		PerUser: Range{1 / slow, 1 / fast, bound},
	}
	if d.Flops > 0 {
		tokens := float64(max(1, in.Load.ContextTokens))
		work := w.promptFlops(in, tokens)
		// A stage of a pipeline works while others do; one prompt passes them
		// one after another, so only tensor ranks make it faster.
		lo, hi := work/(d.Flops*computeShare.high*tp), work/(d.Flops*computeShare.low*tp)
		lo, hi = max(lo, fast), max(hi, slow)
		e.Prefill = Range{tokens / hi, tokens / lo, "compute"}
		e.FirstToken = Range{1000 * lo, 1000 * (hi + slow), "compute"}
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
