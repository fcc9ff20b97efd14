package llamacpp

import "hwledger/calc/model"

// feedForward appends a layer's feed-forward network on x.
func (b *builder) feedForward(f *model.FFN, x id, layer int) id {
	switch {
	case f.MoE() && f.Width > 0:
		y := b.mlp(x, f.Width, f.Gated, f.Bias)
		return b.g.same(b.experts(f, x, layer), y)
	case f.MoE():
		return b.experts(f, x, layer)
	}
	return b.mlp(x, f.Width, f.Gated, f.Bias)
}

// mlp appends a dense network of the given width.
func (b *builder) mlp(x id, width int64, gated, bias bool) id {
	g := &b.g
	s := g.shape(x)
	wide := shape{width, s[1], s[2], s[3]}
	var h id
	switch {
	case gated && b.q.fusedGateUp:
		h = g.op(wide, b.linear(x, 2*width, bias))
	case gated:
		gate := b.linear(x, width, bias)
		up := b.linear(x, width, bias)
		h = g.op(wide, gate, up)
	default:
		h = g.same(b.linear(x, width, bias))
		for range b.q.extraActs {
			h = g.same(h)
		}
	}
	return b.linear(h, b.d, bias)
}

// experts appends the router, the chosen experts and the shared expert.
func (b *builder) experts(f *model.FFN, x id, layer int) id {
	g := &b.g
	t := g.shape(x)[1]
	k, w := f.TopK, f.ExpertWidth
	topk, weights := b.route(f, x)
	in := g.view(x, shape{b.d, 1, t, 1})
	if b.q.weightFirst {
		in = g.op(shape{b.d, k, t, 1}, in)
		in = g.same(in, weights)
	}
	dev := g.dev
	g.dev = b.s.placed.expert(layer, dev)
	branch := func(src id, out int64) id {
		y := b.expert(g.op(shape{out, k, t, 1}, src, topk), g.shape(src)[0])
		if f.ExpertBias {
			y = g.on(g.same(y, topk), t, 4*out*f.Experts)
		}
		return y
	}
	var h id
	if f.PlainExperts {
		h = g.same(branch(in, w))
		for range b.q.extraActs {
			h = g.same(h)
		}
	} else {
		// The gate's product comes before the up-projection's.
		gate := branch(in, w)
		up := branch(in, w)
		h = g.op(shape{w, k, t, 1}, gate, up)
	}
	down := branch(h, b.d)
	g.dev = dev
	if !b.q.weightFirst {
		down = g.same(down, weights)
	}
	out := b.sumExperts(down, k, t)
	b.gatherNext()
	if f.SharedWidth > 0 {
		out = b.shared(f, x, out)
	}
	return out
}

// route appends the router: the chosen experts and their weights.
func (b *builder) route(f *model.FFN, x id) (topk, weights id) {
	g := &b.g
	t := g.shape(x)[1]
	e, k := f.Experts, f.TopK
	logits := b.matrix(g.op(shape{e, t, 1, 1}, x), b.d)
	if f.RouterBias {
		logits = b.vector(g.same(logits))
	}
	probs := logits
	late := b.q.softmaxAfterTopK
	if !late {
		probs = g.same(logits)
	}
	flat := g.view(probs, shape{1, e, t, 1})
	choose := probs
	if b.q.weightFirst {
		choose = logits
	}
	if f.RouterCorrection {
		choose = b.vector(g.same(probs))
	}
	sorted := g.op(shape{e, t, 1, 1}, choose)
	topk = g.view(sorted, shape{k, t, 1, 1})
	weights = g.op(shape{1, k, t, 1}, flat, topk)
	if late || b.q.normTopK(f) {
		y := g.view(weights, shape{k, t, 1, 1})
		if late {
			y = g.same(y)
		} else {
			sum := g.same(g.op(shape{1, t, 1, 1}, y))
			y = g.same(y, sum)
		}
		weights = g.view(y, shape{1, k, t, 1})
	}
	return topk, weights
}

// sumExperts appends the sum over the k chosen experts' rows.
func (b *builder) sumExperts(x id, k, t int64) id {
	g := &b.g
	row := shape{b.d, t, 1, 1}
	if k == 1 {
		return g.op(row, g.view(x, row))
	}
	parts := make([]id, 0, 16)
	for range k {
		parts = append(parts, g.view(x, row))
	}
	sum := g.op(row, parts[0], parts[1])
	for _, p := range parts[2:] {
		sum = g.same(sum, p)
	}
	return sum
}

// shared appends the expert that every token passes through.
func (b *builder) shared(f *model.FFN, x, routed id) id {
	g := &b.g
	y := b.mlp(x, f.SharedWidth, !f.PlainExperts, false)
	if f.SharedGate {
		gate := g.same(b.matrix(g.op(shape{1, g.shape(x)[1], 1, 1}, x), b.d))
		y = g.same(y, gate)
	}
	return g.same(routed, y)
}
