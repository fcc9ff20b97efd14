package vllm

import (
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/calibration"
)

// The names under which vLLM's figures stand in the table of package
// calibration.
const (
	ProfileBase   = "profile base"           // torch's peak in the profile run beyond what formulas give
	OutsideTorch  = "memory outside PyTorch" // inside the budget, of one rank alone
	Communicators = "communicators"          // what ranks that share tensors add to it
	Context       = "device context"         // before the first reading, outside the budget
	Collectives   = "NCCL before profiling"  // what several ranks add to that
	GraphRate     = "CUDA graphs"            // of one captured size and layer
	GraphEstimate = "CUDA graph estimate"    // the same as vLLM estimates it before the pool is sized
	LoadBuffer    = "load workspace"         // what loading leaves allocated
)

// Class names the kind of device that a figure of the table is of: NVIDIA
// cards of servers, smaller ones, those that share the host's memory,
// AMD's. A plan without hardware is made for the first.
func Class(d *engine.Device) string {
	switch {
	case d == nil:
		return "nvidia"
	case d.Vendor == "amd":
		return "amd"
	case d.Kind == engine.Unified:
		return "nvidia unified"
	case d.Total < smallCard:
		return "nvidia small"
	}
	return "nvidia"
}

// GraphClass is Class with what decides how large graphs are: experts, and
// experts of MXFP4, have more kernels in a layer. A100s took three to four
// times what other cards took for the same models with the same release.
func GraphClass(d *engine.Device, experts, mx bool) string {
	c := Class(d)
	if c == "nvidia" && isA100(d) {
		c = "nvidia A100"
	}
	switch {
	case mx:
		c += ", MXFP4 experts"
	case experts:
		c += ", experts"
	default:
		c += ", dense"
	}
	return c
}

// Release returns the numbers of a version as this package reads it: the newest
// known for a version that is none.
func Release(s string) [3]int {
	v, _ := parseVersion(s)
	return [3]int{v.major, v.minor, v.patch}
}

// BudgetsGraphs reports a release that takes its estimate of CUDA graphs out
// of the budget.
func BudgetsGraphs(s string) bool {
	v, _ := parseVersion(s)
	return v.atLeast(budgetedGraphs)
}

// isA100 reports a device that is named as an A100.
func isA100(d *engine.Device) bool {
	return d != nil && strings.Contains(strings.ToLower(d.Name), "a100")
}

// smallCard is below what servers' cards have (an A100 of 40 GB has 39.4 GiB);
// such cards have no links of their own between devices.
const smallCard = 36 * engine.GiB

// Ranks names how a model is spread over devices, as in the table.
func Ranks(tp, pp int64) string {
	switch {
	case tp > 1:
		return "tp"
	case pp > 1:
		return "pp"
	}
	return "1"
}

// Alone is Ranks without what ranks that share tensors add. Starts of two AMD
// ranks show no more than starts of one, so that theirs are one line and have
// no term for communicators.
func Alone(d *engine.Device, pp int64) string {
	if Class(d) == "amd" {
		return "1"
	}
	return Ranks(1, pp)
}

// GraphUnits is the number by which the table's rates of CUDA graphs count:
// captured sizes × (layers + 22). One model on one, two and four pipeline
// stages took 0.91, 0.65 and 0.51 GiB: its 32 layers cost as much as the part
// that does not depend on layers and 10 more.
func GraphUnits(layers, sizes int64) int64 { return sizes * (layers + 22) }

// bound is a planning bound in MiB for what no log in the table says.
type bound struct {
	low, mid, high int64
	why            string
}

// The bounds. Two RTX 5090 logged 330 MiB outside PyTorch in all (vllm issue
// 14452); the others are no one's measurement.
var bounds = map[string]map[string]bound{
	ProfileBase:   {"": {60, 180, 700, "no log says it"}},
	OutsideTorch:  {"": {20, 260, 1840, "no log says it of these devices"}},
	Communicators: {"nvidia small": {0, 70, 1900, "vllm issue 14452: 330 MiB outside PyTorch on two RTX 5090"}, "": {0, 300, 2010, "no log says it of these devices"}},
	Context:       {"amd": {300, 800, 1500, "no log says it of AMD devices"}, "": {250, 520, 1000, "an H100's context; no log says it of these devices"}},
	Collectives:   {"nvidia small": {100, 500, 1040, "no log says it of cards without links"}, "": {100, 1040, 1560, "an H100's; no log says it of these devices"}},
}

// find returns the table's figure for this device, release and spread.
func (s *settings) find(name, class, ranks string) (calibration.Figure, bool) {
	return s.table.Find(calibration.Key{Engine: "vllm", Term: name, Class: class, Ranks: ranks},
		calibration.Release{s.version.major, s.version.minor, s.version.patch})
}

// measured makes a term of what the table says, else of the planning bound.
func (s *settings) measured(name, ranks string, c engine.Category, on []int) engine.Term {
	class := Class(s.device)
	for _, class := range [...]string{class, ""} {
		if f, ok := s.find(name, class, ranks); ok {
			return f.Term(name, c, on)
		}
	}
	b, ok := bounds[name][class]
	if !ok {
		b = bounds[name][""]
	}
	return engine.Term{
		Name: name, Category: c, On: on, Confidence: engine.Estimated, Source: "planning bound: " + b.why,
		Formula: "no measurement of this release, kind of device and number of ranks",
		Bytes:   engine.Bytes(b.mid) * engine.MiB, Low: engine.Bytes(b.low) * engine.MiB, High: engine.Bytes(b.high) * engine.MiB,
	}
}

// logit is the bytes of one logit that the profiled sampler holds at its peak:
// bf16 logits 2, float32 copy 4, probabilities 4 and exponential noise 4, in
// all 14. Sorting the vocabulary for top-k and top-p, until v0.17 (vllm pull
// request 33538), added the sorted values 4, their int64 indices 8, the
// cumulative sum 4, the scattered copy 4 and masks 3; servers with
// FlashInfer's sampler did not sort.
const (
	logitBytes       = 14
	sortedLogitBytes = 37
)

// hopperScales is how much larger MXFP4 experts are in the Triton layout for
// Hopper: their scales, one byte in 17, take twice their size.
const hopperScales = 18.0 / 17
