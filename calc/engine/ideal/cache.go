package ideal

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// elementTypes are the types that the cache's stores are kept in.
type elementTypes struct {
	kv, conv, state quant.CacheType
	fp8MLA          bool // the 656-byte fp8 layout of sparse MLA
}

func cacheTypes(m *model.Model, load engine.Load) (elementTypes, error) {
	var t elementTypes
	// Engines compute in 16 bits unless told otherwise, whatever is stored.
	const base = "bf16"
	name := load.KVCacheType
	if name == "" || name == "auto" {
		name = base
		if m.KVCacheType != "" {
			name = m.KVCacheType
		}
	}
	var err error
	if name == "fp8_ds_mla" {
		t.fp8MLA, name = true, "fp8"
	}
	if t.kv, err = quant.ParseCache(name); err != nil {
		return t, err
	}
	// Convolution tails are activations: a plain cache type that was asked for
	// is theirs too, a quantized one never is.
	if t.conv = t.kv; t.kv.BlockBytes < 2 || t.kv.Block > 1 {
		if t.conv, err = quant.ParseCache(base); err != nil {
			return t, err
		}
	}
	state := "float32"
	if m.StateType != "" {
		state = m.StateType
	}
	if state, err = load.Flags.String("mamba_ssm_cache_dtype", state); err != nil {
		return t, err
	}
	t.state, err = quant.ParseCache(state)
	return t, err
}

// bytes returns what one sequence of tokens tokens keeps in the store.
func (t elementTypes) bytes(m *model.Model, x model.Mixer, s model.Store, tokens int64) int64 {
	if s.Axis == model.PerEncoderToken {
		tokens = m.EncoderTokens
	}
	return s.Entries(tokens) * t.entry(x, s)
}

// entry returns the bytes of one entry. Index keys are fp8 with a float32
// scale for every 128 elements whatever the cache type (vLLM and SGLang
// agree); the fp8 row of sparse MLA and of DeepSeek-V4 keeps the rotary part
// in bf16 and adds scales.
func (t elementTypes) entry(x model.Mixer, s model.Store) int64 {
	switch s.Class {
	case model.IndexKey:
		return s.Elems + (s.Elems+127)/128*4
	case model.ConvState:
		return t.conv.Bytes(s.Elems, s.Heads)
	case model.State, model.CompressorState:
		return t.state.Bytes(s.Elems, s.Heads)
	}
	if t.fp8MLA || t.kv.Name == "fp8" {
		switch x := x.(type) {
		case *model.MLA:
			if t.fp8MLA {
				return x.KVLoRARank + x.KVLoRARank/128*4 + 2*x.RopeDim
			}
		case *model.Compressed:
			return x.HeadDim - x.RopeDim + 2*x.RopeDim + 8
		}
	}
	return t.kv.Bytes(s.Elems, s.Heads)
}

// split returns one sequence's cache (grows with tokens) and state on a rank.
func (t elementTypes) split(m *model.Model, layers []model.Layer, tp, tokens int64) (kv, state int64) {
	var buf []model.Store
	for i := range layers {
		for _, x := range layers[i].Mixers {
			buf = x.AppendStores(buf[:0], tp)
			for _, s := range buf {
				if s.Axis == model.PerSequence {
					state += t.bytes(m, x, s, tokens)
				} else {
					kv += t.bytes(m, x, s, tokens)
				}
			}
		}
	}
	return kv, state
}

func (t elementTypes) terms(m *model.Model, load engine.Load, r rank) []engine.Term {
	if !keepsCache(m) {
		return nil
	}
	kv, state := t.split(m, m.Layers[r.layers[0]:r.layers[1]], r.tp, load.ContextTokens)
	inputs := []engine.Input{
		{Name: "sequences", Value: r.seqs, From: "argument"},
		{Name: "context_tokens", Value: load.ContextTokens, From: "argument"},
		{Name: "tensor_parallel", Value: r.tp, From: "argument"},
	}
	var out []engine.Term
	if kv > 0 {
		out = append(out, engine.Term{
			Name: "kv_cache", Category: engine.KVCache, Bytes: engine.Bytes(kv * r.seqs), On: r.on,
			Formula:    "sequences × Σ " + layersText(r.layers) + ": entry bytes × min(context_tokens, window) ÷ stride",
			Inputs:     inputs,
			Confidence: engine.Exact, Source: "attention kinds",
		})
	}
	if state > 0 {
		out = append(out, engine.Term{
			Name: "recurrent_state", Category: engine.State, Bytes: engine.Bytes(state * r.seqs), On: r.on,
			Formula:    "sequences × Σ " + layersText(r.layers) + ": convolution tail + state",
			Inputs:     inputs[:1:1],
			Confidence: engine.Exact, Source: "state kinds (vLLM mamba_utils shapes)",
		})
	}
	return out
}

// summary describes the fullest rank of the first stage's replica.
func (t elementTypes) summary(m *model.Model, load engine.Load) engine.Cache {
	var c engine.Cache
	if !keepsCache(m) {
		return c
	}
	for _, span := range engine.Stages(len(m.Layers), int(load.PipelineParallel)) {
		layers := m.Layers[span[0]:span[1]]
		kv, state := t.split(m, layers, load.TensorParallel, load.ContextTokens)
		if engine.Bytes(kv+state) <= c.PerSequence {
			continue
		}
		// A stride of at most 128 tokens makes 128 the period of growth.
		next, _ := t.split(m, layers, load.TensorParallel, load.ContextTokens+128)
		zero, _ := t.split(m, layers, load.TensorParallel, 0)
		c = engine.Cache{
			MarginalPerToken: engine.Bytes((next - kv) / 128),
			FixedPerSequence: engine.Bytes(state + zero),
			PerSequence:      engine.Bytes(kv + state),
		}
	}
	return c
}

// keepsCache is false for encoders, which see their whole input at once.
func keepsCache(m *model.Model) bool { return m.Causal || m.EncDec }
