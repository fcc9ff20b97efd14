package shard

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// Types are the types that the stores of a cache are kept in.
type Types struct {
	KV, Conv, State quant.CacheType
	// SparseFP8 is the fp8 layout of sparse MLA: 656 bytes for 512+64.
	SparseFP8 bool
}

// CacheTypes resolves the types that a load asks for: 16 bits for the cache
// unless the checkpoint or the load says otherwise, float32 for states unless
// the configuration or the flag mamba_ssm_cache_dtype does.
func CacheTypes(m *model.Model, load engine.Load) (Types, error) {
	var t Types
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
		t.SparseFP8, name = true, "fp8"
	}
	if t.KV, err = quant.ParseCache(name); err != nil {
		return t, err
	}
	// Convolution tails are activations: a plain cache type that was asked for
	// is theirs too, a quantized one never is.
	if t.Conv = t.KV; t.KV.BlockBytes < 2 || t.KV.Block > 1 {
		if t.Conv, err = quant.ParseCache(base); err != nil {
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
	t.State, err = quant.ParseCache(state)
	return t, err
}

// Bytes returns what one sequence of tokens tokens keeps in the store.
func (t Types) Bytes(m *model.Model, x model.Mixer, s model.Store, tokens int64) int64 {
	if s.Axis == model.PerEncoderToken {
		tokens = m.EncoderTokens
	}
	return s.Entries(tokens) * t.Entry(x, s)
}

// Entry returns the bytes of one entry. Index keys are fp8 with a float32
// scale for every 128 elements whatever the cache type (vLLM and SGLang
// agree); the fp8 row of sparse MLA and of DeepSeek-V4 keeps the rotary part
// in bf16 and adds scales.
func (t Types) Entry(x model.Mixer, s model.Store) int64 {
	switch s.Class {
	case model.IndexKey:
		return s.Elems + (s.Elems+127)/128*4
	case model.ConvState:
		return t.Conv.Bytes(s.Elems, s.Heads)
	case model.State, model.CompressorState:
		return t.State.Bytes(s.Elems, s.Heads)
	}
	if t.SparseFP8 || t.KV.Name == "fp8" {
		switch x := x.(type) {
		case *model.MLA:
			if t.SparseFP8 {
				return x.KVLoRARank + x.KVLoRARank/128*4 + 2*x.RopeDim
			}
		case *model.Compressed:
			return x.HeadDim - x.RopeDim + 2*x.RopeDim + 8
		}
	}
	return t.KV.Bytes(s.Elems, s.Heads)
}

// Split returns one sequence's cache (grows with tokens) and state on a rank.
func (t Types) Split(m *model.Model, layers []model.Layer, tp, tokens int64) (kv, state int64) {
	var buf []model.Store
	for i := range layers {
		for _, x := range layers[i].Mixers {
			buf = x.AppendStores(buf[:0], tp)
			for _, s := range buf {
				if s.Axis == model.PerSequence {
					state += t.Bytes(m, x, s, tokens)
				} else {
					kv += t.Bytes(m, x, s, tokens)
				}
			}
		}
	}
	return kv, state
}

// Cross returns what one sequence keeps of the encoder's output on a rank: the
// part of Split's cache that does not grow with the sequence.
func (t Types) Cross(m *model.Model, layers []model.Layer, tp int64) (n int64) {
	var buf []model.Store
	for i := range layers {
		for _, x := range layers[i].Mixers {
			buf = x.AppendStores(buf[:0], tp)
			for _, s := range buf {
				if s.Axis == model.PerEncoderToken {
					n += t.Bytes(m, x, s, 0)
				}
			}
		}
	}
	return n
}

// ByLayer returns what each decoder layer keeps for the load, over all ranks
// and without what ranks hold twice.
func (t Types) ByLayer(m *model.Model, load engine.Load) []engine.Bytes {
	out := make([]engine.Bytes, len(m.Layers))
	if !KeepsCache(m) {
		return out
	}
	var buf []model.Store
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			buf = x.AppendStores(buf[:0], 1)
			for _, s := range buf {
				out[i] += engine.Bytes(t.Bytes(m, x, s, load.ContextTokens) * load.Sequences)
			}
		}
	}
	return out
}

// KeepsCache is false for encoders, which see their whole input at once.
func KeepsCache(m *model.Model) bool { return m.Causal || m.EncDec }
