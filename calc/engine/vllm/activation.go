package vllm

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/calibration"
	"hwledger/calc/model"
)

// reserved returns the terms beside weights and cache on one stage.
func (s *settings) reserved(m *model.Model, st *stage) []engine.Term {
	out := make([]engine.Term, 0, 8)
	out = append(out, s.activation(m, st), s.measured(ProfileBase, "1", engine.Workspace, st.on))
	if n := s.moeWorkspace(m, st); n > 0 {
		out = append(out, engine.Term{Name: "expert workspace", Category: engine.Workspace, On: st.on,
			Bytes: engine.Bytes(n), Low: 0, High: engine.Bytes(2 * n), Confidence: engine.Estimated,
			Formula: "tokens × top_k × (max(width, hidden) + max(2 × width, hidden)) × dtype bytes", Source: "vllm fused_moe workspaces"})
	}
	if n := s.encoderBudget(m, st); n > 0 {
		out = append(out, engine.Term{Name: "encoder profile", Category: engine.Workspace, On: st.on,
			Bytes: engine.Bytes(n), Low: engine.Bytes(n / 2), High: engine.Bytes(3 * n), Confidence: engine.Estimated,
			Formula: "max_num_batched_tokens × (2 × hidden × dtype bytes + 4 × pixels of a token)", Source: "vllm multimodal profiling"})
	}
	if l := s.latentWorkspace(m, st); l > 0 {
		out = append(out, engine.Term{Name: "MLA prefill workspace", Category: engine.Workspace, On: st.on,
			Bytes: engine.Bytes(l), Low: engine.Bytes(l / 2), High: engine.Bytes(4 * l), Confidence: engine.Derived,
			Formula: "min(max(8 × max_model_len, 4 × max_num_seqs × block), 65536) rows × (kv_lora_rank + rope) × 2", Source: "vllm mla/common.py"})
	}
	out = append(out, s.measured(OutsideTorch, Alone(s.device, s.pp), engine.Runtime, st.on))
	if s.tp > 1 && Class(s.device) != "amd" {
		out = append(out, s.measured(Communicators, "tp", engine.Runtime, st.on))
	}
	if g := s.graphs(m, st); g.Bytes > 0 {
		out = append(out, g)
	}
	return append(out, s.outside(st)...)
}

// activation is the peak of the profile run: the sampler over max_num_seqs
// rows, or the network over max_num_batched_tokens tokens, whichever is more.
func (s *settings) activation(m *model.Model, st *stage) engine.Term {
	network, rows := s.network(m, st), int64(0)
	if st.last && !s.pooling {
		rows = min(s.maxSeqs, s.batch)
	}
	logit, least := int64(logitBytes), int64(logitBytes)
	if !s.version.atLeast(tritonSampler) {
		logit = sortedLogitBytes
	}
	peak := func(logit int64) engine.Bytes {
		return engine.Bytes(max(rows*roundUp(max(m.Vocab, 1), vocabPadding)*logit, network))
	}
	return engine.Term{
		Name: "profile activation", Category: engine.Workspace, On: st.on, Confidence: engine.Derived,
		Bytes: peak(logit), Low: peak(least), High: peak(logit) + engine.Bytes(network)/4,
		Formula: "max(sampled rows × vocabulary × bytes per logit, tokens × (2 × hidden + 3 × width / ranks) × dtype bytes)",
		Source:  "vllm profile run; v1/sample/ops/topk_topp_sampler.py",
		Inputs: []engine.Input{
			{Name: "max_num_seqs", Value: s.maxSeqs, From: "argument or default"},
			{Name: "max_num_batched_tokens", Value: s.batch, From: "argument or default"},
			{Name: "vocab_size", Value: m.Vocab, From: "config.json"},
			{Name: "bytes_per_logit", Value: logit, From: "vLLM rule"},
		},
	}
}

// network is the largest intermediate of one layer over a full batch, plus
// the residual rows that a pipeline stage passes on.
func (s *settings) network(m *model.Model, st *stage) int64 {
	var peak int64
	h := m.Hidden
	for i := st.layers[0]; i < st.layers[1]; i++ {
		l := &m.Layers[i]
		peak = max(peak, 2*h+3*ceilDiv(l.FFN.Width, s.tp))
		if l.FFN.MoE() {
			peak = max(peak, 3*h+3*ceilDiv(l.FFN.SharedWidth, s.tp))
		}
		for _, x := range l.Mixers {
			peak = max(peak, s.mixerWidth(x)+3*h)
		}
	}
	if s.pp > 1 {
		peak += 2 * h
	}
	return s.batch * peak * s.modelSize
}

// mixerWidth is the elements that a mixer makes of one token on a rank.
func (s *settings) mixerWidth(x model.Mixer) int64 {
	switch x := x.(type) {
	case *model.Attention:
		g := max(1, x.KVHeads/s.tp)
		return 2*(x.Heads/s.tp)*x.KeyDim + g*(x.KeyDim+x.ValueDim)
	case *model.MLA:
		return (x.Heads / s.tp) * (3*(x.NopeDim+x.RopeDim) + 2*x.ValDim)
	case *model.GatedDelta:
		return ceilDiv(2*(2*x.KeyHeads*x.KeyDim+2*x.ValueHeads*x.ValueDim), s.tp)
	case *model.Mamba2:
		return ceilDiv(4*x.Inner()+2*x.Groups*x.StateSize, s.tp)
	case *model.Mamba1:
		return ceilDiv(5*x.Inner, s.tp)
	}
	return 0
}

// moeWorkspace is the pair of buffers that the fused expert kernels keep
// between layers.
func (s *settings) moeWorkspace(m *model.Model, st *stage) int64 {
	var peak int64
	ranks := s.tp * s.dp
	for i := st.layers[0]; i < st.layers[1]; i++ {
		f := &m.Layers[i].FFN
		if !f.MoE() || st.mx {
			continue
		}
		w := f.ExpertWidth
		if !s.ep {
			w = ceilDiv(w, ranks)
		}
		peak = max(peak, f.TopK*(max(w, m.Hidden)+max(2*w, m.Hidden)))
	}
	return min(s.batch, 16384) * peak * s.modelSize
}

// encoderBudget is what profiling holds of a vision tower's output and input
// while the language model runs: embeddings of a full batch, and pixels.
func (s *settings) encoderBudget(m *model.Model, st *stage) int64 {
	if !m.Multimodal || s.textOnly || !st.first {
		return 0
	}
	const pixels = 3 * 28 * 28 // of one token of a merged patch, float32
	return s.batch * (2*m.Hidden*s.modelSize + 4*pixels)
}

// latentWorkspace is the buffer into which chunked MLA prefill gathers
// context rows.
func (s *settings) latentWorkspace(m *model.Model, st *stage) int64 {
	for i := st.layers[0]; i < st.layers[1]; i++ {
		for _, x := range m.Layers[i].Mixers {
			if x, ok := x.(*model.MLA); ok {
				rows := max(min(max(8*s.maxLen, 4*s.maxSeqs*st.layout.block), 65536), s.maxSeqs*st.layout.block)
				return rows * (x.KVLoRARank + x.RopeDim) * 2
			}
		}
	}
	return 0
}

// captureSizes returns how many batch sizes CUDA graphs are captured for: 1,
// 2, 4, multiples of 8 below 256 and of 16 up to twice max_num_seqs, at most
// 512.
func (s *settings) captureSizes() int64 {
	top := min(2*s.maxSeqs, 512, s.batch)
	n := min(top, 4)/2 + 1
	if top >= 8 {
		n += min(top, 248) / 8
	}
	if top >= 256 {
		n += (top-256)/16 + 1
	}
	return n
}

// graphs is the memory of captured CUDA graphs. From v0.21 vLLM's own estimate
// of it, a line through the first two graphs of each kind, is part of the
// budget; before, graphs came out of what the budget leaves.
func (s *settings) graphs(m *model.Model, st *stage) engine.Term {
	if s.eager {
		return engine.Term{}
	}
	experts := false
	for i := st.layers[0]; i < st.layers[1]; i++ {
		experts = experts || m.Layers[i].FFN.MoE()
	}
	class, sizes, layers := GraphClass(s.device, experts, st.mx), s.captureSizes(), int64(st.layers[1]-st.layers[0])
	t := engine.Term{
		Name: GraphRate, Category: engine.Runtime, On: st.on, Outside: !s.version.atLeast(budgetedGraphs),
		Formula: "captured sizes × (layers + 22) × KiB", Source: calibration.Source, Confidence: engine.Measured,
		Inputs: []engine.Input{{Name: "captured_sizes", Value: sizes, From: "default"}, {Name: "layers", Value: layers, From: "config.json"},
			{Name: "experts", Value: count(experts), From: "config.json"}, {Name: "mxfp4", Value: count(st.mx), From: "config.json"}},
	}
	f, ok := s.find(GraphRate, class, "")
	if !t.Outside {
		if e, known := s.find(GraphEstimate, class, ""); known {
			f, ok = e, true
		}
	}
	if !ok {
		f, t.Source, t.Confidence = anyGraphs, "planning bound: no log says it of these devices", engine.Estimated
	}
	units := engine.Bytes(GraphUnits(layers, sizes)) * f.Unit
	t.Bytes, t.Low, t.High = units*engine.Bytes(f.Median), units*engine.Bytes(f.Low), units*engine.Bytes(f.High)
	t.Inputs = append(append(t.Inputs, engine.Input{Name: "kib", Value: f.Median, From: "engine logs"}), f.Inputs()...)
	return t
}

// anyGraphs bounds graphs on devices that no log is of.
var anyGraphs = calibration.Figure{Unit: engine.KiB, Low: 30, Median: 400, High: 3300}

// outside are what a process takes before vLLM reads free memory.
func (s *settings) outside(st *stage) []engine.Term {
	out := []engine.Term{s.measured(Context, "1", engine.Runtime, st.on)}
	if ranks := Ranks(s.tp, s.pp); ranks != "1" {
		out = append(out, s.measured(Collectives, ranks, engine.Runtime, st.on))
	}
	for i := range out {
		out[i].Outside = true
	}
	return out
}
