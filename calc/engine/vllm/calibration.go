package vllm

import "hwledger/calc/engine"

// Figures in this file are measured, not derived. They are the medians of
// what vLLM itself logged, with the spread as low and high; the logs are the
// rows of testdata/observations/vllm.jsonl and count is how many distinct
// (model, tensor parallel, version) stand behind a figure.
//
// Procedure: subtract every derived term from a logged figure; group what is
// left by version, vendor and number of ranks; take the median, the lowest
// and the highest; round to 10 MiB. Formula terms are never fitted.

// measured is a figure in MiB.
type measured struct {
	since          version
	low, mid, high int64
	count          int
}

// pick returns the last figure whose release is not after v.
func pick(table []measured, v version) measured {
	best := table[0]
	for _, m := range table[1:] {
		if v.atLeast(m.since) {
			best = m
		}
	}
	return best
}

// term makes a term of a figure.
func (m measured) term(name string, c engine.Category, on []int) engine.Term {
	conf := engine.Measured
	if m.count == 0 {
		conf = engine.Estimated
	}
	return engine.Term{
		Name: name, Category: c, On: on, Confidence: conf, Source: "testdata/observations/vllm.jsonl",
		Formula: "median of what engines logged for this release, vendor and number of ranks",
		Bytes:   engine.Bytes(m.mid) * engine.MiB, Low: engine.Bytes(m.low) * engine.MiB, High: engine.Bytes(m.high) * engine.MiB,
		Inputs: []engine.Input{{Name: "samples", Value: int64(m.count), From: "engine logs"}},
	}
}

// profileBase is the torch peak of the profile run beyond sampler and network
// buffers: workspaces of GEMM and attention kernels, metadata, masks.
var profileBase = []measured{
	{version{}, 60, 180, 700, 4},
	{version{0, 17, 0}, 140, 180, 600, 22},
}

// logitBytes are the bytes for one logit that the profiled sampler holds at
// its peak: bf16 logits 2, float32 copy 4, probabilities 4 and exponential
// noise 4; sorting the vocabulary for top-k and top-p, until v0.17, added the
// sorted values, int64 indices, their cumulative sum and the scattered copy.
var logitBytes = []measured{
	{version{}, 14, 37, 38, 4},
	{version{0, 17, 0}, 14, 14, 15, 22},
}

// nonTorch is memory inside the budget that PyTorch does not see, on one rank
// of one; communicators add to it.
var nonTorch = []measured{
	{version{}, 20, 130, 1840, 6},
	{version{0, 18, 0}, 240, 260, 470, 14},
}

// rocmNonTorch is the same on AMD devices; builds of 0.11.2 took 3 GiB more
// than those of 0.13.
var rocmNonTorch = measured{low: 20, mid: 400, high: 3000, count: 8}

// stageNonTorch is the same on a pipeline stage of one rank, whose
// communicators were made before the first reading.
var stageNonTorch = measured{low: 60, mid: 70, high: 260, count: 2}

// communicators is what NCCL and custom all-reduce add inside the budget for
// ranks that share tensors.
var communicators = []measured{
	{version{}, 300, 1200, 1840, 1},
	{version{0, 18, 0}, 1840, 1900, 2010, 9},
}

// smallCommunicators and smallNCCLOutside are the same on NVIDIA cards of less
// than smallCard, which have no NVLink: two RTX 5090 logged 330 MiB outside
// PyTorch in all (vllm issue 14452). What they hold before the first reading
// no log says.
var (
	smallCommunicators = measured{low: 0, mid: 70, high: 1900, count: 1}
	smallNCCLOutside   = measured{low: 100, mid: 500, high: 1040, count: 0}
)

const smallCard = 40 * engine.GiB

// cudaContext is the context and loaded modules before the engine takes its
// first reading, outside the budget; ncclOutside is what several ranks add to
// that reading. The figures are of H100s; the ends of the ranges are planning
// bounds for other devices. No log says it of AMD devices.
var (
	cudaContext = measured{low: 250, mid: 520, high: 620, count: 14}
	ncclOutside = measured{low: 400, mid: 1040, high: 1560, count: 11}
	rocmContext = measured{low: 300, mid: 800, high: 1500, count: 0}
)

// graphBase and graphLayer size the capture of CUDA graphs: a part for the
// pool and a part for each layer and captured size, piecewise and full
// together, in KiB.
const (
	graphBaseMiB      = 380
	graphLayerKiB     = 341
	graphExpertKiB    = 560 // layers with experts
	graphROCmPercent  = 280
	graphLowPercent   = 35
	graphHighPercent  = 300
	rocmLoadBufferMiB = 71 // ROCm keeps a GEMM workspace that loading allocates
)

// hopperScales is how much larger MXFP4 experts are in the Triton layout for
// Hopper: their scales, one byte in 17, take twice their size.
const hopperScales = 18.0 / 17
