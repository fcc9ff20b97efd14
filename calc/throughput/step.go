package throughput

import (
	"math"

	"hwledger/calc/engine"
)

// step is one decoding step of one replica.
type step struct {
	in    *Input
	w     *weights
	d     engine.Device
	tp    float64
	cache float64 // bytes moved for one sequence on a rank
}

// end returns the better end of a rate, or of a cost, for the fast end of the
// estimate, else the worse one.
func end(b band, rate, fast bool) float64 {
	if rate == fast {
		return b.high
	}
	return b.low
}

// part is a share of a step's time by what it is spent on.
type part struct {
	name    string
	seconds float64
}

// seconds returns the time of a step for each token of a sequence at one end,
// and what most of it is spent on. Speculation verifies the drafted tokens in
// the same step.
func (s *step) seconds(seqs float64, fast bool) (float64, string) {
	in, w, d := s.in, s.w, s.d
	tokens := seqs * float64(in.Draft+1)
	bytes := w.read(tokens, end(routed, false, fast))
	onHost := bytes * in.HostShare
	share := end(in.memoryShare(d), true, fast)
	memory := ((bytes-onHost)/s.tp + s.cache*seqs) / (d.Bandwidth * share)
	compute := 0.0
	if f := in.flops(d); f > 0 {
		compute = 2 * w.active * tokens / (s.tp * f * end(in.computeShare(d, len(w.experts) > 0), true, fast))
	}
	parts := []part{{"memory", memory}, {"compute", compute}, {"launch", w.layers * end(in.perLayer(d.Vendor), false, fast)}}
	total := max(memory, compute) + parts[2].seconds
	if onHost > 0 {
		rate := end(hostMemory, true, fast)
		if in.HostBandwidth > 0 {
			rate = in.HostBandwidth * share
		}
		parts = append(parts, part{"host", onHost / rate})
		total += onHost / rate
	}
	if s.tp > 1 && !in.SplitsLayers {
		moved := 2 * w.layers * (2*(s.tp-1)/s.tp*tokens*float64(in.Model.Hidden)*2/end(link, true, fast) + end(reduce, false, fast))
		parts = append(parts, part{"interconnect", moved})
		total += moved
	}
	most := parts[0]
	for _, p := range parts {
		if p.seconds > most.seconds {
			most = p
		}
	}
	if in.Draft > 0 {
		got, longer := speculated(in.Draft, fast)
		total *= longer / got
	}
	return total, most.name
}

// chunk is the prompt tokens of one step when the load does not say: n_ubatch
// of llama.cpp.
const chunk = 512

// prompt returns the speed of a prompt that fills the context, and the time to
// the first token, given the ends of a step. Tensor ranks share a prompt's
// arithmetic; at the fast end so do stages, whose chunks follow each other.
// Weights in system memory cross the bus once for each chunk.
func (s *step) prompt(fast, slow float64) (speed, first Range) {
	in := s.in
	tokens := float64(max(1, in.Load.ContextTokens))
	size := float64(max(1, in.Load.BatchTokens))
	if in.Load.BatchTokens == 0 {
		size = chunk
	}
	chunks := max(1, tokens/size)
	stages := float64(max(1, in.Load.PipelineParallel))
	if in.SplitsLayers {
		stages = float64(len(in.Devices))
	}
	share := in.computeShare(s.d, len(s.w.experts) > 0)
	work := s.w.promptFlops(*in, tokens) / (in.flops(s.d) * s.tp)
	lo, hi := work/(share.high*math.Pow(min(stages, chunks), pipelined)), work/share.low
	bound := "compute"
	if in.HostShare > 0 {
		n := s.w.read(size, routed.high) * in.HostShare * chunks
		if n/hostLink.low > hi {
			bound = "host"
		}
		lo, hi = lo+n/hostLink.high, hi+n/hostLink.low
	}
	lo, hi = max(lo, fast), max(hi, slow)
	return Range{tokens / hi, tokens / lo, bound}, Range{1000 * lo, 1000 * (hi + slow), bound}
}
