package llamacpp

import "hwledger/calc/model"

// state appends the gather of a recurrent state of n elements for every
// sequence of the batch. (llm_graph_context::build_rs)
func (b *builder) state(n int64) id {
	if b.rsCopy == none {
		b.rsCopy = b.g.in(4, shape{b.seqs, 1, 1, 1})
	}
	// The states of new sequences are cleared first, and those that move are
	// written back: both happen where the states are.
	b.g.store()
	rows := b.g.op(shape{n, b.seqs, 1, 1}, b.rsCopy)
	b.g.store(b.g.view(rows, shape{n, 1, 1, 1}))
	return rows
}

// gather appends layer i's states before anything else of the layer, unless
// they were already: the gather depends on nothing, so llama.cpp's graph has
// it before the unfinished rest of the layer before.
func (b *builder) gather(i int) {
	if b.hoisted {
		b.hoisted = false
		return
	}
	b.gatherStates(i)
}

// gatherNext does the same for the layer after this one, at the last point
// where this layer forces an order.
func (b *builder) gatherNext() {
	if b.next >= 0 && !b.hoisted {
		dev := b.g.dev
		b.g.dev = b.s.placed.layer(b.next)
		b.hoisted = b.gatherStates(b.next)
		b.g.dev = dev
	}
}

// gatherNextUnless gathers ahead unless the layer still has an expert network,
// which forces an order of its own.
func (b *builder) gatherNextUnless(routes bool) {
	if !routes {
		b.gatherNext()
	}
}

func (b *builder) gatherStates(i int) bool {
	l := &b.m.Layers[i]
	if len(l.Mixers) != 1 {
		return false
	}
	switch m := l.Mixers[0].(type) {
	case *model.Mamba1:
		b.ahead[0] = b.state(m.Inner * (m.Conv - 1))
	case *model.Mamba2:
		b.ahead[0] = b.state(convOf(m) * (m.Conv - 1))
	case *model.ShortConv:
		b.ahead[0] = b.state(m.Dim * (m.Kernel - 1))
	case *model.RWKV:
		b.ahead[0] = b.state(m.Shifts * b.d)
		b.ahead[1] = b.state(b.d * m.HeadSize)
	default:
		return false
	}
	return true
}

// convOf returns the channels of a Mamba-2 layer's convolution.
func convOf(m *model.Mamba2) int64 { return m.Inner() + 2*m.Groups*m.StateSize }

// convolve appends a short convolution of width channels over src, which is
// put behind the tail state of kernel-1 columns.
func (b *builder) convolve(tail, src id, width, kernel int64) id {
	g, per := &b.g, b.tokens/b.seqs
	col := g.view(src, shape{per, width, b.seqs, 1})
	x := g.op(shape{kernel - 1 + per, width, b.seqs, 1}, tail, col)
	g.store(g.view(x, shape{kernel - 1, width, b.seqs, 1}))
	return x
}

// mamba1 appends a selective state space. (src/models/mamba-base.cpp)
func (b *builder) mamba1(m *model.Mamba1, x id) id {
	g, t := &b.g, b.tokens
	d, n := m.Inner, m.StateSize
	tail := g.view(b.ahead[0], shape{m.Conv - 1, d, b.seqs, 1})
	xz := b.linear(x, 2*d, m.ProjBias)
	cat := b.convolve(tail, xz, d, m.Conv)
	y := b.conv(g.op(b.rows(d), cat), m.Conv)
	if m.ConvBias {
		y = b.vector(g.same(y))
	}
	y = g.same(y)
	flat := g.view(y, shape{1, d, t, 1})
	dbc := b.matrix(g.op(b.rows(m.DtRank+2*n), y), d)
	rank := g.view(dbc, b.rows(m.DtRank))
	var dt id
	if m.DtBCNorms {
		dt = g.same(g.same(rank))
	} else {
		dt = g.op(b.rows(m.DtRank), rank)
	}
	dt = b.vector(g.same(b.matrix(g.op(b.rows(d), dt), m.DtRank)))
	bb := g.view(dbc, shape{n, 1, t, 1})
	cc := g.view(dbc, shape{n, 1, t, 1})
	if m.DtBCNorms {
		bb, cc = g.same(g.same(bb)), g.same(g.same(cc))
	}
	scan := g.op(shape{d*t + n*d*b.seqs, 1, 1, 1}, flat, dt, bb, cc, b.rsCopy)
	b.moveRest(n * d)
	g.store(g.view(scan, shape{n * d * b.seqs, 1, 1, 1}))
	b.gatherNextUnless(b.routes)
	z := g.op(b.rows(d), g.view(xz, b.rows(d)))
	out := g.view(scan, b.rows(d))
	y = g.same(y)
	y = g.same(y, out)
	y = g.op(b.rows(d), z, y)
	return b.linear(y, b.d, m.ProjBias)
}

// mamba2 appends a state space with heads and groups; between, when not nil,
// appends what the layer does after the scan.
func (b *builder) mamba2(m *model.Mamba2, x id, between func()) id {
	g, t := &b.g, b.tokens
	d := m.Inner()
	conv := convOf(m)
	tail := g.view(b.ahead[0], shape{m.Conv - 1, conv, b.seqs, 1})
	all := b.linear(x, d+conv+m.Heads, m.ProjBias)
	cat := b.convolve(tail, all, conv, m.Conv)
	y := b.conv(g.op(b.rows(conv), cat), m.Conv)
	if m.ConvBias {
		y = b.vector(g.same(y))
	}
	y = g.same(y)
	heads := shape{m.HeadDim, m.Heads, t, 1}
	hx := g.view(y, heads)
	dt := g.same(g.op(b.rows(m.Heads), g.view(all, b.rows(m.Heads))))
	bb := g.view(y, shape{m.StateSize, m.Groups, t, 1})
	cc := g.view(y, shape{m.StateSize, m.Groups, t, 1})
	scan := g.op(shape{d*t + m.StateSize*d*b.seqs, 1, 1, 1}, hx, dt, bb, cc, b.rsCopy)
	b.moveRest(m.StateSize * d)
	g.store(g.view(scan, shape{m.StateSize * d * b.seqs, 1, 1, 1}))
	if between != nil {
		between()
	}
	b.gatherNextUnless(b.routes)
	z := g.op(heads, g.view(all, heads))
	out := g.view(scan, heads)
	skip := g.op(heads, hx)
	y = g.same(skip, out)
	y = g.op(heads, z, y)
	if !m.NoNorm {
		y = g.view(y, shape{d / m.Groups, m.Groups, t, 1})
		y = g.same(g.same(y))
	}
	return b.linear(g.view(y, b.rows(d)), b.d, m.ProjBias)
}

// moveRest appends the copy of all but one sequence's scan states, which from
// 0.7 on is reserved for states that move.
func (b *builder) moveRest(n int64) {
	if !b.s.rules.mixedInputs || b.seqs < 2 {
		return
	}
	rows := b.g.op(shape{n, b.seqs - 1, 1, 1}, b.rsCopy)
	b.g.store(b.g.view(rows, shape{n, b.seqs - 1, 1, 1}))
}

// gatedDelta appends a gated delta net. (src/models/qwen3next.cpp,
// delta-net-base.cpp; the fused operator)
func (b *builder) gatedDelta(m *model.GatedDelta, x id) id {
	g, t := &b.g, b.tokens
	kd, vd := m.KeyHeads*m.KeyDim, m.ValueHeads*m.ValueDim
	conv := 2*kd + vd
	tail := g.view(b.state(conv*(m.Conv-1)), shape{m.Conv - 1, conv, b.seqs, 1})
	var z id = none
	mixed := b.linear(x, conv, false)
	cat := b.convolve(tail, mixed, conv, m.Conv)
	st := b.state(vd * m.KeyDim)
	y := g.same(b.conv(g.op(b.rows(conv), cat), m.Conv))
	keys := func() id {
		k := g.same(g.same(g.view(y, shape{m.KeyDim, m.KeyHeads, t, 1})))
		if m.KeyHeads != m.ValueHeads && b.q.repeatKeys {
			k = g.view(k, shape{m.KeyDim, 1, m.KeyHeads, t})
			k = g.op(shape{m.KeyDim, m.ValueHeads / m.KeyHeads, m.KeyHeads, t}, k)
			k = g.view(k, shape{m.KeyDim, m.ValueHeads, t, 1})
		}
		return k
	}
	q := keys()
	k := keys()
	v := g.view(y, shape{m.ValueDim, m.ValueHeads, t, 1})
	gate, beta := b.deltaGates(m, x)
	out := b.delta(q, k, v, gate, beta, st, m.ValueHeads, m.KeyDim, m.ValueDim)
	heads := shape{m.ValueDim, m.ValueHeads, t, 1}
	o := b.norm(g.view(out, heads))
	if z == none {
		z = b.linear(x, vd, false)
	}
	z = g.same(g.view(z, heads))
	o = g.same(o, z)
	return b.linear(g.view(o, b.rows(vd)), b.d, false)
}

// deltaGates appends the decay and the write strength of each value head.
func (b *builder) deltaGates(m *model.GatedDelta, x id) (gate, beta id) {
	g, n := &b.g, b.rows(m.ValueHeads)
	if m.SplitProj {
		beta = g.same(g.view(g.op(n, x), n))
		gate = g.same(g.same(g.same(g.op(n, x))))
		return gate, beta
	}
	ba := b.matrix(g.op(b.rows(2*m.ValueHeads), x), b.d)
	gate = g.same(g.same(g.same(g.op(n, g.view(ba, n)))))
	beta = g.view(ba, n)
	if !b.s.rules.mixedInputs {
		beta = g.op(n, beta)
	}
	return gate, g.same(beta)
}

// delta appends the fused delta rule: the outputs of all tokens and the new
// states behind them.
func (b *builder) delta(q, k, v, gate, beta, st id, heads, keyDim, valueDim int64) id {
	g := &b.g
	d := heads * valueDim
	out := g.op(shape{d, b.tokens + keyDim*b.seqs, 1, 1}, q, k, v, gate, beta, st)
	g.store(g.view(out, shape{keyDim, valueDim, heads, b.seqs}))
	return out
}

// kda appends Kimi delta attention. (src/models/kimi-linear.cpp)
func (b *builder) kda(m *model.KDA, x id) id {
	g, t := &b.g, b.tokens
	d := m.Heads * m.HeadDim
	heads := shape{m.HeadDim, m.Heads, t, 1}
	tails := b.state(3 * d * (m.Conv - 1))
	var cats [3]id
	for i := range cats {
		tail := g.view(tails, shape{m.Conv - 1, d, b.seqs, 1})
		cats[i] = b.convolve(tail, b.linear(x, d, false), d, m.Conv)
	}
	st := b.state(d * m.HeadDim)
	var qkv [3]id
	for i, cat := range cats {
		y := g.same(g.view(b.conv(g.op(b.rows(d), cat), m.Conv), b.rows(d)))
		qkv[i] = g.view(y, heads)
		if i < 2 {
			qkv[i] = g.same(g.same(qkv[i]))
		}
	}
	gate := g.same(g.same(b.linear(b.linear(x, m.HeadDim, false), d, false)))
	gate = g.view(g.same(g.view(gate, heads)), heads)
	beta := g.same(g.view(b.linear(x, m.Heads, false), shape{1, m.Heads, t, 1}))
	out := b.delta(qkv[0], qkv[1], qkv[2], gate, beta, st, m.Heads, m.HeadDim, m.HeadDim)
	o := g.op(heads, g.view(out, heads))
	o = b.norm(g.view(o, heads))
	w := b.linear(b.linear(g.view(x, b.rows(b.d)), m.HeadDim, false), d, false)
	w = g.same(g.view(w, heads))
	o = g.same(o, w)
	return b.linear(g.op(b.rows(d), o), b.d, false)
}

// shortConv appends LFM2's gated convolution. (src/models/lfm2.cpp)
func (b *builder) shortConv(m *model.ShortConv, x id) id {
	g := &b.g
	tail := g.view(b.ahead[0], shape{m.Kernel - 1, m.Dim, b.seqs, 1})
	all := b.linear(x, 3*m.Dim, m.Bias)
	bx := g.op(b.rows(m.Dim), g.view(all, b.rows(m.Dim)), g.view(all, b.rows(m.Dim)))
	cat := b.convolve(tail, bx, m.Dim, m.Kernel)
	b.gatherNextUnless(b.routes)
	c := g.view(all, b.rows(m.Dim))
	y := g.same(b.conv(g.op(b.rows(m.Dim), cat), m.Kernel), c)
	return b.linear(y, b.d, m.Bias)
}

// lightning appends MiniMax-Text-01's linear attention as the engine writes
// it: blockwise products with a decay matrix of the sequence's length.
func (b *builder) lightning(m *model.Lightning, x id) id {
	g, t := &b.g, b.tokens
	d, per := m.Heads*m.HeadDim, b.tokens/b.seqs
	st := b.state(d * m.HeadDim)
	qkv := g.same(b.linear(x, 3*d, false))
	heads := shape{m.HeadDim, m.Heads, t, 1}
	kq := g.op(shape{per, per, m.Heads, b.seqs}, g.view(qkv, heads))
	kq = g.same(kq)
	o := g.op(heads, kq, g.view(qkv, heads))
	o = g.same(o, g.op(heads, st, g.view(qkv, heads)))
	g.store(g.op(shape{d * m.HeadDim, b.seqs, 1, 1}, g.view(qkv, heads)))
	o = b.norm(g.view(o, b.rows(d)))
	gate := g.same(b.linear(x, d, false))
	return b.linear(g.same(o, gate), b.d, false)
}
