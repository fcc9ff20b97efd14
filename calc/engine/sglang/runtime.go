package sglang

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
)

// beforeLoad are what a process takes before SGLang reads free memory, and so
// outside the share that mem_fraction_static divides.
func (s *settings) beforeLoad(on []int) []engine.Term {
	out := []engine.Term{deviceContext.term("device context", engine.Runtime, on)}
	if s.tp*s.pp > 1 {
		out = append(out, communicators.term("communicators", engine.Runtime, on))
	}
	for i := range out {
		out[i].Outside = true
	}
	return out
}

// afterPools are what runs in the slack beside weights and pools.
func (s *settings) afterPools(m *model.Model, r shard.Rank) []engine.Term {
	out := []engine.Term{s.activation(m, r), attentionWorkspace.term("attention workspace", engine.Workspace, r.On)}
	if s.deepEP {
		out = append(out, allToAll.term("all-to-all buffers", engine.Runtime, r.On))
	}
	if s.graphBatch > 0 {
		out = append(out, s.graphs(r.On))
	}
	for i := range out {
		out[i].Outside = true
	}
	return out
}

// graphs is the memory of captured CUDA graphs: as logged where a log of such
// a device exists, else what SGLang itself reserves for them.
func (s *settings) graphs(on []int) engine.Term {
	switch {
	case s.ascend():
		return ascendGraphs.term("CUDA graphs", engine.Runtime, on)
	case s.device != nil && s.device.Vendor == "nvidia" && s.device.Kind == engine.Unified:
		return unifiedGraphs.term("CUDA graphs", engine.Runtime, on)
	}
	n := engine.Bytes(2*s.graphBatch) * engine.MiB
	return engine.Term{
		Name: "CUDA graphs", Category: engine.Runtime, On: on, Bytes: n, Low: n / 4, High: max(3*n, engine.Bytes(unifiedGraphs.high)*engine.MiB),
		Formula: "2 MiB × cuda_graph_max_bs, what SGLang reserves", Confidence: engine.Estimated, Source: "sglang server_args.py",
		Inputs: []engine.Input{{Name: "cuda_graph_max_bs", Value: s.graphBatch, From: "argument or default"}},
	}
}

// activation is the largest intermediate of one layer over a chunk, and the
// logits of the sequences in a step. SGLang does not profile it.
func (s *settings) activation(m *model.Model, r shard.Rank) engine.Term {
	tokens := s.chunk
	if tokens < 0 {
		tokens = s.prefill
	}
	var widest float64
	for _, l := range r.LayersOf(m) {
		for _, x := range l.Mixers {
			widest = max(widest, 3*float64(m.Hidden)+s.mixerWidth(x))
		}
		f := &l.FFN
		widest = max(widest, float64(2*m.Hidden)+3*float64(f.Width)/float64(s.denseTP))
		if f.MoE() {
			each := float64(m.Hidden) + 3*float64(f.ExpertWidth)/float64(s.tp/s.ep)
			widest = max(widest, float64(2*m.Hidden)+float64(f.TopK)*each)
		}
	}
	n := float64(tokens) * widest * float64(s.modelSize)
	if r.Last {
		rows := float64(max(s.seqs, min(s.graphBatch, 512)))
		n += rows * float64(m.Vocab) * (float64(s.modelSize+4)/float64(s.tp) + 4)
	}
	low := scale(n, 1)
	return engine.Term{
		Name: "activation", Category: engine.Workspace, On: r.On, Confidence: engine.Estimated,
		Bytes: engine.Bytes(scale(n, 1.3)), Low: engine.Bytes(low), High: engine.Bytes(scale(n, 2)),
		Formula: "1.3 × (chunk × widest layer × dtype bytes + sequences × vocabulary × bytes of a logit)", Source: "sglang layers; lower bound of live tensors",
		Inputs: []engine.Input{{Name: "chunk_tokens", Value: tokens, From: "argument or default"}, {Name: "hidden_size", Value: m.Hidden, From: "config.json"}, {Name: "vocab_size", Value: m.Vocab, From: "config.json"}},
	}
}

// mixerWidth is the elements that a mixer makes of one token on a rank.
func (s *settings) mixerWidth(x model.Mixer) float64 {
	tp := float64(s.attnTP())
	switch x := x.(type) {
	case *model.Attention:
		return (2*float64(x.Heads*x.KeyDim) + float64(x.KVHeads*(x.KeyDim+x.ValueDim))) / tp
	case *model.MLA:
		return float64(x.Heads*(3*(x.NopeDim+x.RopeDim)+2*x.ValDim)) / tp
	case *model.Compressed:
		return 3 * float64(x.Heads*x.HeadDim) / tp
	case *model.GatedDelta:
		return float64(2*(2*x.KeyHeads*x.KeyDim+2*x.ValueHeads*x.ValueDim)) / tp
	case *model.Mamba2:
		return float64(4*x.Inner()+2*x.Groups*x.StateSize) / tp
	case *model.Mamba1:
		return float64(5*x.Inner) / tp
	}
	return 0
}
