package throughput

import (
	"math"

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
func (in *Input) weigh() weights {
	m := in.Model
	w := weights{layers: float64(len(m.Layers))}
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if t.Group != model.Text || t.Part == model.Embedding && !m.Tied {
			continue
		}
		n := float64(in.Stored[i].Bytes)
		in.quantized = in.quantized || in.Stored[i].Quantized
		in.fp8 = in.fp8 || in.Stored[i].Quantized && isFP8(in.Stored[i].Type)
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
// union of what the tokens are routed to, E·(1−(1−k/E)^B) among the share of
// them that the router chooses from.
func (w *weights) read(tokens, share float64) float64 {
	n := w.always
	for _, x := range w.experts {
		among := max(x.topK, share*x.count)
		n += x.bytes * among / x.count * (1 - math.Pow(1-x.topK/among, tokens))
	}
	return n
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
