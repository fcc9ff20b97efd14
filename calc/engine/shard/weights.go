package shard

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// Stored returns the stored size of each tensor under the scheme called name,
// "" or "auto" for what the model stores.
func Stored(m *model.Model, name string) ([]quant.Stored, error) {
	s, err := quant.For(m, name)
	if err != nil {
		return nil, err
	}
	return s.Assign(m)
}

// Weights is how an engine loads a checkpoint.
type Weights struct {
	// Stored is the size of each of the model's tensors.
	Stored []quant.Stored
	// ExpertParallel spreads whole experts over the ranks instead of cutting
	// each.
	ExpertParallel bool
	// MTP loads the multi-token-prediction layers, on the last stage.
	MTP bool
	// VocabMultiple is what vocabulary rows are padded to on each rank, 0 or 1
	// for no padding.
	VocabMultiple int64
	// NoTowers leaves image and audio towers out.
	NoTowers bool
}

// Holds reports whether the rank loads the tensor.
func (r Rank) Holds(m *model.Model, t *model.Tensor, mtp bool) bool {
	switch {
	case t.Group == model.MTP:
		return mtp && r.Last
	case t.Layer >= 0 && t.Group == model.Text:
		return t.Layer >= r.Layers[0] && t.Layer < r.Layers[1]
	case t.Part == model.Head:
		return r.Last
	case t.Part == model.Embedding:
		return r.First || m.Tied && r.Last
	case t.Group == model.Text:
		return r.Last
	}
	return r.First // towers and encoders feed the first stage
}

// Bytes returns what the rank holds of the weights.
func (w Weights) Bytes(m *model.Model, r Rank) int64 {
	var sum int64
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if !r.Holds(m, t, w.MTP) || w.NoTowers && (t.Group == model.Vision || t.Group == model.Audio) {
			continue
		}
		num, den := t.Share(r.TP)
		if w.ExpertParallel && t.Part == model.Expert {
			num, den = (t.Count+r.TP-1)/r.TP, t.Count
		}
		if k := w.VocabMultiple * r.TP; k > 1 && t.Split == model.ByVocab && t.Out > 1 {
			num, den = (t.Out+k-1)/k*w.VocabMultiple, t.Out
		}
		sum += engine.Share(w.Stored[i].Bytes, num, den)
	}
	return sum
}

// Term is the rank's weights as a term.
func (w Weights) Term(m *model.Model, r Rank) engine.Term {
	conf, from := engine.Derived, "config.json"
	if m.Exact {
		conf, from = engine.Exact, "tensor headers"
	}
	return engine.Term{
		Name: "weights", Category: engine.Weights, Bytes: engine.Bytes(w.Bytes(m, r)), On: r.On,
		Formula:    "Σ tensors held by the rank: elements × bits / 8 + scales, ÷ tensor_parallel where the tensor is cut",
		Inputs:     []engine.Input{{Name: "tensors", Value: int64(len(m.Tensors)), From: from}, {Name: "tensor_parallel", Value: r.TP, From: "argument"}},
		Confidence: conf, Source: "checkpoint layout",
	}
}

// ByLayer returns the stored bytes of each decoder layer.
func (w Weights) ByLayer(m *model.Model) []engine.Bytes {
	out := make([]engine.Bytes, len(m.Layers))
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if t.Group == model.Text && t.Layer >= 0 && t.Layer < len(out) {
			out[t.Layer] += engine.Bytes(w.Stored[i].Bytes)
		}
	}
	return out
}
