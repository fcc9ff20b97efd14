package transformers

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// heads is what attention of a layer works with on a rank.
type heads struct{ query, keyValue, key, value int64 }

func (p *planner) headsOf(x model.Mixer) (h heads, window int64, ok bool) {
	switch a := x.(type) {
	case *model.Attention:
		return heads{max(1, a.Heads/p.r.TP), max(1, a.KVHeads/p.r.TP), a.KeyDim, a.ValueDim}, a.Window, true
	case *model.MLA:
		n := max(1, a.Heads/p.r.TP)
		return heads{n, n, a.NopeDim + a.RopeDim, a.ValDim}, 0, true
	}
	return h, 0, false
}

// phase returns the widest moment of a layer over a pass of tokens (all
// sequences together) against keys of one sequence: bytes without scores, and
// those of the scores or of what stands for them.
func (p *planner) phase(l *model.Layer, tokens, keys int64) (bytes, scores int64) {
	h, e, tp, n := p.m.Hidden, p.elem, p.r.TP, p.sequences()
	for _, x := range l.Mixers {
		a, window, ok := p.headsOf(x)
		if !ok {
			// Recurrent mixers: projections and the float32 of the scan.
			_, state := p.sequence(p.m, []model.Layer{{Mixers: []model.Mixer{x}}}, tp, 0)
			bytes = max(bytes, tokens*(4*e+8)*h+state)
			continue
		}
		k := keys
		if window > 0 {
			k = min(k, window-1+tokens/max(1, n))
		}
		own := tokens * e * (a.query*(a.key+a.value) + a.keyValue*(a.key+a.value))
		s := int64(0)
		switch {
		case p.attention == "eager":
			// Scores, their float32 softmax and its copy in the dtype.
			s = a.query * tokens * k * (2*e + 4)
		case p.attention == "sdpa" && n > 1:
			// Padded batches have a mask, with which keys and values are
			// repeated for every query head.
			s = n*a.query*k*(a.key+a.value)*e + tokens*k*e
		}
		bytes, scores = max(bytes, own), max(scores, s)
	}
	bytes += tokens * (2*e + 4) * h // residual, normed row and its float32
	f := l.FFN
	wide := func(w int64, gated bool) int64 {
		if gated {
			return 3 * w / tp
		}
		return 2 * w / tp
	}
	per := 2*h + wide(f.Width, f.Gated) + wide(f.SharedWidth, !f.PlainExperts)
	if f.MoE() {
		per += f.TopK * (2*h + wide(f.ExpertWidth, !f.PlainExperts))
	}
	return max(bytes, tokens*e*per), scores
}

// logits returns the bytes of the head's output and of its float32 copy.
func (p *planner) logits(prompt int64) (low, mid, high int64) {
	rows := p.sequences()
	if p.lastLogits || !p.m.Causal {
		n := rows * p.m.Vocab * (p.elem + 4)
		return n, n, n
	}
	rows *= prompt
	if p.version >= lastToken {
		// Asked for all rows: in the dtype, widened only for the last.
		n := rows * p.m.Vocab * p.elem
		return n, n, n
	}
	return rows * p.m.Vocab * 4, rows * p.m.Vocab * 4, rows * p.m.Vocab * (4 + p.elem)
}

// copyOf returns what PyTorch makes to append a token to a dynamic cache: the
// largest keys or values again; for a quantized cache both widened.
func (p *planner) copyOf() int64 {
	var largest int64
	var buf []model.Store
	for i := range p.layers {
		for _, x := range p.layers[i].Mixers {
			buf = stores(buf[:0], x, p.r.TP)
			sum := int64(0)
			for _, st := range buf {
				if st.Axis != model.PerToken {
					continue
				}
				n := p.tokens(p.m, st, p.context) * p.entry(x, st)
				if sum += n; p.cache == dynamic {
					largest = max(largest, n)
				}
			}
			if p.cache == quantized {
				largest = max(largest, 2*sum)
			}
		}
	}
	return largest * p.sequences()
}

// workTerms returns the peak of a forward pass and what comes beside it.
func (p *planner) workTerms() []engine.Term {
	prompt := max(1, p.context-p.generated)
	tokens := p.chunk * p.sequences()
	var peak, scores int64
	for i := range p.layers {
		b, s := p.phase(&p.layers[i], tokens, prompt)
		peak, scores = max(peak, b), max(scores, s)
	}
	on := p.device()
	inputs := []engine.Input{
		{Name: "tokens", Value: tokens, From: "prompt × sequences, or prefill_chunk_size"}, {Name: "keys", Value: prompt, From: "context_tokens − max_new_tokens"},
	}
	out := []engine.Term{{
		Name: "forward pass", Category: engine.Workspace, On: on,
		Bytes: engine.Bytes(peak), Low: engine.Bytes(peak / 2), High: engine.Bytes(peak + peak/2),
		Formula: "max over layers of tokens × (attention inputs, or feed-forward) × element; the whole prompt is one pass",
		Inputs:  inputs, Confidence: engine.Estimated, Source: "transformers modeling code; allocator reuse is not modelled",
	}}
	add := func(name, formula, source string, conf engine.Confidence, low, mid, high int64) {
		if high > 0 {
			out = append(out, engine.Term{Name: name, Category: engine.Workspace, On: on, Bytes: engine.Bytes(mid), Low: engine.Bytes(low), High: engine.Bytes(high),
				Formula: formula, Inputs: inputs, Confidence: conf, Source: source})
		}
	}
	if p.attention == "eager" {
		add("attention scores", "heads × tokens × keys × (2 × element + 4)", "transformers eager_attention_forward", engine.Derived, scores, scores, scores)
	} else {
		add("repeated keys and values", "sequences × query heads × keys × (key + value) × element, and the mask of a padded batch", "transformers integrations/sdpa_attention.py", engine.Estimated, 0, scores, scores)
	}
	if p.r.Last && p.m.Vocab > 0 && p.m.Causal {
		low, mid, high := p.logits(p.chunk)
		formula := "sequences × vocabulary × (element + 4): generate() asks for the last token's logits"
		if !p.lastLogits {
			formula = "tokens × vocabulary × 4: logits of the whole prompt, widened to float32"
		}
		add("logits", formula, "transformers generation/utils.py logits_to_keep", engine.Derived, low, mid, high)
	}
	if p.cache == dynamic || p.cache == quantized {
		n := p.copyOf()
		add("cache copy", "largest keys or values of a layer again while torch.cat appends to them; both widened twice when they are quantized", "transformers cache_utils.py", engine.Derived, n, n, n)
	}
	return out
}

// addRuntime adds what the process holds on a device beside tensors.
func (p *planner) addRuntime(u *engine.Usage, hw engine.Hardware) {
	name, mid, low, high := "CUDA context", 460, 250, 620
	if len(hw.Devices) > 0 {
		switch hw.Devices[0].Vendor {
		case "amd":
			name, mid, low, high = "HIP context", 800, 300, 1500
		case "apple", "cpu", "intel":
			name, mid, low, high = "process", 500, 300, 1000
		}
	}
	if p.onHost() {
		name, mid, low, high = "process", 500, 300, 1000
	}
	u.Terms = append(u.Terms, engine.Term{
		Name: name, Category: engine.Runtime, On: p.device(), Confidence: engine.Estimated, Source: "planning range; drivers and loaded kernels differ",
		Bytes: engine.Bytes(mid) * engine.MiB, Low: engine.Bytes(low) * engine.MiB, High: engine.Bytes(high) * engine.MiB, Formula: "context, loaded kernels, libraries' workspaces",
	})
	if p.onHost() {
		return
	}
	var moving engine.Bytes
	for i := range u.Terms {
		if t := &u.Terms[i]; (t.Category == engine.Workspace || t.Category == engine.KVCache && p.cache == dynamic) && len(t.On) > 0 && len(p.r.On) > 0 && t.On[0] == p.r.On[0] {
			moving += t.Bytes
		}
	}
	u.Terms = append(u.Terms, engine.Term{
		Name: "allocator slack", Category: engine.Runtime, On: p.r.On, Confidence: engine.Estimated, Source: "pytorch CUDACachingAllocator; PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True lowers it",
		Bytes: moving / 20, Low: 0, High: moving / 4, Formula: "blocks that torch holds and no tensor uses: a twentieth of workspace and growing cache, up to a quarter",
	})
}
