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

// kept is what one sequence keeps on a rank: a cache that grows with its
// tokens, one of what an encoder made, and a state of fixed size.
type kept struct{ kv, cross, state int64 }

func (k kept) total() int64 { return k.kv + k.cross + k.state }

// split sizes what one sequence keeps on a rank.
func (t elementTypes) split(m *model.Model, layers []model.Layer, tp, tokens int64) (k kept) {
	var buf []model.Store
	for i := range layers {
		for _, x := range layers[i].Mixers {
			buf = x.AppendStores(buf[:0], tp)
			for _, s := range buf {
				n := t.bytes(m, x, s, tokens)
				switch s.Axis {
				case model.PerSequence:
					k.state += n
				case model.PerEncoderToken:
					k.cross += n
				default:
					k.kv += n
				}
			}
		}
	}
	return k
}

func (t elementTypes) terms(m *model.Model, load engine.Load, r rank) []engine.Term {
	if !keepsCache(m) {
		return nil
	}
	k := t.split(m, m.Layers[r.layers[0]:r.layers[1]], r.tp, load.ContextTokens)
	inputs := []engine.Input{
		{Name: "sequences", Value: r.seqs, From: "argument"},
		{Name: "context_tokens", Value: load.ContextTokens, From: "argument"},
		{Name: "tensor_parallel", Value: r.tp, From: "argument"},
	}
	var out []engine.Term
	if k.kv > 0 {
		out = append(out, engine.Term{
			Name: "kv_cache", Category: engine.KVCache, Bytes: engine.Bytes(k.kv * r.seqs), On: r.on,
			Formula:    "sequences × Σ " + layersText(r.layers) + ": entry bytes × min(context_tokens, window) ÷ stride",
			Inputs:     inputs,
			Confidence: engine.Exact, Source: "attention kinds",
		})
	}
	if k.cross > 0 {
		out = append(out, engine.Term{
			Name: "cross_attention_cache", Category: engine.KVCache, Bytes: engine.Bytes(k.cross * r.seqs), On: r.on,
			Formula:    "sequences × Σ " + layersText(r.layers) + ": keys and values of the encoder's output × encoder_tokens",
			Inputs:     []engine.Input{inputs[0], {Name: "encoder_tokens", Value: m.EncoderTokens, From: "model"}, inputs[2]},
			Confidence: engine.Exact, Source: "attention kinds",
		})
	}
	if k.state > 0 {
		out = append(out, engine.Term{
			Name: "recurrent_state", Category: engine.State, Bytes: engine.Bytes(k.state * r.seqs), On: r.on,
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
		k := t.split(m, layers, load.TensorParallel, load.ContextTokens)
		if engine.Bytes(k.total()) <= c.PerSequence {
			continue
		}
		// A stride of at most 128 tokens makes 128 the period of growth.
		next := t.split(m, layers, load.TensorParallel, load.ContextTokens+128)
		zero := t.split(m, layers, load.TensorParallel, 0)
		c = engine.Cache{
			MarginalPerToken: engine.Bytes((next.kv - k.kv) / 128),
			FixedPerSequence: engine.Bytes(zero.total()),
			PerSequence:      engine.Bytes(k.total()),
		}
	}
	return c
}

// keepsCache is false for encoders, which see their whole input at once.
func keepsCache(m *model.Model) bool { return m.Causal || m.EncDec }
