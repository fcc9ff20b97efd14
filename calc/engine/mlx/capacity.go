package mlx

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// perToken returns what one more prompt token adds to the peak: growing
// caches, scores and the embedded prompt, as LM Studio's context fit counts
// them (full_kv, attention, prompt_inputs; masks are not in its sum).
func (p *planner) perToken() int64 {
	kv, scores := int64(0), int64(0)
	at := pass{tokens: p.step, prompts: 1, keys: p.context}
	var buf []model.Store
	for i := range p.layers {
		for _, x := range p.layers[i].Mixers {
			buf = p.stores(buf[:0], x, p.r.TP)
			for _, st := range buf {
				if st.Axis != model.PerSequence && (st.Window == 0 || p.full) && p.maxKV == 0 {
					kv += p.entryOf(x, st)
				}
			}
			next := at
			next.keys += growth
			more, _ := p.scores(x, next)
			now, _ := p.scores(x, at)
			scores = max(scores, (more-now)/growth)
		}
	}
	if p.towers && p.m.Multimodal {
		kv += p.m.Hidden * p.elem
	}
	return kv + scores
}

// entryOf returns the bytes that a token adds to a store.
func (p *planner) entryOf(x model.Mixer, st model.Store) int64 {
	n := p.entry(x, st)
	if p.bits > 0 && st.Class != model.IndexKey {
		n = p.quantized.Bytes(st.Elems, st.Heads)
	}
	return n / max(1, st.Stride)
}

// capacity fills how many tokens of context one sequence could have on the
// hardware: what LM Studio's runtime prints as fitted.
func (s *settings) capacity(m *model.Model, u *engine.Usage, hw engine.Hardware) {
	if len(u.Budgets) == 0 || u.Devices != 1 || !m.Causal || s.server != serverLMStudio {
		return
	}
	fixed := engine.Bytes(0)
	for i := range u.Terms {
		if t := &u.Terms[i]; t.Category == engine.Weights || t.Category == engine.State {
			fixed += t.Bytes
		}
	}
	p := &planner{settings: s, m: m, layers: m.Layers}
	p.r.TP = 1
	per := p.perToken()
	if per <= 0 || u.Budgets[0] <= fixed {
		return
	}
	n := int64(u.Budgets[0]-fixed) / per / growth * growth
	if m.Context > 0 {
		n = min(n, m.Context)
	}
	u.Cache.CapacityTokens = n
	u.Cache.MaxConcurrency = float64(n) / float64(s.context)
}
