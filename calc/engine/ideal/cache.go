package ideal

import (
	"fmt"

	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
)

func cacheTerms(t shard.Types, m *model.Model, load engine.Load, r shard.Rank) []engine.Term {
	if !shard.KeepsCache(m) {
		return nil
	}
	kv, state := t.Split(m, r.LayersOf(m), r.TP, load.ContextTokens)
	cross := t.Cross(m, r.LayersOf(m), r.TP)
	kv -= cross
	inputs := []engine.Input{
		{Name: "sequences", Value: r.Sequences, From: "argument"},
		{Name: "context_tokens", Value: load.ContextTokens, From: "argument"},
		{Name: "tensor_parallel", Value: r.TP, From: "argument"},
	}
	var out []engine.Term
	if kv > 0 {
		out = append(out, engine.Term{
			Name: "kv_cache", Category: engine.KVCache, Bytes: engine.Bytes(kv * r.Sequences), On: r.On,
			Formula:    "sequences × Σ " + layersText(r.Layers) + ": entry bytes × min(context_tokens, window) ÷ stride",
			Inputs:     inputs,
			Confidence: engine.Exact, Source: "attention kinds",
		})
	}
	if cross > 0 {
		out = append(out, engine.Term{
			Name: "cross_attention_cache", Category: engine.KVCache, Bytes: engine.Bytes(cross * r.Sequences), On: r.On,
			Formula:    "sequences × Σ " + layersText(r.Layers) + ": keys and values of the encoder's output × encoder_tokens",
			Inputs:     []engine.Input{inputs[0], {Name: "encoder_tokens", Value: m.EncoderTokens, From: "model"}, inputs[2]},
			Confidence: engine.Exact, Source: "attention kinds",
		})
	}
	if state > 0 {
		out = append(out, engine.Term{
			Name: "recurrent_state", Category: engine.State, Bytes: engine.Bytes(state * r.Sequences), On: r.On,
			Formula:    "sequences × Σ " + layersText(r.Layers) + ": convolution tail + state",
			Inputs:     inputs[:1:1],
			Confidence: engine.Exact, Source: "state kinds (vLLM mamba_utils shapes)",
		})
	}
	return out
}

// summary describes the fullest rank of the first stage's replica.
func summary(t shard.Types, m *model.Model, load engine.Load) engine.Cache {
	var c engine.Cache
	if !shard.KeepsCache(m) {
		return c
	}
	for _, span := range engine.Stages(len(m.Layers), int(load.PipelineParallel)) {
		layers := m.Layers[span[0]:span[1]]
		kv, state := t.Split(m, layers, load.TensorParallel, load.ContextTokens)
		if engine.Bytes(kv+state) <= c.PerSequence {
			continue
		}
		// A stride of at most 128 tokens makes 128 the period of growth.
		next, _ := t.Split(m, layers, load.TensorParallel, load.ContextTokens+128)
		zero, _ := t.Split(m, layers, load.TensorParallel, 0)
		c = engine.Cache{
			MarginalPerToken: engine.Bytes((next - kv) / 128),
			FixedPerSequence: engine.Bytes(state + zero),
			PerSequence:      engine.Bytes(kv + state),
		}
	}
	return c
}

func layersText(span [2]int) string { return fmt.Sprintf("layers %d–%d", span[0], span[1]-1) }
