package throughput

import (
	"strings"

	"hwledger/calc/engine"
)

// memoryShare is the share of a device's nominal bandwidth that kernels reach.
// The slope of time over bytes between F16, Q8_0 and Q4_0 of one model in
// llama.cpp's published tables of Apple chips gives 0.87 to 0.89, a batch-1
// study 0.8 (J. Chen 2026, L4); quantized kernels stay below. On Apple's first
// chips K-quants reach less than half (XiongjieDai's tables, M1 Max).
func (in *Input) memoryShare(d engine.Device) band {
	if d.Vendor == "apple" && in.quantized {
		return band{0.45, 0.95}
	}
	return band{0.62, 0.95}
}

// computeShare is the share of the nominal 16-bit rate that prompts reach.
// Tables of prompt speeds give 0.28 to 0.85 for dense models and 0.16 to 0.23
// for experts, whose matrices are small (llama.cpp dgx-spark.md).
// llama.cpp multiplies by int8 and accumulates in 16 bits on NVIDIA, which
// GeForce cards do at twice the listed rate: up to 1.06 was measured.
func (in *Input) computeShare(d engine.Device, moe bool) band {
	if moe {
		return band{0.125, 0.55}
	}
	b := band{0.25, 0.9}
	if in.SplitsLayers && d.Vendor == "nvidia" {
		b.high = 1.15
	}
	return b
}

// pipelined is the power of the number of stages by which a prompt in chunks
// gets faster: llama.cpp reached 1.4, 2.4 and 3.4 times the speed of one device
// with 2, 4 and 8 (XiongjieDai's tables, 8B Q4_K_M).
const pipelined = 0.65

// flops is the arithmetic rate for the planned weights: engines multiply fp8
// weights at the fp8 rate of devices that have one.
func (in *Input) flops(d engine.Device) float64 {
	if in.fp8 && !in.SplitsLayers && d.FlopsFP8 > 0 {
		return d.FlopsFP8
	}
	return d.Flops
}

// perLayer is the time in seconds that a layer takes beyond its bytes: kernel
// launches, synchronisation, small kernels. Apple's is what remains in the
// tables above when bytes go to 0 (5 to 7 ms for 32 layers); NVIDIA's from
// batch-1 figures with CUDA graphs. Without graphs every kernel is launched
// from the host: the same study's H100 reaches 27 % of its memory floor, which
// is some 360 µs for each layer.
func (in *Input) perLayer(vendor string) band {
	b := band{20e-6, 250e-6}
	switch vendor {
	case "nvidia":
		b = band{20e-6, 70e-6}
	case "apple":
		b = band{100e-6, 230e-6}
	case "amd":
		b = band{40e-6, 150e-6}
	case "cpu":
		b = band{10e-6, 120e-6}
	}
	if in.Eager && vendor != "cpu" {
		b = band{max(b.low, 80e-6), max(b.high, 450e-6)}
	}
	return b
}

// routed is how many of an expert layer's experts the router chooses among: all
// of them evenly at the slow end; at the fast end a preferred part, because
// tokens that are alike share experts. Three eighths is what the step times of
// gpt-oss-120b at batches 8 and 32 come to (llama.cpp dgx-spark.md).
var routed = band{0.375, 1}

// hostMemory is the bandwidth of system memory when it is not known: two
// channels of DDR4 to eight of DDR5.
var hostMemory = band{35e9, 250e9}

// hostLink is the bandwidth at which weights of system memory reach a device
// during a prompt: PCIe 3.0 x8 to PCIe 5.0 x16.
var hostLink = band{6e9, 55e9}

// link is the bandwidth between devices in bytes/s: PCIe 4.0 x8 to NVLink 5.
var link = band{12e9, 900e9}

// reduce is the latency of one all-reduce.
var reduce = band{6e-6, 30e-6}

// acceptance is the share of drafted tokens that are accepted: 0.47 to 0.90
// were measured by text (sudoingX/qwen38-mtp pull 53), less for drafts of
// another model.
var acceptance = band{0.3, 0.9}

// draftCost is the time to draft one token as a share of a step: that of one
// multi-token-prediction layer to that of a draft model of a tenth the size.
var draftCost = band{0.02, 0.15}

// speculated is how many tokens a step yields for each sequence, and how many
// times longer it takes beside verifying, when n tokens are drafted: with
// acceptance a, (1 − a^(n+1)) ÷ (1 − a).
func speculated(n int64, fast bool) (tokens, longer float64) {
	a, c := acceptance.low, draftCost.high
	if fast {
		a, c = acceptance.high, draftCost.low
	}
	tokens, p := 0.0, 1.0
	for range n + 1 {
		tokens += p
		p *= a
	}
	return tokens, 1 + float64(n)*c
}

// isFP8 reports a stored type of 8-bit floats.
func isFP8(name string) bool {
	return strings.HasPrefix(name, "F8") || strings.HasPrefix(name, "FP8")
}
