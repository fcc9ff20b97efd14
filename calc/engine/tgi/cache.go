package tgi

import (
	"strconv"

	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
)

// reserved are what a shard holds beside weights and cache.
func (s *settings) reserved(m *model.Model, r shard.Rank) []engine.Term {
	const size = 2
	in := engine.Input{Name: "max_batch_prefill_tokens", Value: s.prefill, From: "argument or default"}
	out := []engine.Term{
		paged.ActivationTerm(paged.Activation(m, r.LayersOf(m), r.TP, s.prefill, size), in, r.On, "TGI warm-up of the largest prefill (MATH §6)"),
		s.logits(m, r),
		paged.Context(r.On),
	}
	if s.attention == "flashinfer" && headsOf(m).kv > 0 {
		out = append(out, engine.Term{
			Name: "FlashInfer workspace", Category: engine.Workspace, Bytes: 128 * engine.MiB, On: r.On, Confidence: engine.Exact,
			Formula: "128 MiB", Source: "TGI layers/attention/flashinfer.py",
		})
	}
	if t, ok := paged.Communicators(s.tp, r.On); ok {
		out = append(out, t)
	}
	if t, ok := paged.Graphs(s.graphs, r.On); ok {
		t.Outside = true // captured after the cache, out of the wiggle room
		out = append(out, t)
	}
	return out
}

// logits are the rows that the warm-up scores: one for each of its requests,
// or every prompt token where logits of prompts are made.
func (s *settings) logits(m *model.Model, r shard.Rank) engine.Term {
	rows := int64(1)
	if s.maxInput > 0 {
		rows = paged.CeilDiv(s.prefill, s.maxInput)
	}
	formula := "warm-up requests × vocabulary × 12"
	if s.promptRow {
		rows, formula = s.prefill, "prefill tokens × vocabulary × 6, because logits of all prompt tokens are made"
	}
	n := paged.Mul(rows, max(1, m.Vocab))
	t := engine.Term{
		Name: "logits", Category: engine.Workspace, On: r.On, Confidence: engine.Estimated, Formula: formula, Source: "TGI warm-up request",
		Bytes: engine.Bytes(paged.Mul(n, 12)), Low: engine.Bytes(paged.Mul(n, 2)), High: engine.Bytes(paged.Mul(n, 24)),
		Inputs: []engine.Input{{Name: "rows", Value: rows, From: "argument or default"}, {Name: "vocab_size", Value: m.Vocab, From: "config.json"}},
	}
	if s.promptRow {
		t.Bytes, t.High = engine.Bytes(paged.Mul(n, 6)), engine.Bytes(paged.Mul(n, 10))
	}
	return t
}

// blockBytes is one block over all layers on a shard: keys and values of every
// layer have one shape, windowed layers too.
func (s *settings) blockBytes(m *model.Model) int64 {
	h := headsOf(m)
	kv := h.kv
	if kv > 1 {
		kv /= s.tp
	}
	entry := s.kv.Bytes(kv*h.size, kv)
	return paged.Mul(paged.Mul(s.block, int64(len(m.Layers))), 2*entry)
}

// pages adds the cache of the load's sequences and the pool.
func (s *settings) pages(m *model.Model, r shard.Rank, u *engine.Usage, hw engine.Hardware) {
	block := s.blockBytes(m)
	of := func(tokens int64) int64 { return paged.CeilDiv(tokens+s.speculate, s.block) }
	n := of(s.context)
	u.Terms = append(u.Terms, engine.Term{
		Name: "kv cache", Category: engine.KVCache, Bytes: engine.Bytes(paged.Mul(s.seqs, paged.Mul(n, block))), On: r.On,
		Formula: "sequences × blocks × block × layers × 2 × key/value heads ÷ shards × head size × element bytes; no window is evicted",
		Inputs: []engine.Input{
			{Name: "sequences", Value: s.seqs, From: "argument"}, {Name: "blocks_per_sequence", Value: n, From: "TGI rule"},
			{Name: "block_tokens", Value: s.block, From: "attention backend " + s.attention}, {Name: "layers", Value: int64(len(m.Layers)), From: "config.json"},
			{Name: "block_bytes", Value: block, From: "TGI rule"},
		},
		Confidence: engine.Exact, Source: "TGI models/flash_causal_lm.py",
	})
	s.crossStates(m, r, u)
	u.Cache.MarginalPerToken = engine.Bytes(block / s.block)
	u.Cache.PerSequence = engine.Bytes(paged.Mul(n, block))
	u.LayerCache = make([]engine.Bytes, len(m.Layers))
	for i := range u.LayerCache {
		u.LayerCache[i] = engine.Bytes(paged.Mul(paged.Mul(s.seqs, n), block/int64(len(m.Layers))) * s.tp * s.dp)
	}
	s.pool(m, u, hw, block, of)
}

// crossStates adds what TGI keeps for layers of cross attention: the encoder's
// outputs of each sequence, from which keys and values are computed anew.
func (s *settings) crossStates(m *model.Model, r shard.Rank, u *engine.Usage) {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if x.Kind() != model.KindCross {
				continue
			}
			u.Terms = append(u.Terms, engine.Term{
				Name: "cross-attention states", Category: engine.State, On: r.On, Confidence: engine.Derived, Source: "TGI models/mllama_causal_lm.py",
				Bytes: engine.Bytes(paged.Mul(s.seqs, paged.Mul(m.EncoderTokens, 2*m.Hidden))), Formula: "sequences × encoder tokens × hidden × 2",
				Inputs: []engine.Input{{Name: "sequences", Value: s.seqs, From: "argument"}, {Name: "encoder_tokens", Value: m.EncoderTokens, From: "config.json"}},
			})
			return
		}
	}
}

// pool sizes the pool of the smallest device: what the warm-up leaves of the
// share that TGI may take.
func (s *settings) pool(m *model.Model, u *engine.Usage, hw engine.Hardware, block int64, of func(int64) int64) {
	var inside, at int64
	for i := range u.Terms {
		if t := &u.Terms[i]; !t.Outside && t.Category != engine.KVCache && t.Category != engine.State {
			inside += int64(t.Bytes)
		}
	}
	for i := range min(u.Devices, len(hw.Devices)) {
		d := hw.Devices[i]
		other := int64(max(0, d.Total-d.Free))
		n := s.poolBlocks(int64(d.Total), inside+other, block, of)
		u.Budgets = append(u.Budgets, engine.Bytes(inside+n*block))
		if s.release.AtLeast(wiggleOfTotal) {
			u.Budgets[i] = engine.Bytes(float64(d.Total)*s.fraction*s.room) - engine.Bytes(other)
		}
		if i == 0 || n < at {
			at = n
		}
	}
	if at == 0 {
		return
	}
	c := &u.Cache
	c.Pool, c.CapacityTokens = engine.Bytes(at*block), at*s.block
	longest := s.maxTotal
	if longest == 0 {
		longest = c.CapacityTokens
		if m.Context > 0 {
			longest = min(longest, m.Context)
		}
		u.Assume("max_total_tokens", strconv.FormatInt(longest, 10), "what the cache holds, at most the model's context")
	}
	c.MaxConcurrency = float64(at) / float64(of(longest))
}

// poolBlocks is the warm-up's arithmetic on one device with used bytes in use.
func (s *settings) poolBlocks(total, used, block int64, of func(int64) int64) int64 {
	if s.release.AtLeast(wiggleOfTotal) {
		// Free memory is read with the warm-up's blocks allocated, and they
		// are added again.
		return max(0, int64(float64(total)*s.fraction*s.room)-used) / block
	}
	warm := paged.Mul(paged.CeilDiv(s.prefill, s.maxInput), of(s.maxTotal))
	free := int64(float64(total)*s.fraction) - used - paged.Mul(warm, block)
	if free < 0 {
		return 0
	}
	return int64(float64(free)*s.room)/block + warm
}

// states adds Mamba's states: convolution tails of K columns, both in the
// model's dtype (models/mamba.py).
func (s *settings) states(m *model.Model, r shard.Rank, u *engine.Usage) {
	var one int64
	u.LayerCache = make([]engine.Bytes, len(m.Layers))
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if x, ok := x.(*model.Mamba1); ok {
				n := 2 * x.Inner * (x.Conv + x.StateSize)
				one += n
				u.LayerCache[i] = engine.Bytes(paged.Mul(n, s.seqs) * s.dp)
			}
		}
	}
	u.Terms = append(u.Terms, engine.Term{
		Name: "recurrent state", Category: engine.State, Bytes: engine.Bytes(paged.Mul(one, s.seqs)), On: r.On,
		Formula: "sequences × layers × inner × (kernel + state) × 2", Inputs: []engine.Input{{Name: "sequences", Value: s.seqs, From: "argument"}},
		Confidence: engine.Derived, Source: "TGI models/mamba.py",
	})
	u.Cache = engine.Cache{FixedPerSequence: engine.Bytes(one), PerSequence: engine.Bytes(one)}
}

// grow adds T5's cache, which is as long as its longest sequence.
func (s *settings) grow(m *model.Model, load engine.Load, r shard.Rank, u *engine.Usage) error {
	load.KVCacheType = s.kv.Name
	load.Flags = nil
	t, err := shard.CacheTypes(m, load)
	if err != nil {
		return err
	}
	kv, _ := t.Split(m, r.LayersOf(m), r.TP, s.context)
	next, _ := t.Split(m, r.LayersOf(m), r.TP, s.context+1)
	u.Terms = append(u.Terms, engine.Term{
		Name: "kv cache", Category: engine.KVCache, Bytes: engine.Bytes(paged.Mul(kv, s.seqs)), On: r.On,
		Formula: "sequences × Σ layers: key and value rows of tokens and of encoder tokens",
		Inputs:  []engine.Input{{Name: "sequences", Value: s.seqs, From: "argument"}}, Confidence: engine.Derived, Source: "TGI models/seq2seq_lm.py",
	})
	u.Cache = engine.Cache{MarginalPerToken: engine.Bytes(next - kv), PerSequence: engine.Bytes(kv)}
	u.LayerCache = t.ByLayer(m, load)
	return nil
}
