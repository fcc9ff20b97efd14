package sglang

import "hwledger/calc/engine"

// Figures in this file are measured, not derived: medians of what SGLang
// itself logged, with the spread as low and high. The logs are the rows of
// testdata/observations/sglang.jsonl; count is how many stand behind a figure.
// A count of 0 is a planning bound that no log supports.
//
// Procedure: subtract every derived term from a logged figure, group what is
// left by vendor, take the median, the lowest and the highest, round to 10 MiB.

// measured is a figure in MiB.
type measured struct {
	low, mid, high int64
	count          int
}

// term makes a term of a figure.
func (m measured) term(name string, c engine.Category, on []int) engine.Term {
	t := engine.Term{
		Name: name, Category: c, On: on, Confidence: engine.Measured, Source: "testdata/observations/sglang.jsonl",
		Formula: "median of what SGLang logged on this vendor's devices",
		Bytes:   engine.Bytes(m.mid) * engine.MiB, Low: engine.Bytes(m.low) * engine.MiB, High: engine.Bytes(m.high) * engine.MiB,
		Inputs: []engine.Input{{Name: "samples", Value: int64(m.count), From: "engine logs"}},
	}
	if m.count == 0 {
		t.Confidence, t.Source, t.Formula = engine.Estimated, "planning bound", "no log says it of these devices"
	}
	return t
}

// loadResidue is the difference of free memory around loading beyond the
// tensors: kernels' workspaces, segments of the allocator, and libraries that
// the first kernel loads. Ten starts give -87, 6, 337, 368, 370, 388, 1048,
// 1066, 3015 and 3480 MiB; the four above 1 GiB are all modelslim int8 or int4
// on Ascend, whose own copies and all-to-all buffers no log separates. One
// start took less than its tensors say.
var loadResidue = measured{low: -90, mid: 380, high: 3480, count: 10}

// Graph captures as logged ("mem usage" of the capture, warm-up workspaces
// included). NVIDIA rows are all of a GB10; other devices have no log.
var (
	ascendGraphs  = measured{low: 1370, mid: 3410, high: 8540, count: 6}
	unifiedGraphs = measured{low: 2280, mid: 2740, high: 3200, count: 2}
)

// What a process holds before SGLang reads free memory. The figures are those
// of H100s under vLLM (testdata/observations/vllm.jsonl): the driver and NCCL
// are the same, but no SGLang log separates them.
var (
	deviceContext = measured{low: 250, mid: 520, high: 620}
	communicators = measured{low: 400, mid: 1040, high: 1560}
	// allToAll is the buffer of DeepEP or NVSHMEM.
	allToAll = measured{low: 500, mid: 1000, high: 2000}
	// attentionWorkspace is FlashInfer's; FlashAttention has none.
	attentionWorkspace = measured{low: 0, mid: 384, high: 512}
)
