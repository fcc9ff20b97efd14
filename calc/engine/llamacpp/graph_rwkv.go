package llamacpp

import "hwledger/calc/model"

// rwkv appends an RWKV-7 layer: time mix, then channel mix of the given
// width, both on the token before. (src/models/rwkv7-base.cpp)
func (b *builder) rwkv(m *model.RWKV, x id, width int64, last bool) id {
	g, d, t := &b.g, b.d, b.tokens
	shift := g.view(b.ahead[0], shape{d, m.Shifts, b.seqs, 1})
	st := b.ahead[1]
	heads := shape{m.HeadSize, d / m.HeadSize, t, 1}

	n := b.norm(x)
	mixed := b.lerp(n, shift)
	part := func() id { return g.view(mixed, b.rows(d)) }
	pair := func(rank int64, act bool) id {
		y := b.linear(part(), rank, false)
		if act {
			y = g.same(y)
		}
		return b.linear(y, d, false)
	}
	r := g.view(b.linear(part(), d, false), heads)
	w := g.same(pair(m.Ranks[0], true))
	w = g.view(g.same(g.same(g.same(w))), heads)
	k := b.linear(part(), d, false)
	a := g.same(g.same(pair(m.Ranks[1], false)))
	ka := g.op(b.rows(d), k)
	aka := g.op(b.rows(d), a, ka)
	aka = g.same(aka, ka)
	key := g.op(b.rows(d), k, aka)
	kh := g.view(key, heads)
	v := b.linear(part(), d, false)
	if b.valueResidual == none {
		b.valueResidual = v
	} else {
		diff := g.op(b.rows(d), b.valueResidual, v)
		s := g.same(g.same(pair(m.Ranks[2], false)))
		diff = g.same(diff, s)
		v = g.same(v, diff)
	}
	vh := g.view(v, heads)
	kk := g.op(heads, g.view(g.same(k), heads))
	neg := g.op(heads, kk)
	ah := g.view(a, heads)
	kka := g.same(kk, ah)
	wkv := g.op(shape{d, t + m.HeadSize*b.seqs, 1, 1}, r, w, kh, vh, neg, kka, st)
	g.store(g.view(wkv, shape{d * m.HeadSize, b.seqs, 1, 1}))
	y := g.op(heads, g.view(wkv, heads))
	y = g.same(g.same(g.view(y, b.rows(d))))
	rk := g.same(g.op(heads, kh, r))
	sum := g.op(shape{1, d / m.HeadSize, t, 1}, rk)
	vr := g.view(g.op(heads, vh, sum), b.rows(d))
	y = g.same(y, vr)
	gate := b.linear(g.same(b.linear(part(), m.Ranks[3], false)), d, false)
	y = g.same(y, gate)
	y = b.linear(y, d, false)
	mid := g.op(b.rows(d), g.view(y, b.rows(d)), g.view(x, b.rows(d)))

	return b.channelMix(m, mid, n, shift, width, last)
}

// lerp appends the six interpolations between a token and the one before.
func (b *builder) lerp(n, shift id) id {
	g, d := &b.g, b.d
	per := b.tokens / b.seqs
	prev := g.op(shape{d, per, b.seqs, 1}, shift, g.view(n, shape{d, per - 1, b.seqs, 1}))
	diff := g.same(prev, n)
	all := g.op(shape{d, per, b.seqs, 6}, diff)
	return g.same(g.same(all), n)
}

// channelMix appends the feed-forward half with the row that the next batch
// starts from.
func (b *builder) channelMix(m *model.RWKV, mid, attNorm, shift id, width int64, last bool) id {
	g, d := &b.g, b.d
	per := b.tokens / b.seqs
	n := b.norm(mid)
	tail := g.op(shape{d, m.Shifts, b.seqs, 1}, g.view(attNorm, shape{d, 1, b.seqs, 1}), g.view(n, shape{d, 1, b.seqs, 1}))
	g.store(g.view(tail, shape{m.Shifts * d, b.seqs, 1, 1}))
	b.gatherNext()
	prev := g.op(shape{d, per, b.seqs, 1}, shift, g.view(n, shape{d, per - 1, b.seqs, 1}))
	px, nx, mx := g.view(prev, b.rows(d)), g.view(n, b.rows(d)), g.view(mid, b.rows(d))
	if last {
		px, nx = b.pick(px), b.pick(nx)
	}
	y := g.same(px, nx)
	y = g.same(g.same(y), nx)
	y = g.same(g.same(b.linear(y, width, false)))
	y = b.linear(y, d, false)
	if last {
		mx = b.pick(mx)
	}
	return g.same(y, mx)
}
