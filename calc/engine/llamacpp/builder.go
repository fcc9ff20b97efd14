package llamacpp

import (
	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/calc/quant"
)

// attnInput are the inputs of one attention cache: where rows are written,
// which cells each token sees, and how quantized rows are rotated.
type attnInput struct {
	cells            int64
	kIdx, vIdx, mask id
	kRot, vRot       id
	kRotDim, vRotDim int64
	built            bool
	cast             bool // the mask was narrowed
}

// builder makes the worst-case prompt graph of a model: n_ubatch tokens over
// all sequences, the whole cache, the most logits rows. Only sizes and
// lifetimes are kept. (llama_context::sched_reserve, src/models)
type builder struct {
	g graph
	m *model.Model
	s *settings
	q quirks

	tokens, seqs, outputs int64
	streams               int64
	d                     int64

	pos, outIDs, rsCopy id
	full, swa           attnInput
	valueResidual       id    // RWKV-7: the first layer's value, used by all others
	gateOf              id    // the queries that carry the output gate
	next                int   // the layer after this one, -1 at the end
	ahead               [2]id // its states, when gathered already
	hoisted             bool
	normsFixed          bool // norms run on their layer's backend
	routes              bool // the layer has an expert network
	// sizes are the bytes of the layer's matrices by their columns and rows, for
	// those that are copied to a device; nil where none are.
	sizes  map[[2]int64]int64
	stored []quant.Stored
	// freqs are the model's rotary frequencies, none when it has none.
	freqs    id
	hasFreqs bool
}

func newBuilder(m *model.Model, s *settings, stored []quant.Stored, layers []int) *builder {
	b := &builder{m: m, s: s, q: quirksOf(m.Arch), d: m.Hidden, seqs: s.nSeq, stored: stored, streams: s.streams}
	b.tokens = min(s.nCtx, s.nUBatch)
	if !s.own { // its batch need not be the same for every sequence
		b.tokens = pad(b.tokens, b.seqs)
	}
	b.outputs = min(s.nCtx, s.nUBatch, s.nOutputs)
	b.g.host, b.g.dev, b.g.outsideInputs = s.placed.host, s.placed.host, s.rules.outsideInputs
	nodes := nodesOf(m, layers)
	b.g.nodes = make([]node, 0, nodes)
	b.g.src = make([]id, 0, nodes+nodes/3)
	b.pos, b.outIDs, b.rsCopy, b.valueResidual = none, none, none, none
	b.full.cells, b.swa.cells = s.nCtxSeq, s.cellsSWA
	return b
}

// nodesOf is about how many nodes the graph of some layers has with what the
// scheduler copies between backends, so that it seldom outgrows its memory.
func nodesOf(m *model.Model, layers []int) int {
	n := 16
	for _, i := range layers {
		l := &m.Layers[i]
		n += 44
		if l.FFN.MoE() {
			n += 28
		}
		for _, x := range l.Mixers {
			switch x.(type) {
			case *model.GatedDelta, *model.KDA:
				n += 30
			}
		}
	}
	return n
}

// rows is the shape of n features for every token.
func (b *builder) rows(n int64) shape { return shape{n, b.tokens, 1, 1} }

// embed appends the token embedding.
func (b *builder) embed() id {
	tok := b.g.in(4, shape{b.tokens, 1, 1, 1})
	x := b.g.on(b.g.op(b.rows(b.d), tok), 0, 0) // rows are not looked up elsewhere
	if b.s.rules.embdInput {
		// Ready-made embeddings are an input whether or not they are used.
		b.g.in(4, b.rows(b.d))
	}
	if b.s.rules.mixedInputs {
		// A second path for batches that mix tokens and embeddings is always
		// in the graph.
		tokens := b.g.in(4, shape{b.tokens, 1, 1, 1})
		slots := b.g.in(8, shape{b.tokens, 1, 1, 1})
		mixed := b.g.in(4, b.rows(b.d))
		rows := b.g.on(b.g.op(b.rows(b.d), tokens), 0, 0)
		dst := b.g.op(b.rows(b.d), mixed)
		b.g.push(node{shape: b.rows(b.d), elem: 4, root: dst, writes: true}, rows, slots, dst)
	}
	if b.q.scaleEmbd {
		if b.s.rules.mixedInputs && b.q.scaleByRow {
			x = b.g.same(x, b.g.in(4, shape{1, b.tokens, 1, 1}))
		} else {
			x = b.g.same(x)
		}
	}
	return x
}

// norm appends a normalisation with its weight, and bias for LayerNorm.
func (b *builder) norm(x id) id {
	g := &b.g
	if b.q.layerNorm {
		n := g.op(g.shape(x), x)
		g.nodes[n].fixed = b.normsFixed
		return b.vector(g.same(b.vector(g.same(n))))
	}
	n := g.same(x)
	g.nodes[n].fixed = b.normsFixed
	return b.vector(g.same(n))
}

// vector fixes n where its weight is, which has one value for each column.
func (b *builder) vector(n id) id {
	s := b.g.shape(n)
	return b.g.on(n, s[1]*s[2]*s[3], 4*s[0])
}

// matrix fixes n, a product of cols columns, where its matrix is.
func (b *builder) matrix(n id, cols int64) id {
	s := b.g.shape(n)
	return b.g.on(n, s[1], b.sizes[[2]int64{cols, s[0]}])
}

// conv fixes n, a convolution with a kernel for each column, where its kernels
// are.
func (b *builder) conv(n id, kernel int64) id {
	s := b.g.shape(n)
	return b.g.on(n, s[1]*s[2]*s[3], 4*kernel*s[0])
}

// expert fixes n, a product with the chosen ones of a layer's experts, where
// they are: all of them are one tensor.
func (b *builder) expert(n id, cols int64) id {
	s := b.g.shape(n)
	return b.g.on(n, s[2], b.sizes[[2]int64{-cols, s[0]}])
}

// measure notes the sizes of layer i's matrices when they are copied to a
// device. Experts are told from others by the sign of their columns.
func (b *builder) measure(i int) {
	if !b.g.offload {
		return
	}
	b.sizes = map[[2]int64]int64{}
	for j := range b.m.Tensors {
		t := &b.m.Tensors[j]
		if t.Layer != i {
			continue
		}
		key := [2]int64{t.In, t.Out}
		if t.Part == model.Expert {
			key[0] = -t.In
		}
		b.sizes[key] = max(b.sizes[key], b.stored[j].Bytes)
	}
}

// linear appends a matrix product of out features for each token of x.
func (b *builder) linear(x id, out int64, bias bool) id {
	s := b.g.shape(x)
	s[0] = out
	y := b.matrix(b.g.op(s, x), b.g.shape(x)[0])
	if bias {
		y = b.vector(b.g.same(y))
	}
	return y
}

// positions returns the token positions, which rotary embeddings read.
func (b *builder) positions() id {
	if b.pos == none {
		b.pos = b.g.in(4, shape{b.tokens * b.q.posPerToken(), 1, 1, 1})
	}
	return b.pos
}

// frequencies returns the model's own rotary frequencies where a device may have
// to copy them: beside layers on the host. They decide no backend.
func (b *builder) frequencies() id {
	if !b.g.offload || b.g.dev != b.g.host {
		return none
	}
	if !b.hasFreqs {
		b.hasFreqs, b.freqs = true, none
		for i := range b.m.Tensors {
			if everywhere(b.m.Tensors[i].Name) {
				b.freqs = b.g.outside(b.stored[i].Bytes, b.g.host)
				b.g.nodes[b.freqs].weight = true
				break
			}
		}
	}
	return b.freqs
}

// head appends the final norm and the logits.
func (b *builder) head(x id) {
	b.normsFixed = false
	x = b.g.keep(b.norm(x))
	y := b.matrix(b.g.op(shape{b.m.Vocab, b.g.shape(x)[1], 1, 1}, x), b.d)
	if b.q.finalSoftcap {
		y = b.g.same(b.g.same(b.g.same(y)))
	} else if b.q.scaleLogits {
		y = b.g.same(y)
	}
	b.g.keep(y)
}

// pick keeps the rows that logits are wanted for, in the last layer; the
// graph does so even when all are.
func (b *builder) pick(x id) id {
	if b.outIDs == none {
		b.outIDs = b.g.in(4, shape{b.outputs, 1, 1, 1})
	}
	return b.g.op(shape{b.g.shape(x)[0], b.outputs, 1, 1}, x, b.outIDs)
}

// rotation returns the width of the Hadamard rotation of a quantized cache
// whose heads have n elements, 0 for none. (llama_kv_cache, attn_rot_k)
func rotation(t ggml.Type, n int64, widest bool) int64 {
	if !quantized(t) || n == 0 || n%64 != 0 {
		return 0
	}
	r := int64(64)
	for widest && n%(2*r) == 0 {
		r *= 2
	}
	return r
}
