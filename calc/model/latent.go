package model

// Indexer is the lightning indexer of sparse attention: a small key for each
// token by which the tokens that the main attention reads are chosen.
type Indexer struct {
	Heads, HeadDim int64
	TopK           int64
	// Shared marks a layer that reads another layer's choice and so has
	// neither weights nor keys of its own (GLM-5.2 indexer_types).
	Shared bool
}

// MLA is multi-head latent attention. In the absorbed form one row of
// KVLoRARank+RopeDim elements serves all heads, so tensor parallelism does
// not divide it.
type MLA struct {
	Heads                    int64
	QLoRARank, KVLoRARank    int64 // QLoRARank 0: a plain query projection
	NopeDim, RopeDim, ValDim int64
	Indexer                  *Indexer
	OutputGate               bool // a gate on the heads' outputs (Kimi K3)
}

// Kind returns KindMLA.
func (*MLA) Kind() Kind { return KindMLA }

// AppendStores appends the absorbed latent row and the indexer key, both
// replicated on every rank.
func (m *MLA) AppendStores(dst []Store, _ int64) []Store {
	dst = append(dst, Store{Class: Latent, Elems: m.KVLoRARank + m.RopeDim, Heads: 1})
	if m.Indexer != nil && !m.Indexer.Shared {
		dst = append(dst, Store{Class: IndexKey, Elems: m.Indexer.HeadDim, Heads: 1})
	}
	return dst
}

// AppendExpanded appends the per-head keys and values that engines without
// absorbed attention keep.
func (m *MLA) AppendExpanded(dst []Store, tp int64) []Store {
	g := max(1, m.Heads/tp)
	return append(dst,
		Store{Class: Key, Elems: g * (m.NopeDim + m.RopeDim), Heads: g},
		Store{Class: Value, Elems: g * m.ValDim, Heads: g})
}

// AppendTensors appends the low-rank projections, replicated, and the
// up-projections, cut by head.
func (m *MLA) AppendTensors(dst []Tensor, h int64) []Tensor {
	qk := m.Heads * (m.NopeDim + m.RopeDim)
	qin := h
	if m.QLoRARank > 0 {
		qin = m.QLoRARank
		dst = append(dst, Matrix("attn_q_a.weight", qin, h), Vec("attn_q_a_norm.weight", Norm, qin),
			Matrix("attn_q_b.weight", qk, qin).With(ByColumn))
	} else {
		dst = append(dst, Matrix("attn_q.weight", qk, h).With(ByColumn))
	}
	dst = append(dst,
		Matrix("attn_kv_a_mqa.weight", m.KVLoRARank+m.RopeDim, h),
		Vec("attn_kv_a_norm.weight", Norm, m.KVLoRARank),
		Matrix("attn_kv_b.weight", m.Heads*(m.NopeDim+m.ValDim), m.KVLoRARank).With(ByColumn),
		Matrix("attn_output.weight", h, m.Heads*m.ValDim).With(ByRow))
	if m.OutputGate {
		dst = append(dst, Matrix("attn_gate.weight", m.Heads*m.ValDim, h).With(ByColumn))
	}
	if x := m.Indexer; x != nil && !x.Shared {
		dst = append(dst,
			Matrix("indexer.attn_q_b.weight", x.Heads*x.HeadDim, qin),
			Matrix("indexer.attn_k.weight", x.HeadDim, h),
			Vec("indexer.k_norm.weight", Norm, x.HeadDim), Vec("indexer.k_norm.bias", Norm, x.HeadDim),
			Matrix("indexer.proj.weight", x.Heads, h))
	}
	return dst
}

// Compressed is DeepSeek-V4's attention: one key row of HeadDim elements kept
// raw for the last Window tokens, and one compressed row for every Ratio
// tokens beyond (Ratio 0: none). Layers with Ratio 4 choose among compressed
// rows with an indexer.
type Compressed struct {
	Heads, HeadDim, RopeDim int64
	Window, Ratio           int64
	QLoRARank               int64
	OLoRARank, OGroups      int64
	Indexer                 *Indexer
	Sinks                   bool
}

// Kind returns KindCompressed.
func (*Compressed) Kind() Kind { return KindCompressed }

// AppendStores appends the raw window, the compressed rows and their index
// keys in the steady state, without the compressor's running state. All are
// replicated.
func (c *Compressed) AppendStores(dst []Store, _ int64) []Store {
	dst = append(dst, Store{Class: Latent, Elems: c.HeadDim, Heads: 1, Window: c.Window})
	if c.Ratio > 0 {
		dst = append(dst, Store{Class: Latent, Elems: c.HeadDim, Heads: 1, Stride: c.Ratio})
	}
	if c.Indexer != nil {
		dst = append(dst, Store{Class: IndexKey, Elems: c.Indexer.HeadDim, Heads: 1, Stride: c.Ratio})
	}
	return dst
}

// AppendTensors appends the low-rank query and output projections, the one
// key projection, and the compressor and indexer of the layers that have them.
// A compressor pools Ratio tokens by learned gates and positions; at Ratio 4
// windows overlap, which doubles its width. The indexer has a compressor of
// its own. Shapes follow from the published totals of V4-Flash and V4-Pro,
// which they meet to the unit.
func (c *Compressed) AppendTensors(dst []Tensor, h int64) []Tensor {
	d := c.HeadDim
	dst = append(dst,
		Matrix("attn_q_a.weight", c.QLoRARank, h), Vec("attn_q_a_norm.weight", Norm, c.QLoRARank),
		Matrix("attn_q_b.weight", c.Heads*d, c.QLoRARank).With(ByColumn),
		Matrix("attn_kv.weight", d, h), Vec("attn_kv_norm.weight", Norm, d),
		Matrix("attn_out_a.weight", c.OGroups*c.OLoRARank, c.Heads*d/max(1, c.OGroups)).With(ByColumn),
		Matrix("attn_out_b.weight", h, c.OGroups*c.OLoRARank).With(ByRow))
	if c.Sinks {
		dst = append(dst, Vec("attn_sinks.weight", Vector, c.Heads).With(ByColumn))
	}
	if c.Ratio > 0 {
		dst = c.appendCompressor(dst, "attn_compressor", d, h)
	}
	if x := c.Indexer; x != nil {
		dst = append(dst,
			Matrix("indexer.attn_q_b.weight", x.Heads*x.HeadDim, c.QLoRARank),
			Matrix("indexer.proj.weight", x.Heads, h))
		dst = c.appendCompressor(dst, "indexer_compressor", x.HeadDim, h)
	}
	return dst
}

func (c *Compressed) appendCompressor(dst []Tensor, name string, d, h int64) []Tensor {
	w := d
	if c.Ratio == 4 {
		w *= 2
	}
	return append(dst,
		Matrix(name+"_kv.weight", w, h), Matrix(name+"_gate.weight", w, h),
		Matrix(name+"_ape.weight", c.Ratio, w).As(Vector), Vec(name+"_norm.weight", Norm, d))
}
