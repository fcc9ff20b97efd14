package trtllm

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// held returns the bytes of the weights on a rank. With attention DP every
// rank has the whole of everything but the routed experts.
func (s *settings) held(m *model.Model, stored []quant.Stored, r shard.Rank) int64 {
	var sum int64
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if !r.Holds(m, t, s.mtp) {
			continue
		}
		num, den := t.Share(s.attention)
		switch {
		case t.Part == model.Expert:
			num, den = paged.CeilDiv(t.Count, s.moeEP), t.Count*s.moeTP
		case t.Split == model.ByVocab && t.Out > 1:
			num, den = paged.CeilDiv(t.Out, s.attention), t.Out
		}
		sum += engine.Share(stored[i].Bytes, num, den)
	}
	return sum
}

// weightTerms are the rank's weights and what loading adds to them.
func (s *settings) weightTerms(m *model.Model, st *stage) []engine.Term {
	conf, from := engine.Derived, "config.json"
	if m.Exact {
		conf, from = engine.Exact, "tensor headers"
	}
	out := []engine.Term{{
		Name: "weights", Category: engine.Weights, Bytes: engine.Bytes(st.weights), On: st.On, Confidence: conf, Source: "checkpoint layout",
		Formula: "Σ tensors held by the rank: elements × bits / 8 + scales, ÷ the ranks that cut the tensor; experts ÷ (moe_tp × moe_ep)",
		Inputs: []engine.Input{
			{Name: "tensors", Value: int64(len(m.Tensors)), From: from}, {Name: "attention_ranks", Value: s.attention, From: "argument"},
			{Name: "moe_tensor_parallel_size", Value: s.moeTP, From: "argument or default"}, {Name: "moe_expert_parallel_size", Value: s.moeEP, From: "argument or default"},
		},
	}}
	var absorbed int64
	for _, l := range st.LayersOf(m) {
		for _, x := range l.Mixers {
			if x, ok := x.(*model.MLA); ok {
				absorbed += x.Heads / s.attention * x.KVLoRARank * (x.NopeDim + x.ValDim) * 2
			}
		}
	}
	if absorbed > 0 {
		out = append(out, engine.Term{
			Name: "absorbed MLA projections", Category: engine.Weights, Bytes: engine.Bytes(absorbed), On: st.On, Confidence: engine.Derived,
			Formula: "layers × heads ÷ ranks × kv_lora_rank × (nope + value) × 2", Source: "TensorRT-LLM _torch/modules/attention.py",
			Inputs: []engine.Input{{Name: "attention_ranks", Value: s.attention, From: "argument"}},
		})
	}
	return out
}

// reserve are what a rank holds beside weights and cache.
func (s *settings) reserve(m *model.Model, st *stage) []engine.Term {
	const size = 2
	in := engine.Input{Name: "max_num_tokens", Value: s.tokens, From: "argument or default"}
	act := paged.ActivationTerm(paged.Activation(m, st.LayersOf(m), s.attention, s.tokens, size), in, st.On, "TensorRT-LLM profile run at max_num_tokens (MATH §6)")
	switch {
	case s.adp:
		act.High *= 2 // experts see the tokens of all ranks
	case s.engine:
		act.Source, act.High = "TensorRT engine's activation memory, fixed at build (MATH §6)", act.High*2
	}
	out := []engine.Term{act}
	if st.Last {
		out = append(out, s.logits(m, st))
	}
	out = append(out, paged.Context(st.On))
	if t, ok := paged.Communicators(s.tp*s.pp*s.cp, st.On); ok {
		out = append(out, t)
	}
	if t, ok := paged.Graphs(s.graphs, st.On); ok {
		out = append(out, t)
	}
	return out
}

// logits are the rows that a step scores: the requests that the profile run
// makes, or the largest captured batch; an engine's decoder has buffers for
// max_batch_size.
func (s *settings) logits(m *model.Model, st *stage) engine.Term {
	rows, formula := max(paged.CeilDiv(s.tokens, max(1, s.maxLen-1)), s.graphBatch), "rows × vocabulary × 6"
	if s.engine {
		rows, formula = s.batch, "max_batch_size × vocabulary × 6"
	}
	n := paged.Mul(rows, max(1, m.Vocab))
	return engine.Term{
		Name: "logits", Category: engine.Workspace, On: st.On, Confidence: engine.Estimated, Formula: formula, Source: "TensorRT-LLM sampler",
		Bytes: engine.Bytes(paged.Mul(n, 6)), Low: engine.Bytes(paged.Mul(n, 4)), High: engine.Bytes(paged.Mul(n, 14)),
		Inputs: []engine.Input{{Name: "rows", Value: rows, From: "argument or default"}, {Name: "vocab_size", Value: m.Vocab, From: "config.json"}},
	}
}
