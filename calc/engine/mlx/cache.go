package mlx

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
)

// keep is what one store of a layer takes: bytes that stay, and the most while
// the prompt is read.
type keep struct{ held, peak int64 }

// planner plans one rank.
type planner struct {
	*settings
	m      *model.Model
	r      shard.Rank
	layers []model.Layer
	// now is what one sequence of the load keeps.
	now held
}

// fullWindows are the model types whose windows mlx-lm does not use: it keeps
// all tokens of their sliding layers.
var fullWindows = map[string]bool{
	"gemma2": true, "mistral": true, "mixtral": true, "phi3": true, "phimoe": true, "starcoder2": true,
	"qwen2": true, "qwen2_moe": true, "qwen3": true, "qwen3_moe": true,
}

// slides reports whether any layer has a rotating cache.
func (s *settings) slides(m *model.Model) bool {
	if s.full {
		return false
	}
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if k := x.Kind(); k == model.KindSliding || k == model.KindChunked || k == model.KindCompressed {
				return true
			}
		}
	}
	return false
}

// ownCaches reports a model that makes caches of its own kinds, for which
// max_kv_size does nothing.
func (s *settings) ownCaches(m *model.Model) bool {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch k := x.Kind(); {
			case k == model.KindFull, k == model.KindMLA, k == model.KindNone:
			case k == model.KindSliding && s.full:
			default:
				return true
			}
		}
	}
	return false
}

// stores appends what a mixer keeps: MLA before mlx-lm 0.30.6 by head.
func (s *settings) stores(dst []model.Store, x model.Mixer, tp int64) []model.Store {
	if a, ok := x.(*model.MLA); ok && !s.rules.latent {
		return a.AppendExpanded(dst, tp)
	}
	return x.AppendStores(dst, tp)
}

// entry returns the bytes of one entry of a store while it is not quantized.
// Gated delta nets, KDA, linear attention and RWKV keep their state in
// float32; other states are activations, and so are index keys.
func (s *settings) entry(x model.Mixer, st model.Store) int64 {
	if st.Class == model.State || st.Class == model.CompressorState {
		switch x.Kind() {
		case model.KindGatedDelta, model.KindKDA, model.KindLightning, model.KindRWKV:
			return 4 * st.Elems
		}
	}
	return s.elem * st.Elems
}

// size returns what one sequence of tokens, generated of them made by the
// model, keeps in a store.
func (s *settings) size(m *model.Model, x model.Mixer, st model.Store, tokens, generated int64) keep {
	entry := s.entry(x, st)
	switch {
	case st.Axis == model.PerSequence:
		return keep{entry, entry}
	case tokens < 1:
		return keep{}
	case st.Stride > 1:
		n := up(tokens / st.Stride)
		return keep{n * entry, n * entry}
	}
	window := st.Window
	if s.full {
		window = 0
	}
	if s.maxKV > 0 {
		window = s.maxKV
	}
	prompt := max(1, tokens-generated)
	if window > 0 {
		held, peak := rotating(prompt, generated, s.step, window)
		return keep{held * entry, peak * entry}
	}
	n := grown(prompt, generated, s.step)
	k := keep{n * entry, n * entry}
	if s.bits > 0 && tokens > s.start && (st.Class == model.Key || st.Class == model.Value || st.Class == model.Latent) {
		k.held = n * s.quantized.Bytes(st.Elems, st.Heads)
		// The tokens before start were kept in 16 bits while they came.
		k.peak = max(k.held, grown(min(s.start, prompt), 0, s.step)*entry)
	}
	return k
}

// held is what one sequence keeps: growing caches, states, and how much more
// rotating caches had while the prompt was read.
type held struct{ kv, state, swell int64 }

func (s *settings) sequence(m *model.Model, layers []model.Layer, tp, tokens, generated int64) (h held) {
	var buf []model.Store
	for i := range layers {
		for _, x := range layers[i].Mixers {
			buf = s.stores(buf[:0], x, tp)
			for _, st := range buf {
				k := s.size(m, x, st, tokens, generated)
				if st.Axis == model.PerSequence {
					h.state += k.held
					continue
				}
				h.kv += k.held
				h.swell += k.peak - k.held
			}
		}
	}
	return h
}

// cacheTerms returns the caches and states of the rank's sequences.
func (p *planner) cacheTerms() []engine.Term {
	if !p.m.Causal {
		return nil
	}
	h, n := p.now, p.r.Sequences
	inputs := []engine.Input{
		{Name: "sequences", Value: n, From: "argument"},
		{Name: "context_tokens", Value: p.context, From: "argument"},
		{Name: "prefill_step_size", Value: p.step, From: "flags or default"},
	}
	formula, conf := "sequences × Σ layers: tokens rounded up by the cache's growth of 256 × entry bytes; windows stop at their size", engine.Exact
	if p.bits > 0 {
		inputs = append(inputs, engine.Input{Name: "kv_bits", Value: p.bits, From: "flags"}, engine.Input{Name: "kv_group_size", Value: p.group, From: "flags"})
		formula += "; entry = elements × kv_bits / 8 + 4 bytes for each group"
	}
	if n > 1 {
		conf = engine.Derived // batches pad shorter sequences to the longest
	}
	var out []engine.Term
	if h.kv > 0 {
		out = append(out, engine.Term{
			Name: "kv_cache", Category: engine.KVCache, Bytes: engine.Bytes(h.kv * n), On: p.r.On,
			Formula: formula, Inputs: inputs, Confidence: conf, Source: "mlx-lm models/cache.py KVCache, RotatingKVCache, QuantizedKVCache",
		})
	}
	if h.state > 0 {
		out = append(out, engine.Term{
			Name: "recurrent_state", Category: engine.State, Bytes: engine.Bytes(h.state * n), On: p.r.On,
			Formula: "sequences × Σ layers: convolution tail + state", Inputs: inputs[:1:1],
			Confidence: engine.Exact, Source: "mlx-lm models/cache.py ArraysCache",
		})
	}
	if h.swell > 0 {
		out = append(out, engine.Term{
			Name: "window caches while reading a prompt", Category: engine.Workspace, Bytes: engine.Bytes(h.swell * p.prompts), On: p.r.On,
			Formula:    "prompts read at once × Σ sliding layers: (window − 1 + prefill step − window) × entry bytes; keys before they are quantized",
			Inputs:     inputs,
			Confidence: engine.Derived, Source: "mlx-lm models/cache.py RotatingKVCache",
		})
	}
	return out
}

// fullest returns the summary of the rank with the larger sequence.
func (p *planner) fullest(c engine.Cache) engine.Cache {
	if !p.m.Causal {
		return c
	}
	at := func(tokens int64) held {
		return p.sequence(p.m, p.layers, p.r.TP, tokens, min(p.generated, max(0, tokens-1)))
	}
	now := at(p.context)
	if engine.Bytes(now.kv+now.state) <= c.PerSequence {
		return c
	}
	next := p.sequence(p.m, p.layers, p.r.TP, p.context+64*growth, p.generated)
	return engine.Cache{
		// Growth comes in whole steps; their average over many is the slope.
		MarginalPerToken: engine.Bytes((next.kv - now.kv) / (64 * growth)),
		FixedPerSequence: engine.Bytes(now.state),
		PerSequence:      engine.Bytes(now.kv + now.state),
	}
}

// byLayer returns what each decoder layer keeps for the load.
func (s *settings) byLayer(m *model.Model, load engine.Load) []engine.Bytes {
	out := make([]engine.Bytes, len(m.Layers))
	if !m.Causal {
		return out
	}
	for i := range m.Layers {
		h := s.sequence(m, m.Layers[i:i+1], 1, s.context, s.generated)
		out[i] = engine.Bytes((h.kv + h.state) * s.seqs)
	}
	return out
}
