package mlx

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// fusedHead reports head sizes for which MLX's Metal attention reads a prompt
// without making the scores (scaled_dot_product_attention.cpp use_fallback).
// Others, 256 among them, make the whole matrix.
func (s *settings) fusedHead(key, value int64) bool {
	return s.rules.fused && s.bits == 0 && key == value && (key == 64 || key == 80 || key == 128)
}

// pass is one pass over a prompt: tokens of all prompts in it, and how many
// tokens the longest attends to.
type pass struct{ tokens, prompts, keys int64 }

func (p *planner) lastPass() pass {
	prompt := max(1, p.context-p.generated)
	n := max(1, min(p.step, prompt-1))
	return pass{tokens: n * p.prompts, prompts: p.prompts, keys: prompt}
}

// scores returns what attention makes beside its inputs and outputs: the
// scores of all heads with their mask, and for latent attention the part of
// the scores that comes from rotary keys, before and after the mask, with keys
// and values by head and their transposed copies.
func (p *planner) scores(x model.Mixer, at pass) (matrix, mask int64) {
	switch a := x.(type) {
	case *model.Attention:
		keys := at.keys
		if a.Window > 0 && !p.full {
			keys = min(keys, a.Window-1+at.tokens/at.prompts)
		}
		mask = at.tokens * keys
		if p.fusedHead(a.KeyDim, a.ValueDim) {
			if a.Window > 0 && keys < at.keys {
				return 0, mask
			}
			return 0, 0
		}
		return max(1, a.Heads/p.r.TP) * at.tokens * keys * p.elem * p.copies(), mask
	case *model.MLA:
		heads := max(1, a.Heads/p.r.TP)
		one := heads * at.tokens * at.keys * p.elem
		if !p.rules.latent {
			return one * p.copies(), at.tokens * at.keys
		}
		return 2*one + 2*heads*(a.NopeDim+a.ValDim)*at.keys*at.prompts*p.elem, at.tokens * at.keys
	}
	return 0, 0
}

// copies of the scores: before and after the softmax in MLX before 0.22.
func (s *settings) copies() int64 {
	if s.rules.fused {
		return 1
	}
	return 2
}

// phase is the widest moment of a layer: the larger of mixer and feed-forward.
func (p *planner) phase(l *model.Layer, at pass) (mixer, ffn int64) {
	h, e, tp := p.m.Hidden, p.elem, p.r.TP
	for _, x := range l.Mixers {
		n := int64(0)
		switch a := x.(type) {
		case *model.Attention:
			q := a.Heads * a.KeyDim / tp
			if a.OutputGate {
				q *= 2
			}
			n = at.tokens * e * (q + a.Heads*a.ValueDim/tp + max(1, a.KVHeads/tp)*(a.KeyDim+a.ValueDim))
		case *model.MLA:
			n = at.tokens * e * (a.QLoRARank + a.KVLoRARank + a.RopeDim + a.Heads*(a.NopeDim+a.RopeDim+a.ValDim)/tp)
		default:
			// Recurrent mixers: input, convolved input, gate and output.
			n = at.tokens * e * 4 * tail(x, tp)
		}
		matrix, mask := p.scores(x, at)
		mixer = max(mixer, n+matrix+mask)
	}
	mixer += at.tokens * e * 2 * h
	f := l.FFN
	wide := func(w int64, gated bool) int64 {
		if gated {
			return 3 * w / tp
		}
		return 2 * w / tp
	}
	per := 2*h + wide(f.Width, f.Gated) + wide(f.SharedWidth, !f.PlainExperts)
	if f.MoE() {
		// Tokens are gathered by expert, and their outputs weighted.
		per += f.TopK * (2*h + wide(f.ExpertWidth, !f.PlainExperts))
	}
	return mixer, at.tokens * e * per
}

// tail returns the elements of a column of a mixer's convolution.
func tail(x model.Mixer, tp int64) int64 {
	var buf [4]model.Store
	conv, state := int64(0), int64(0)
	for _, s := range x.AppendStores(buf[:0], tp) {
		switch {
		case s.Class == model.ConvState:
			conv = max(conv, s.Elems/3) // kernels of 4 keep 3 columns
		case s.Class == model.State && s.Heads > 0:
			state = max(state, s.Elems/max(1, s.Heads))
		}
	}
	return max(conv, min(state, 1<<16))
}

// workTerms returns the peak of reading a prompt, and what the head makes.
func (p *planner) workTerms() []engine.Term {
	at := p.lastPass()
	var peak, scores, act, grow, all int64
	var buf []model.Store
	for i := range p.layers {
		mixer, ffn := p.phase(&p.layers[i], at)
		peak, act = max(peak, mixer, ffn), max(act, ffn)
		layer := int64(0)
		for _, x := range p.layers[i].Mixers {
			matrix, _ := p.scores(x, at)
			scores = max(scores, matrix)
			buf = p.stores(buf[:0], x, p.r.TP)
			for _, st := range buf {
				if st.Axis != model.PerSequence {
					layer += p.size(p.m, x, st, p.context, p.generated).held
				}
			}
		}
		grow, all = max(grow, layer), all+layer
	}
	// While a cache grows the old buffer lives beside the new one, layer after
	// layer; a runtime that evaluates them at once holds all.
	high := peak
	if p.m.Causal {
		peak = max(peak, grow*p.r.Sequences+at.tokens*p.elem*2*p.m.Hidden)
		high = max(peak, all*p.r.Sequences)
	}
	out := []engine.Term{{
		Name: "prompt pass", Category: engine.Workspace, On: p.r.On,
		Bytes: engine.Bytes(peak), Low: engine.Bytes(peak), High: engine.Bytes(high + act),
		Formula: "max over layers: attention (inputs + heads × tokens × keys × element where the head size has no fused kernel), feed-forward, or the old buffer of a growing cache",
		Inputs: []engine.Input{
			{Name: "tokens", Value: at.tokens, From: "prefill_step_size × prompts"}, {Name: "keys", Value: at.keys, From: "context_tokens"},
			{Name: "scores_bytes", Value: scores, From: "model"},
		},
		Confidence: engine.Derived, Source: "mlx backend/metal/scaled_dot_product_attention.cpp, mlx-lm generate.py",
	}, flight(p.r.On)}
	if p.r.Last && p.m.Causal && p.m.Vocab > 0 {
		out = append(out, engine.Term{
			Name: "logits", Category: engine.Workspace, On: p.r.On,
			Bytes:   engine.Bytes(p.r.Sequences * p.m.Vocab * (p.elem + 4)),
			Formula: "sequences × vocabulary × (element + 4): logits of last tokens and their log-probabilities",
			Inputs:  []engine.Input{{Name: "sequences", Value: p.r.Sequences, From: "argument"}, {Name: "vocabulary", Value: p.m.Vocab, From: "model"}}, Confidence: engine.Derived, Source: "mlx-lm generate.py generate_step",
		})
	}
	if p.towers && p.m.Multimodal && p.r.First {
		out = append(out, engine.Term{
			Name: "prompt embeddings", Category: engine.Workspace, On: p.r.On,
			Bytes:   engine.Bytes(at.keys * p.m.Hidden * p.elem * p.prompts),
			Formula: "prompts × prompt tokens × hidden × element: the whole prompt is embedded before it is cut into passes",
			Inputs:  []engine.Input{{Name: "tokens", Value: at.keys, From: "context_tokens"}, {Name: "hidden", Value: p.m.Hidden, From: "model"}}, Confidence: engine.Derived, Source: "LM Studio mlx-engine context fit (prompt_inputs)",
		})
	}
	return out
}
