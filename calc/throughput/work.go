package throughput

import (
	"math"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// weights are the bytes and parameters that a step reads.
type weights struct {
	always  float64 // bytes of everything that each step reads
	experts []expert
	active  float64 // parameters used for one token
	layers  float64
}

// expert is one stack of routed experts.
type expert struct{ bytes, count, topK float64 }

// weigh sorts the model's tensors by when they are read. An embedding that is
// not the head too is a table in which a step looks up a few rows; towers,
// encoders and multi-token-prediction layers are not part of a step.
func weigh(in Input) weights {
	m := in.Model
	w := weights{layers: float64(len(m.Layers))}
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if t.Group != model.Text || t.Part == model.Embedding && !m.Tied {
			continue
		}
		n := float64(in.Stored[i].Bytes)
		if t.Part == model.Expert && t.Layer >= 0 && t.Layer < len(m.Layers) && m.Layers[t.Layer].FFN.MoE() {
			f := m.Layers[t.Layer].FFN
			w.experts = append(w.experts, expert{n, float64(f.Experts), float64(f.TopK)})
		} else {
			w.always += n
		}
		w.active += float64(t.ActiveElems())
	}
	return w
}

// read is the bytes that a step of so many sequences reads: of experts the
// union of what the tokens are routed to, E·(1−(1−k/E)^B) with uniform routing.
func (w *weights) read(seqs float64) float64 {
	n := w.always
	for _, x := range w.experts {
		n += x.bytes * (1 - math.Pow(1-x.topK/x.count, seqs))
	}
	return n
}

// step returns the seconds of one decoding step at the fast or the slow end,
// and what most of them are spent on.
func (w *weights) step(in Input, d engine.Device, tp, seqs float64, fast bool) (float64, string) {
	end := func(b band, better bool) float64 { // the fast end of a rate is its high one
		if better == fast {
			return b.high
		}
		return b.low
	}
	bytes := w.read(seqs)
	onHost := bytes * in.HostShare
	cache := float64(in.CacheBytes) * seqs
	memory := ((bytes - onHost) + cache) / (tp * d.Bandwidth * end(memoryShare, true))
	compute := 0.0
	if d.Flops > 0 {
		compute = 2 * w.active * seqs / (tp * d.Flops * end(computeShare, true))
	}
	parts := []struct {
		name    string
		seconds float64
	}{
		{"memory", memory},
		{"compute", compute},
		{"launch", w.layers * end(perLayer(d.Vendor), false)},
	}
	total := max(memory, compute) + parts[2].seconds
	if onHost > 0 {
		rate := end(hostMemory, true)
		if in.HostBandwidth > 0 {
			rate = in.HostBandwidth * end(memoryShare, true)
		}
		parts = append(parts, struct {
			name    string
			seconds float64
		}{"host", onHost / rate})
		total += onHost / rate
	}
	if tp > 1 && !in.SplitsLayers {
		moved := 2 * w.layers * (2 * (tp - 1) / tp * seqs * float64(in.Model.Hidden) * 2 / end(link, true))
		moved += 2 * w.layers * end(reduce, false)
		parts = append(parts, struct {
			name    string
			seconds float64
		}{"interconnect", moved})
		total += moved
	}
	bound, most := "", -1.0
	for _, p := range parts {
		if p.seconds > most {
			bound, most = p.name, p.seconds
		}
	}
	return total, bound
}

// promptFlops is the arithmetic of a prompt: two operations for each active
// parameter and token, and for attention two products over half of the square
// of the tokens, or of what a window leaves of it.
func (w *weights) promptFlops(in Input, tokens float64) float64 {
	n := 2 * w.active * tokens
	for i := range in.Model.Layers {
		for _, x := range in.Model.Layers[i].Mixers {
			heads, dims, seen := 0.0, 0.0, tokens/2
			switch x := x.(type) {
			case *model.Attention:
				heads, dims = float64(x.Heads), float64(x.KeyDim+x.ValueDim)
				if x.Window > 0 {
					seen = min(seen, float64(x.Window))
				}
			case *model.MLA:
				heads, dims = float64(x.Heads), float64(x.NopeDim+x.RopeDim+x.ValDim)
				if x.Indexer != nil && x.Indexer.TopK > 0 {
					seen = min(seen, float64(x.Indexer.TopK))
				}
			}
			n += 2 * heads * dims * tokens * seen
		}
	}
	return n
}
