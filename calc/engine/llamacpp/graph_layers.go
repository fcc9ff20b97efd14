package llamacpp

import "hwledger/calc/model"

// build appends the whole graph. To keep the graph small it has only the
// layers that keep() lists: a peak that a repeated layer reaches is reached
// by its second copy.
func (b *builder) build(layers []int) {
	x := b.embed()
	b.normsFixed = b.s.placed.all
	if len(layers) > 0 {
		b.g.dev = b.s.placed.layer(layers[0])
		b.gather(layers[0])
		b.hoisted = true
	}
	if b.q.embdNorm {
		b.g.dev = b.s.placed.layer(0)
		x = b.norm(x)
	}
	last := len(b.m.Layers) - 1
	for j, i := range layers {
		b.next = -1
		if j+1 < len(layers) {
			b.next = layers[j+1]
		}
		b.g.dev = b.s.placed.layer(i)
		b.measure(i)
		x = b.layer(i, x, i == last)
		b.handOver(x)
	}
	b.g.dev = b.s.placed.output
	b.measure(-1)
	late := b.q.lateRows
	if b.s.rules.earlyRows {
		late = 0
	}
	switch late {
	case 1:
		x = b.pick(b.g.keep(x))
	case 2:
		b.headLate(x)
		return
	default:
		if b.q.keepLast {
			x = b.g.keep(x)
		}
	}
	b.head(x)
}

// handOver lets a layer's last operation run where the next layer is: with
// everything on devices both of its operands cross over instead of its result.
func (b *builder) handOver(x id) {
	if !b.s.placed.all || b.next < 0 {
		return
	}
	n := &b.g.nodes[x]
	if dev := b.s.placed.layer(b.next); dev != n.dev {
		n.fixed, n.dev = true, dev
	}
}

// headLate is the head of architectures that keep every token's final norm.
func (b *builder) headLate(x id) {
	b.normsFixed = false
	n := b.g.keep(b.norm(x))
	ids := b.g.in(4, shape{b.outputs, 1, 1, 1})
	y := b.g.keep(b.g.op(shape{b.d, b.outputs, 1, 1}, n, ids))
	b.g.keep(b.matrix(b.g.op(shape{b.m.Vocab, b.outputs, 1, 1}, y), b.d))
}

// layer appends one decoder layer on x.
func (b *builder) layer(i int, x id, last bool) id {
	l := &b.m.Layers[i]
	b.routes = l.FFN.MoE()
	b.gather(i)
	if r, ok := rwkvOf(l); ok {
		return b.rwkv(r, x, l.FFN.Width, last)
	}
	n := b.norm(x)
	if b.q.parallel {
		return b.parallelLayer(i, l, x, n, last)
	}
	y := b.mixers(i, l, x, n)
	if y == none {
		// A layer that only feeds forward.
		f := b.feedForward(&l.FFN, n, i)
		if last && b.picksEarly() {
			f, x = b.pick(f), b.pick(x)
		}
		return b.g.same(f, x)
	}
	if b.q.postNorms {
		y = b.norm(y)
	}
	if last && b.picksEarly() && !b.q.pickSum {
		y, x = b.pickBoth(y, x)
	}
	if b.q.scaleResidual {
		y = b.g.same(y)
	}
	mid := b.add(y, x, b.q.residualFirst > 1)
	if last && b.q.pickSum {
		mid = b.pick(mid)
	}
	if !l.FFN.Present() {
		return mid
	}
	f := b.feedForward(&l.FFN, b.norm(mid), i)
	if b.q.postNorms {
		f = b.norm(f)
	}
	if b.q.scaleResidual {
		f = b.g.same(f)
	}
	return b.add(f, mid, b.q.residualFirst > 0)
}

// attentionAndMamba returns the mixers of a layer that runs both in parallel.
func attentionAndMamba(l *model.Layer) (a *model.Attention, m *model.Mamba2) {
	if len(l.Mixers) != 2 {
		return nil, nil
	}
	for _, x := range l.Mixers {
		switch x := x.(type) {
		case *model.Attention:
			a = x
		case *model.Mamba2:
			m = x
		}
	}
	return a, m
}

// add appends the residual addition; the operand named first is the first
// whose memory the sum may take over.
func (b *builder) add(y, residual id, residualFirst bool) id {
	if residualFirst {
		return b.g.same(residual, y)
	}
	return b.g.same(y, residual)
}

// pickBoth keeps the wanted rows of a mixer's result and of the residual.
func (b *builder) pickBoth(y, x id) (id, id) {
	if b.q.residualFirst > 1 {
		x = b.pick(x)
		return b.pick(y), x
	}
	y = b.pick(y)
	return y, b.pick(x)
}

// mixers appends a layer's sequence mixers on the normalised n; none when it
// has none. With two in parallel the second reads a norm of its own, and
// attention's output projection comes after the scan. (src/models/falcon-h1.cpp)
func (b *builder) mixers(i int, l *model.Layer, x, n id) id {
	if a, m := attentionAndMamba(l); a != nil && m != nil {
		o, y := b.attentionCore(a, n, &b.full), none
		b.ahead[0] = b.state(convOf(m) * (m.Conv - 1))
		z := b.mamba2(m, b.norm(x), func() { y = b.attentionOut(a, o, &b.full) })
		return b.g.same(y, z)
	}
	y := none
	for _, m := range l.Mixers {
		o := b.mix(i, m, n)
		switch {
		case o == none:
		case y == none:
			y = o
		default:
			y = b.g.same(y, o)
		}
	}
	return y
}

// picksEarly reports whether the last layer keeps only the wanted rows after
// its mixer.
func (b *builder) picksEarly() bool { return b.q.lateRows == 0 || b.s.rules.earlyRows }

// parallelLayer appends a layer whose feed-forward network reads what
// attention reads. (src/models/falcon.cpp)
func (b *builder) parallelLayer(i int, l *model.Layer, x, n id, last bool) id {
	var a *model.Attention
	y := none
	if len(l.Mixers) == 1 {
		a, _ = l.Mixers[0].(*model.Attention)
	}
	if a != nil {
		y = b.attentionCore(a, n, b.inputOf(i))
	} else {
		y = b.mixers(i, l, x, n)
	}
	if last {
		n = b.pick(n)
	}
	f := b.feedForward(&l.FFN, n, i)
	if a != nil {
		y = b.attentionOut(a, y, b.inputOf(i))
	}
	if last {
		y = b.pick(y)
	}
	f = b.g.same(f, y)
	if last {
		x = b.pick(x)
	}
	return b.g.same(f, x)
}

// inputOf returns the inputs of the cache that layer i writes.
func (b *builder) inputOf(i int) *attnInput {
	if b.s.cache[i].swa {
		return &b.swa
	}
	return &b.full
}

// mix appends one sequence mixer on the normalised n; none when there is
// nothing.
func (b *builder) mix(i int, m model.Mixer, n id) id {
	switch m := m.(type) {
	case *model.Attention:
		return b.attention(m, n, b.inputOf(i))
	case *model.MLA:
		return b.latent(m, n, &b.full)
	case *model.Compressed:
		return b.compressed(m, n)
	case *model.Mamba1:
		return b.mamba1(m, n)
	case *model.Mamba2:
		return b.mamba2(m, n, nil)
	case *model.GatedDelta:
		return b.gatedDelta(m, n)
	case *model.KDA:
		return b.kda(m, n)
	case *model.ShortConv:
		return b.shortConv(m, n)
	case *model.Lightning:
		return b.lightning(m, n)
	}
	return none
}

// compressed appends DeepSeek-V4's attention as dense attention over its
// caches: a bound, not the engine's graph.
func (b *builder) compressed(c *model.Compressed, n id) id {
	q := b.norm(b.linear(n, c.QLoRARank, false))
	q = b.g.view(b.linear(q, c.Heads*c.HeadDim, false), shape{c.HeadDim, c.Heads, b.tokens, 1})
	k := b.g.view(b.norm(b.linear(n, c.HeadDim, false)), shape{c.HeadDim, 1, b.tokens, 1})
	o := b.attend(q, k, none, c.Heads, 1, c.HeadDim, c.HeadDim, &b.swa)
	return b.linear(b.linear(o, max(1, c.OGroups*c.OLoRARank), false), b.d, false)
}

func rwkvOf(l *model.Layer) (*model.RWKV, bool) {
	if len(l.Mixers) != 1 {
		return nil, false
	}
	r, ok := l.Mixers[0].(*model.RWKV)
	return r, ok
}
