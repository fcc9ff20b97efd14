package sglang

import (
	"slices"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// weightSizes is what one rank holds after loading.
type weightSizes struct {
	stored    int64 // the rank's share of the checkpoint's tensors
	padding   int64 // vocabulary rows and expert tiles beyond those
	absorbed  int64 // W_UK and W_UV of MLA, taken out of kv_b_proj
	rotary    int64 // cos/sin tables
	offloaded int64 // the part of stored that cpu_offload_gb keeps on the host
}

// total is what is on the device.
func (w weightSizes) total() int64 {
	return w.stored + w.padding + w.absorbed + w.rotary - w.offloaded
}

// load sizes every tensor that a rank of the stage holds.
func (s *settings) load(m *model.Model, stored []quant.Stored, r shard.Rank) weightSizes {
	var w weightSizes
	var layers int64
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if !r.Holds(m, t, s.mtp) || t.Part == model.Head && m.Tied {
			continue
		}
		bytes := stored[i].Bytes
		if !stored[i].Quantized && t.Part != model.Router && t.Part != model.Vector {
			bytes = t.Elems() * s.modelSize // plain tensors are converted to the run-time dtype
		}
		num, den := s.cut(t)
		share := ceilDiv(bytes, den) * num
		if num == 1 {
			share = ceilDiv(bytes, den)
		}
		w.stored += share
		w.padding += s.pad(t, &stored[i], share)
		if t.Layer >= 0 && t.Group == model.Text {
			layers += share
		}
	}
	for _, layer := range r.LayersOf(m) {
		for _, x := range layer.Mixers {
			if x, ok := x.(*model.MLA); ok {
				w.absorbed += x.Heads / s.attnTP() * x.KVLoRARank * (x.NopeDim + x.ValDim) * 2
			}
		}
	}
	w.rotary = rotary(m, r)
	w.offloaded = min(layers, s.offload)
	return w
}

// cut returns the part of a tensor on one rank. Attention is cut by the
// ranks of an attention group, experts by whole ones under expert parallelism,
// the rest by all ranks.
func (s *settings) cut(t *model.Tensor) (num, den int64) {
	switch {
	case t.Part == model.Expert:
		return ceilDiv(t.Count+s.redundant, s.ep), max(1, t.Count) * (s.tp / s.ep)
	case t.Part == model.SharedExpert && s.deepEP:
		return 1, 1
	case t.Part == model.Embedding:
		return s.vocabShare(t, s.attnOnly())
	case t.Part == model.Head:
		ranks := s.tp
		if s.dpHead {
			ranks = s.attnTP()
		}
		return s.vocabShare(t, ranks)
	case strings.HasPrefix(t.Name, "ffn_") && t.Part != model.SharedExpert:
		return t.Share(s.denseTP)
	case strings.HasPrefix(t.Name, "ffn_") || t.Group == model.Vision || t.Group == model.Audio:
		return t.Share(s.tp)
	}
	return t.Share(s.attnTP())
}

// attnOnly is how many ranks cut the embedding: none under attention data
// parallelism, where each group looks up its own tokens.
func (s *settings) attnOnly() int64 {
	if s.dpAttention {
		return 1
	}
	return s.tp
}

func (s *settings) vocabShare(t *model.Tensor, ranks int64) (num, den int64) {
	if t.Split != model.ByVocab {
		return t.Share(ranks)
	}
	return 1, ranks
}

// vocabPadding is the multiple to which vocabulary rows are padded for each
// rank (vocab_parallel_embedding.py).
const vocabPadding = 64

// expertTile is the multiple of expert matrices' sides in FlashInfer's MXFP4
// kernels for Blackwell.
const expertTile = 256

// pad returns what the rank allocates beyond its share.
func (s *settings) pad(t *model.Tensor, stored *quant.Stored, share int64) int64 {
	grow := func(n, to int64) int64 { return int64(float64(share) * (float64(to)/float64(n) - 1)) }
	switch {
	case t.Split == model.ByVocab && t.Out > 1:
		return grow(t.Out, roundUp(t.Out, vocabPadding*s.tp))
	case t.Part == model.Expert && strings.HasPrefix(strings.ToUpper(stored.Type), "MXFP4") && s.device != nil && strings.HasPrefix(s.device.Arch, "10."):
		ranks := s.tp / s.ep
		wide, hidden := t.Out, t.In
		if t.Split == model.ByRow {
			wide, hidden = hidden, wide
		}
		return grow(wide*hidden, roundUp(ceilDiv(wide, ranks), expertTile)*ranks*roundUp(hidden, expertTile))
	}
	return 0
}

// rotary is the cos/sin table in float32, one for each rotated width: as many
// rows as positions.
func rotary(m *model.Model, r shard.Rank) (n int64) {
	var seen []int64
	for _, layer := range r.LayersOf(m) {
		for _, x := range layer.Mixers {
			var dim int64
			switch x := x.(type) {
			case *model.Attention:
				if dim = x.KeyDim; m.Rope.Dim > 0 {
					dim = min(dim, m.Rope.Dim)
				}
			case *model.MLA:
				dim = x.RopeDim
			case *model.Compressed:
				dim = x.RopeDim
			}
			if dim > 0 && !m.EncDec && !slices.Contains(seen, dim) {
				seen = append(seen, dim)
				n += min(m.Context, maxSetting) * dim * 4
			}
		}
	}
	return n
}

// terms returns the weight terms of the stage.
func (st *stage) weightTerms(m *model.Model, s *settings) []engine.Term {
	w := st.weights
	conf, from := engine.Derived, "config.json"
	if m.Exact {
		conf, from = engine.Exact, "tensor headers"
	}
	tp := engine.Input{Name: "tp_size", Value: s.tp, From: "argument"}
	attn := engine.Input{Name: "attention_tp_size", Value: s.attnTP(), From: "tp_size ÷ dp_size under enable_dp_attention"}
	all := [...]engine.Term{
		{Name: "weights", Bytes: engine.Bytes(w.stored - w.offloaded), Confidence: conf, Source: "checkpoint layout",
			Formula: "Σ tensors of the rank: elements × bits / 8 + scales, ÷ the ranks that cut the tensor, less what is offloaded",
			Inputs:  []engine.Input{{Name: "tensors", Value: int64(len(m.Tensors)), From: from}, tp, attn, {Name: "ep_size", Value: s.ep, From: "argument or default"}}},
		{Name: "weight padding", Bytes: engine.Bytes(w.padding), Confidence: engine.Derived, Source: "sglang vocab_parallel_embedding.py, quantization/mxfp4.py",
			Formula: "vocabulary to a multiple of 64 × ranks; MXFP4 experts to tiles of 256 on Blackwell", Inputs: []engine.Input{tp}},
		{Name: "absorbed MLA projections", Bytes: engine.Bytes(w.absorbed), Confidence: engine.Derived, Source: "sglang models/deepseek_v2.py",
			Formula: "layers × heads / attention ranks × kv_lora_rank × (nope + value) × 2", Inputs: []engine.Input{attn}},
		{Name: "rotary tables", Bytes: engine.Bytes(w.rotary), Confidence: engine.Derived, Source: "sglang layers/rotary_embedding.py",
			Formula: "positions × rotary dimensions × 4", Inputs: []engine.Input{{Name: "max_position_embeddings", Value: m.Context, From: from}}},
	}
	out := make([]engine.Term, 0, len(all)+2)
	for _, t := range all {
		if t.Bytes != 0 {
			t.Category, t.On = engine.Weights, st.rank.On
			out = append(out, t)
		}
	}
	out = append(out, st.loading)
	if w.offloaded > 0 {
		out = append(out, engine.Term{Name: "weights on the host", Category: engine.Weights, Bytes: engine.Bytes(w.offloaded * int64(len(st.rank.On))),
			Confidence: engine.Derived, Source: "sglang utils/offloader.py", Formula: "ranks × min(weights of decoder layers, cpu_offload_gb)",
			Inputs: []engine.Input{{Name: "cpu_offload_bytes", Value: s.offload, From: "flag"}, {Name: "ranks", Value: int64(len(st.rank.On)), From: "argument"}}})
	}
	return out
}
