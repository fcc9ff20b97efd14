package model

// QKNorm says how queries and keys are normalised before the scores.
type QKNorm uint8

const (
	// NoQKNorm: not at all.
	NoQKNorm QKNorm = iota
	// HeadQKNorm: one weight of the head size, shared by all heads.
	HeadQKNorm
	// FullQKNorm: one weight over all heads (OLMo-2, MiniMax-M2).
	FullQKNorm
)

// Attention is softmax attention with its own key/value heads: MHA, GQA and
// MQA; full, sliding or chunked; over the sequence or over an encoder.
type Attention struct {
	Heads, KVHeads   int64
	KeyDim, ValueDim int64 // per head
	// Window is the sliding window or the chunk size in tokens, 0 for full.
	Window  int64
	Chunked bool
	// Cross marks attention over encoder (or image) tokens.
	Cross bool
	// SharedFrom is the layer whose cache this one reads, -1 when it owns one.
	SharedFrom int

	// The rest decides weights only.
	QKVBias, OutBias bool
	NoKeyBias        bool // of the three only the key has none (Whisper)
	Norms            QKNorm
	OutputGate       bool // queries carry a gate: twice the query rows
	Sinks            bool // one learned logit for each head; no cache
	Fused            bool // one attn_qkv tensor
	NoValue          bool // values are the keys (attention_k_eq_v)
	// QLoRARank is the width that queries pass through, with a norm on it
	// (Step3), 0 when they are projected at once.
	QLoRARank int64
	// KVWeights: a layer that reads another's cache has key and value weights
	// nevertheless (Gemma 3n and 4).
	KVWeights bool
	// In is the number of features that queries, keys and values are computed
	// from, 0 for the hidden size (Zamba2 concatenates two hidden rows).
	In int64
	// Indexer chooses the blocks of keys that are read (MiniMax-M3). Its keys
	// have the cache's type.
	Indexer *Indexer
	// Weightless marks a layer that applies another layer's weights but keeps
	// its own cache (the repeated blocks of Zamba2).
	Weightless bool
}

// Kind returns full, sliding, chunked or cross.
func (a *Attention) Kind() Kind {
	switch {
	case a.Cross:
		return KindCross
	case a.Window == 0:
		return KindFull
	case a.Chunked:
		return KindChunked
	}
	return KindSliding
}

// AppendStores appends keys and values of max(1, KVHeads/tp) heads: with more
// ranks than heads each rank replicates one.
func (a *Attention) AppendStores(dst []Store, tp int64) []Store {
	if a.SharedFrom >= 0 {
		return dst
	}
	g := max(1, a.KVHeads/tp)
	axis := PerToken
	if a.Cross {
		axis = PerEncoderToken
	}
	dst = append(dst,
		Store{Class: Key, Axis: axis, Elems: g * a.KeyDim, Heads: g, Window: a.Window},
		Store{Class: Value, Axis: axis, Elems: g * a.ValueDim, Heads: g, Window: a.Window})
	if a.Indexer != nil {
		dst = append(dst, Store{Class: Key, Axis: axis, Elems: a.Indexer.HeadDim, Heads: 1})
	}
	return dst
}

// AppendTensors appends projections, biases, norms and sinks.
func (a *Attention) AppendTensors(dst []Tensor, h int64) []Tensor {
	if a.Weightless {
		return dst
	}
	in := h
	if a.In > 0 {
		in = a.In
	}
	q, k, v := a.Heads*a.KeyDim, a.KVHeads*a.KeyDim, a.KVHeads*a.ValueDim
	if a.OutputGate {
		q *= 2
	}
	owns := a.SharedFrom < 0 || a.KVWeights
	if a.Fused {
		dst = append(dst, Matrix("attn_qkv.weight", q+k+v, in).With(ByColumn))
		if a.QKVBias {
			dst = append(dst, Vec("attn_qkv.bias", Bias, q+k+v).With(ByColumn))
		}
	} else {
		dst = a.appendQuery(dst, q, in)
		if owns {
			dst = append(dst, Matrix("attn_k.weight", k, in).KV(a.KVHeads))
			if !a.NoValue {
				dst = append(dst, Matrix("attn_v.weight", v, in).KV(a.KVHeads))
			}
		}
		if a.QKVBias {
			dst = append(dst, Vec("attn_q.bias", Bias, q).With(ByColumn))
			if owns {
				if !a.NoKeyBias {
					dst = append(dst, Vec("attn_k.bias", Bias, k).KV(a.KVHeads))
				}
				dst = append(dst, Vec("attn_v.bias", Bias, v).KV(a.KVHeads))
			}
		}
	}
	dst = append(dst, Matrix("attn_output.weight", h, a.Heads*a.ValueDim).With(ByRow))
	if a.OutBias {
		dst = append(dst, Vec("attn_output.bias", Bias, h))
	}
	switch a.Norms {
	case HeadQKNorm:
		dst = append(dst, Vec("attn_q_norm.weight", Norm, a.KeyDim))
		if owns {
			dst = append(dst, Vec("attn_k_norm.weight", Norm, a.KeyDim))
		}
	case FullQKNorm:
		dst = append(dst, Vec("attn_q_norm.weight", Norm, a.Heads*a.KeyDim), Vec("attn_k_norm.weight", Norm, k))
	}
	if x := a.Indexer; x != nil {
		dst = append(dst, Matrix("indexer.attn_q.weight", x.Heads*x.HeadDim, h), Matrix("indexer.attn_k.weight", x.HeadDim, h),
			Vec("indexer.q_norm.weight", Norm, x.HeadDim), Vec("indexer.k_norm.weight", Norm, x.HeadDim))
	}
	if a.Sinks {
		dst = append(dst, Vec("attn_sinks.weight", Vector, a.Heads).With(ByColumn))
	}
	return dst
}

func (a *Attention) appendQuery(dst []Tensor, q, in int64) []Tensor {
	if r := a.QLoRARank; r > 0 {
		return append(dst, Matrix("attn_q_a.weight", r, in), Vec("attn_q_a_norm.weight", Norm, r), Matrix("attn_q_b.weight", q, r).With(ByColumn))
	}
	return append(dst, Matrix("attn_q.weight", q, in).With(ByColumn))
}
