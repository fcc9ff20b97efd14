package llamacpp

import "hwledger/calc/model"

// latent appends multi-head latent attention: absorbed, with one latent row
// for each token in the cache, or expanded to heads for files that still have
// the joint up-projection. (src/models/deepseek2.cpp)
func (b *builder) latent(a *model.MLA, x id, in *attnInput) id {
	g, t := &b.g, b.tokens
	qx := x
	if a.QLoRARank > 0 {
		qx = b.norm(b.linear(x, a.QLoRARank, false))
	}
	qk := a.NopeDim + a.RopeDim
	q := g.view(b.linear(qx, a.Heads*qk, false), shape{qk, a.Heads, t, 1})
	if b.s.expanded {
		return b.expandedMLA(a, x, q, in)
	}
	nope := g.view(g.view(q, shape{a.NopeDim, a.Heads, t, 1}), shape{a.NopeDim, t, a.Heads, 1})
	absorbed := g.view(b.matrix(g.op(shape{a.KVLoRARank, t, a.Heads, 1}, nope), a.NopeDim), shape{a.KVLoRARank, a.Heads, t, 1})
	pe := b.rope(g.view(q, shape{a.RopeDim, a.Heads, t, 1}))
	width := a.KVLoRARank + a.RopeDim
	q = g.op(shape{width, a.Heads, t, 1}, absorbed, pe)
	compressed, kpe := b.compress(a, x)
	k := g.op(shape{width, 1, t, 1}, g.view(compressed, shape{a.KVLoRARank, 1, t, 1}), kpe)
	o := b.attendLatent(a, q, k, in)
	return b.linear(o, b.d, false)
}

// rope rotates x, which noRope models (Kimi's latent layers) leave alone.
func (b *builder) rope(x id) id {
	if b.q.noRope {
		return x
	}
	return b.g.same(x, b.positions(), b.frequencies())
}

// compress appends the joint down-projection: the normalised latent row and
// the rotated shared key.
func (b *builder) compress(a *model.MLA, x id) (latent, kpe id) {
	g, t := &b.g, b.tokens
	all := b.linear(x, a.KVLoRARank+a.RopeDim, false)
	latent = b.norm(g.view(all, b.rows(a.KVLoRARank)))
	return latent, b.rope(g.view(all, shape{a.RopeDim, 1, t, 1}))
}

// attendLatent appends attention over latent rows and the value
// up-projection. Values are a view of the keys.
func (b *builder) attendLatent(a *model.MLA, q, k id, in *attnInput) id {
	width := a.KVLoRARank + a.RopeDim
	b.caches(in)
	g, per := &b.g, b.tokens/b.streams
	g.store(g.view(k, b.rows(width)), in.kIdx)
	q = g.view(g.view(q, shape{width, a.Heads, per, b.streams}), shape{width, per, a.Heads, b.streams})
	var y id
	if b.s.flash {
		kc, vc := none, none
		if b.s.typeK == f32 {
			kc = g.typed(2, shape{width, in.cells, 1, b.streams})
			vc = g.typed(2, shape{a.KVLoRARank, in.cells, 1, b.streams})
		}
		y = g.op(shape{a.KVLoRARank, a.Heads, per, b.streams}, q, kc, vc, b.narrow(in))
		b.copies(y, b.s.typeK, width, in) // values are a view of the same copy
		y = b.matrix(g.op(shape{a.ValDim, per, a.Heads, b.streams}, g.view(y, shape{a.KVLoRARank, per, a.Heads, b.streams})), a.KVLoRARank)
		y = g.view(y, shape{a.ValDim, a.Heads, per, b.streams})
		return g.view(g.op(g.shape(y), y), b.rows(a.Heads*a.ValDim))
	}
	v := g.typed(int8(b.s.contBytes), shape{in.cells, a.KVLoRARank, 1, b.streams})
	kq := g.op(shape{in.cells, per, a.Heads, b.streams}, q)
	kq = g.same(kq, in.mask)
	y = g.op(shape{a.KVLoRARank, per, a.Heads, b.streams}, v, kq)
	y = b.matrix(g.op(shape{a.ValDim, per, a.Heads, b.streams}, y), a.KVLoRARank)
	return g.op(b.rows(a.Heads*a.ValDim), g.view(y, shape{a.ValDim, a.Heads, per, b.streams}))
}

// expandedMLA appends the per-head form of older files.
func (b *builder) expandedMLA(a *model.MLA, x, q id, in *attnInput) id {
	g, t := &b.g, b.tokens
	qk := a.NopeDim + a.RopeDim
	q = b.rotateKey(b.g.same(q, b.positions(), b.frequencies()), in, qk)
	all := b.linear(x, a.KVLoRARank+a.RopeDim, false)
	latent := b.norm(g.view(all, b.rows(a.KVLoRARank)))
	kv := b.linear(latent, a.Heads*(a.NopeDim+a.ValDim), false)
	v := g.op(shape{a.ValDim, a.Heads, t, 1}, g.view(kv, shape{a.ValDim, a.Heads, t, 1}))
	v = b.rotateValue(v, in, a.ValDim)
	kpe := b.rope(g.view(all, shape{a.RopeDim, 1, t, 1}))
	nope := g.view(kv, shape{a.NopeDim, a.Heads, t, 1})
	spread := g.op(shape{a.RopeDim, a.Heads, t, 1}, kpe)
	k := b.rotateKey(g.op(shape{qk, a.Heads, t, 1}, nope, spread), in, qk)
	o := b.rotateValue(b.attend(q, k, v, a.Heads, a.Heads, qk, a.ValDim, in), in, a.ValDim)
	return b.linear(o, b.d, false)
}
