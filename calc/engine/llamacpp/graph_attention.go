package llamacpp

import (
	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
)

// attention appends softmax attention over x and its output projection.
func (b *builder) attention(a *model.Attention, x id, in *attnInput) id {
	return b.attentionOut(a, b.attentionCore(a, x, in), in)
}

// attentionCore appends attention up to, and attentionOut from, where
// llama.cpp may put other work of the layer between.
func (b *builder) attentionCore(a *model.Attention, x id, in *attnInput) id {
	q, k, v := b.project(a, x, in)
	return b.attend(q, k, v, a.Heads, a.KVHeads, a.KeyDim, a.ValueDim, in)
}

func (b *builder) attentionOut(a *model.Attention, o id, in *attnInput) id {
	o = b.rotateValue(o, in, a.ValueDim)
	if a.OutputGate {
		o = b.gateOutput(a, o)
	}
	return b.linear(o, b.d, a.OutBias)
}

// project appends queries, keys and values shaped [dim, heads, tokens],
// rotated for a quantized cache.
func (b *builder) project(a *model.Attention, x id, in *attnInput) (q, k, v id) {
	if a.Fused {
		all := b.linear(x, a.Heads*a.KeyDim+a.KVHeads*(a.KeyDim+a.ValueDim), a.QKVBias)
		q = b.rotateKey(b.turn(a, b.g.view(all, shape{a.KeyDim, a.Heads, b.tokens, 1}), true), in, a.KeyDim)
		v = b.g.view(all, shape{a.ValueDim, a.KVHeads, b.tokens, 1})
		if rotation(b.s.typeV, a.ValueDim, false) > 0 {
			// Only contiguous rows can be rotated.
			v = b.rotateValue(b.g.op(b.g.shape(v), v), in, a.ValueDim)
		}
		k = b.rotateKey(b.turn(a, b.g.view(all, shape{a.KeyDim, a.KVHeads, b.tokens, 1}), false), in, a.KeyDim)
		return q, k, v
	}
	q = b.rotateKey(b.queries(a, x), in, a.KeyDim)
	value := func() {
		y := b.linear(x, a.KVHeads*a.ValueDim, a.QKVBias)
		v = b.rotateValue(b.g.view(y, shape{a.ValueDim, a.KVHeads, b.tokens, 1}), in, a.ValueDim)
	}
	key := func() {
		y := b.linear(x, a.KVHeads*a.KeyDim, a.QKVBias)
		if a.Norms == model.FullQKNorm {
			y = b.norm(y)
		}
		k = b.rotateKey(b.turn(a, b.g.view(y, shape{a.KeyDim, a.KVHeads, b.tokens, 1}), false), in, a.KeyDim)
	}
	if b.q.keyFirst {
		key()
		value()
	} else {
		value()
		key()
	}
	return q, k, v
}

func (b *builder) queries(a *model.Attention, x id) id {
	n := a.Heads * a.KeyDim
	if a.OutputGate {
		y := b.linear(x, 2*n, a.QKVBias)
		b.gateOf = y
		return b.turn(a, b.g.view(y, shape{a.KeyDim, a.Heads, b.tokens, 1}), true)
	}
	y := b.linear(x, n, a.QKVBias)
	if a.Norms == model.FullQKNorm {
		y = b.norm(y)
	}
	return b.turn(a, b.g.view(y, shape{a.KeyDim, a.Heads, b.tokens, 1}), true)
}

// turn appends the per-head norm, the rotary embedding and the scaling of
// queries or keys.
func (b *builder) turn(a *model.Attention, x id, query bool) id {
	if a.Norms == model.HeadQKNorm && !b.q.normAfterRope {
		x = b.g.same(b.g.same(x))
	}
	if !b.q.noRope {
		x = b.g.same(x, b.positions(), b.frequencies())
	}
	if b.q.normAfterRope {
		x = b.g.same(x)
	}
	if query && b.q.scaleQuery {
		x = b.g.same(x)
	}
	return x
}

// gateOutput multiplies attention's output with the sigmoid of the gate that
// came with the queries.
func (b *builder) gateOutput(a *model.Attention, o id) id {
	n := a.Heads * a.ValueDim
	gate := b.g.op(b.rows(n), b.g.view(b.gateOf, shape{a.KeyDim, a.Heads, b.tokens, 1}))
	gate = b.g.same(gate)
	return b.g.same(o, gate)
}

// caches makes an attention cache's inputs on first use.
func (b *builder) caches(in *attnInput) {
	if in.built {
		return
	}
	in.built = true
	t := b.tokens
	in.kIdx, in.vIdx = none, none
	if b.s.rules.rowIndex {
		in.kIdx = b.g.in(8, shape{t, 1, 1, 1})
	}
	if b.s.rules.rowIndex && !b.s.mla {
		if b.s.flash {
			in.vIdx = b.g.in(8, shape{t, 1, 1, 1})
		} else {
			in.vIdx = b.g.in(8, shape{t * b.s.vElemsMax, 1, 1, 1})
		}
	}
	elem := int8(4)
	if b.s.flash && !b.s.rules.wideMask {
		elem = 2
	}
	in.mask = b.g.in(elem, shape{in.cells, t / b.streams, 1, b.streams})
	if b.s.flash && !b.s.rules.lateCast {
		b.narrow(in)
	}
}

// narrow returns the mask for the fused kernel, which takes f16.
func (b *builder) narrow(in *attnInput) id {
	if b.s.rules.wideMask && !in.cast {
		in.cast = true
		in.mask = b.g.typed(2, b.g.shape(in.mask), in.mask)
	}
	return in.mask
}

// rotateKey and rotateValue turn what a quantized cache of n-wide heads
// holds by a Hadamard matrix, made on first use. Latent rows stay as they are.
func (b *builder) rotateKey(x id, in *attnInput, n int64) id {
	if r := rotation(b.s.typeK, n, true); r > 0 && b.s.rotate {
		if in.kRotDim == 0 {
			in.kRotDim, in.kRot = r, b.g.in(4, shape{r, r, 1, 1})
		}
		return b.rotate(x, in.kRot, r)
	}
	return x
}

func (b *builder) rotateValue(x id, in *attnInput, n int64) id {
	if r := rotation(b.s.typeV, n, false); r > 0 && b.s.rotate {
		if in.vRotDim == 0 {
			in.vRotDim, in.vRot = r, b.g.in(4, shape{r, r, 1, 1})
		}
		return b.rotate(x, in.vRot, r)
	}
	return x
}

// attend appends the cache writes and the attention itself; the result has
// heads·vd features for each token.
func (b *builder) attend(q, k, v id, heads, kvHeads, kd, vd int64, in *attnInput) id {
	b.caches(in)
	g := &b.g
	t, per := b.tokens, b.tokens/b.streams
	dev := g.dev
	if !b.s.offloadKQV {
		g.dev = g.host
	}
	if k != none {
		g.store(g.view(k, shape{kvHeads * kd, t, 1, 1}), in.kIdx)
	}
	if v != none {
		y := g.view(v, shape{kvHeads * vd, t, 1, 1})
		if !b.s.flash {
			y = g.view(y, shape{1, t * kvHeads * vd, 1, 1})
		}
		g.store(y, in.vIdx)
	}
	g.dev = dev
	q = g.view(g.view(q, shape{kd, heads, per, b.streams}), shape{kd, per, heads, b.streams})
	var o id
	if b.s.flash {
		o = b.flash(q, heads, kvHeads, kd, vd, in)
	} else {
		kq := g.op(shape{in.cells, per, heads, b.streams}, q, b.cacheHere(b.s.typeK, kvHeads*kd, in))
		if b.q.attnSoftcap {
			kq = g.same(g.same(g.same(kq)))
		}
		kq = g.same(kq, in.mask)
		y := g.op(shape{vd, per, heads, b.streams}, kq, b.cacheHere(b.s.typeV, kvHeads*vd, in))
		o = g.op(b.rows(heads*vd), g.view(y, shape{vd, heads, per, b.streams}))
		if !b.s.offloadKQV {
			g.nodes[o].fixed, g.nodes[o].dev = true, g.host
		}
	}
	b.gatherNextUnless(b.routes)
	return o
}

// flash appends the fused kernel; f32 caches are first converted to f16.
func (b *builder) flash(q id, heads, kvHeads, kd, vd int64, in *attnInput) id {
	g := &b.g
	k, v := b.cacheHere(b.s.typeK, kvHeads*kd, in), b.cacheHere(b.s.typeV, kvHeads*vd, in)
	if b.s.typeK == f32 {
		k = g.typed(2, shape{kd, in.cells, kvHeads, b.streams})
	}
	if b.s.typeV == f32 {
		v = g.typed(2, shape{vd, in.cells, kvHeads, b.streams})
	}
	y := g.op(shape{vd, heads, b.tokens / b.streams, b.streams}, q, k, v, b.narrow(in))
	b.copies(y, b.s.typeK, kvHeads*kd, in)
	b.copies(y, b.s.typeV, kvHeads*vd, in)
	return g.view(y, b.rows(heads*vd))
}

// copies adds to the result of flash attention the f16 copy of a quantized
// cache of n elements in a row, which CUDA keeps behind it.
// (ggml/src/ggml-cuda/fattn-common.cuh)
func (b *builder) copies(y id, t ggml.Type, n int64, in *attnInput) {
	if b.s.scratch && quantized(t) && b.g.dev != b.g.host {
		b.g.nodes[y].size += 2 * n * in.cells * b.streams
	}
}

// cacheHere appends the layer's cache where it is in system memory: attention
// that runs on a device needs it there.
func (b *builder) cacheHere(t ggml.Type, n int64, in *attnInput) id {
	if b.s.offloadKQV && b.g.dev != b.g.host {
		return none
	}
	row, err := t.RowBytes(n)
	if err != nil || b.g.host == 0 {
		return none
	}
	return b.g.outside(row*in.cells*b.streams, b.g.host)
}

// rotate appends a rotation by a Hadamard matrix of width n.
func (b *builder) rotate(x, rot id, n int64) id {
	s := b.g.shape(x)
	y := b.g.op(shape{n, s.elems() / n, 1, 1}, rot, b.g.view(x, shape{n, s.elems() / n, 1, 1}))
	return b.g.view(y, s)
}
