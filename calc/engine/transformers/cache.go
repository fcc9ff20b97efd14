package transformers

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
)

// planner plans one rank.
type planner struct {
	*settings
	m      *model.Model
	r      shard.Rank
	layers []model.Layer
}

// stores appends what a mixer keeps: latent attention keeps keys and values by
// head, and convolutions keep a column for each of their taps, not for all but
// one (cache_utils.py, the models' own caches).
func stores(dst []model.Store, x model.Mixer, tp int64) []model.Store {
	if a, ok := x.(*model.MLA); ok {
		dst = a.AppendExpanded(dst, tp)
		if a.Indexer != nil && !a.Indexer.Shared {
			dst = append(dst, model.Store{Class: model.IndexKey, Elems: a.Indexer.HeadDim, Heads: 1})
		}
		return dst
	}
	from := len(dst)
	dst = x.AppendStores(dst, tp)
	if k := model.ConvKernel(x); k > 1 {
		for i := from; i < len(dst); i++ {
			if dst[i].Class == model.ConvState {
				dst[i].Elems = dst[i].Elems / (k - 1) * k
			}
		}
	}
	return dst
}

// entry returns the bytes of one entry of a store in the activations' dtype.
// Delta rules and linear attention keep their state in float32.
func (s *settings) entry(x model.Mixer, st model.Store) int64 {
	if st.Class == model.State {
		switch x.Kind() {
		case model.KindGatedDelta, model.KindKDA, model.KindLightning, model.KindRWKV, model.KindRGLRU:
			return 4 * st.Elems
		}
	}
	return s.cacheElem * st.Elems
}

// tokens returns how many tokens of a sequence of n a store keeps. A dynamic
// cache drops a window's oldest token before the next comes: window-1 stay. A
// static one has the window, or the longest sequence.
func (s *settings) tokens(m *model.Model, st model.Store, n int64) int64 {
	switch {
	case st.Axis == model.PerSequence:
		return 1
	case st.Axis == model.PerEncoderToken:
		return m.EncoderTokens
	case s.cache == static:
		n = max(n, s.maxCache)
		if st.Window > 0 {
			n = min(n, st.Window)
		}
	case st.Window > 0 && s.version >= slidingLayers:
		n = min(n, st.Window-1)
	}
	return n / max(1, st.Stride)
}

// size returns what one sequence of n tokens keeps in a store.
func (s *settings) size(m *model.Model, x model.Mixer, st model.Store, n int64) int64 {
	held := s.tokens(m, st, n)
	if s.cache == quantized && st.Axis == model.PerToken {
		// The prompt is quantized at once; what is generated waits until it is
		// residual-1 long.
		rest := min(s.generated, max(0, n-1))
		if s.residual > 1 {
			rest %= s.residual - 1
		} else {
			rest = 0
		}
		n := (held - rest) * st.Elems
		groups := (n + s.group - 1) / s.group
		return (n*s.bits+7)/8 + groups*2*s.cacheElem + rest*s.entry(x, st)
	}
	return held * s.entry(x, st)
}

// sequence returns one sequence's cache and state on a rank.
func (s *settings) sequence(m *model.Model, layers []model.Layer, tp, n int64) (kv, state int64) {
	if s.cache == "none" {
		return 0, 0
	}
	var buf []model.Store
	for i := range layers {
		for _, x := range layers[i].Mixers {
			buf = stores(buf[:0], x, tp)
			for _, st := range buf {
				if b := s.size(m, x, st, n); st.Axis == model.PerSequence {
					state += b
				} else {
					kv += b
				}
			}
		}
	}
	return kv, state
}

// sequences of the rank's replica, beams included.
func (p *planner) sequences() int64 { return p.r.Sequences * p.copies }

// device is where the rank's own terms are: the host when nothing of the model
// is on a device.
func (p *planner) device() []int {
	if p.onHost() {
		return nil
	}
	return p.r.On
}

// onHost reports that the whole model runs on the processor.
func (s *settings) onHost() bool { return s.layersOnDevice != nil && *s.layersOnDevice == 0 }

func (p *planner) cacheTerms() []engine.Term {
	if !shard.KeepsCache(p.m) {
		return nil
	}
	kv, state := p.sequence(p.m, p.layers, p.r.TP, p.context)
	n := p.sequences()
	on := p.device()
	inputs := []engine.Input{
		{Name: "sequences", Value: n, From: "argument"}, {Name: "context_tokens", Value: p.context, From: "argument"},
	}
	formula, conf := "sequences × Σ layers: tokens × heads × (key + value) × dtype; windows keep window − 1 tokens, latent attention keeps keys and values by head", engine.Exact
	switch p.cache {
	case static:
		formula = "sequences × Σ layers: max_cache_len (windows: at most their size) × heads × (key + value) × dtype, taken at once"
	case quantized:
		formula, conf = "sequences × Σ layers: tokens × elements × nbits / 8 + scale and shift for each group; generated tokens wait in full precision", engine.Derived
		inputs = append(inputs, engine.Input{Name: "nbits", Value: p.bits, From: "flags or default"}, engine.Input{Name: "q_group_size", Value: p.group, From: "flags or default"},
			engine.Input{Name: "residual_length", Value: p.residual, From: "flags or default"})
	}
	var out []engine.Term
	if kv > 0 && p.cacheHost && !p.onHost() {
		on = nil
		two := 2 * kv / int64(max(1, len(p.layers)))
		out = append(out, engine.Term{
			Name: "cache on the device", Category: engine.KVCache, On: p.r.On, Bytes: engine.Bytes(two * n),
			Formula: "cache of the layer that runs and of the next, which is fetched meanwhile", Inputs: inputs, Confidence: engine.Derived, Source: "transformers cache_utils.py offloading",
		})
	}
	if kv > 0 {
		out = append(out, engine.Term{Name: "kv_cache", Category: engine.KVCache, Bytes: engine.Bytes(kv * n), On: on,
			Formula: formula, Inputs: inputs, Confidence: conf, Source: "transformers cache_utils.py"})
	}
	if state > 0 {
		out = append(out, engine.Term{Name: "recurrent_state", Category: engine.State, Bytes: engine.Bytes(state * n), On: p.device(),
			Formula: "sequences × Σ layers: convolution columns (one for each tap) + state", Inputs: inputs[:1:1], Confidence: engine.Exact, Source: "transformers models' caches"})
	}
	return out
}

// fullest returns the summary of the rank with the larger sequence.
func (p *planner) fullest(c engine.Cache) engine.Cache {
	if !shard.KeepsCache(p.m) {
		return c
	}
	kv, state := p.sequence(p.m, p.layers, p.r.TP, p.context)
	if engine.Bytes(kv+state) <= c.PerSequence {
		return c
	}
	next, _ := p.sequence(p.m, p.layers, p.r.TP, p.context+128)
	zero, _ := p.sequence(p.m, p.layers, p.r.TP, 0)
	return engine.Cache{
		MarginalPerToken: engine.Bytes((next - kv) / 128),
		FixedPerSequence: engine.Bytes(state + zero),
		PerSequence:      engine.Bytes(kv + state),
	}
}

// byLayer returns what each decoder layer keeps for the load.
func (s *settings) byLayer(m *model.Model) []engine.Bytes {
	out := make([]engine.Bytes, len(m.Layers))
	if !shard.KeepsCache(m) {
		return out
	}
	for i := range m.Layers {
		kv, state := s.sequence(m, m.Layers[i:i+1], 1, s.context)
		out[i] = engine.Bytes((kv + state) * s.seqs)
	}
	return out
}
