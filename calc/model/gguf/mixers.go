package gguf

import "hwledger/calc/model"

// mixers describes layer i by the tensors it has, which llama.cpp requires to
// agree with the keys: it refuses files that lack one of them.
func (b *builder) mixers(i int) ([]model.Mixer, error) {
	if b.fam.mixers != nil {
		if x, err := b.fam.mixers(b, i); x != nil || err != nil {
			return x, err
		}
	}
	p := b.parts[i]
	var out []model.Mixer
	add := func(x model.Mixer, err error) error {
		if err == nil {
			out = append(out, x)
		}
		return err
	}
	var err error
	switch {
	case p.has("time_mix_key.weight"):
		err = add(b.rwkv())
	case p.has("ssm_conv1d_q.weight"):
		err = add(b.kda())
	case p.has("shortconv.conv.weight"):
		err = add(b.shortConv())
	case p.has("ssm_in.weight") && p.has("ssm_x.weight"):
		err = add(b.mamba1(p))
	case p.has("ssm_in.weight"):
		err = add(b.mamba2(p))
	case p.has("ssm_conv1d.weight"):
		err = add(b.gatedDelta(p))
	}
	if err != nil {
		return nil, err
	}
	switch {
	case p.has("ssm_conv1d_q.weight"), p.has("ssm_conv1d.weight") && !p.has("ssm_in.weight"):
		// attn_q, attn_qkv and attn_gate belong to the linear attention
	case p.has("attn_compressor_kv.weight") || p.has("attn_kv.weight"):
		err = add(b.compressed(i))
	case p.has("attn_kv_a_mqa.weight"):
		err = add(b.mla(i))
	case p.has("attn_q.weight") || p.has("attn_qkv.weight"):
		err = add(b.attention(i))
	}
	if err != nil {
		return nil, err
	}
	if p.has("cross_attn_q.weight") {
		if err := b.positive("attention.head_count", b.heads[i], b.kvHeads[i], b.keyDim[0], b.valueDim[0]); err != nil {
			return nil, err
		}
		out = append(out, b.crossAttention(i))
	}
	if out == nil {
		return []model.Mixer{model.None{}}, b.pruned(i)
	}
	return out, b.k.err
}

// pruned accepts a layer without a mixer where the file says there is none.
func (b *builder) pruned(i int) error {
	if b.kvHeads[i] == 0 {
		return b.k.err
	}
	names := ""
	for _, p := range b.parts[i][:min(6, len(b.parts[i]))] {
		names += " " + printable(p.name)
	}
	return b.unsupported("layer %d has key/value heads but no attention tensors that are known; it has%s", i, names)
}

// attention describes softmax attention with its own heads.
func (b *builder) attention(i int) (*model.Attention, error) {
	p, swa := b.parts[i], 0
	if b.windows[i] > 0 {
		swa = 1
	}
	a := &model.Attention{Heads: b.heads[i], KVHeads: b.kvHeads[i], KeyDim: b.keyDim[swa], ValueDim: b.valueDim[swa],
		Window: b.windows[i], SharedFrom: -1}
	if a.Heads == 0 || a.KVHeads == 0 || a.KeyDim == 0 || a.ValueDim == 0 {
		b.k.fail("attention.head_count", "layer %d has attention tensors but %d heads and %d key/value heads of %d and %d elements",
			i, a.Heads, a.KVHeads, a.KeyDim, a.ValueDim)
		return nil, b.k.err
	}
	if err := b.positive("attention.head_count", a.Heads, a.KVHeads, a.KeyDim, a.ValueDim); err != nil {
		return nil, err
	}
	if r := b.fam.window; r != nil {
		a.Chunked = r.chunked && a.Window > 0
	}
	if i >= b.kvLayers && i < b.n {
		a.SharedFrom = b.kvLayers - 1 - swa
		a.KVWeights = p.has("attn_k.weight")
	}
	a.Fused = p.has("attn_qkv.weight")
	a.QKVBias = p.any("attn_q.bias", "attn_qkv.bias") != nil
	a.NoKeyBias = p.has("attn_q.bias") && !p.has("attn_k.bias")
	a.OutBias = p.any("attn_output.bias", "attn_o.bias") != nil
	a.Sinks = p.any("attn_sinks.weight", "attn_sinks") != nil
	a.NoValue = p.has("attn_k.weight") && !p.has("attn_v.weight")
	if q := p.get("attn_q_norm.weight"); q != nil {
		a.Norms = model.FullQKNorm
		if q.Elems() == a.KeyDim {
			a.Norms = model.HeadQKNorm
		}
	}
	if p.has("indexer.k_proj.weight") {
		a.Indexer = b.index(true) // MiniMax-M3
	}
	q := rows(p.get("attn_q.weight"))
	a.OutputGate = q == 2*a.Heads*a.KeyDim
	return a, b.checkRows(i, a)
}

// checkRows holds the projections against the keys: llama.cpp sizes the cache
// by keys and refuses a file whose tensors have other shapes.
func (b *builder) checkRows(i int, a *model.Attention) error {
	q, k, v := a.Heads*a.KeyDim, a.KVHeads*a.KeyDim, a.KVHeads*a.ValueDim
	for _, want := range [...]struct {
		name string
		rows int64
	}{{"attn_k.weight", k}, {"attn_v.weight", v}, {"attn_qkv.weight", q + k + v}} {
		t := b.parts[i].get(want.name)
		if t == nil || rows(t) == want.rows || b.fam.anyRows {
			continue
		}
		return malformed(printable(t.Name), "has %d rows, but %d heads, %d key/value heads of %d and %d elements make %d",
			rows(t), a.Heads, a.KVHeads, a.KeyDim, a.ValueDim, want.rows)
	}
	return nil
}

// crossAttention describes attention to an encoder's output. llama.cpp keeps
// no cache for it: it computes keys and values again.
func (b *builder) crossAttention(i int) *model.Attention {
	return &model.Attention{Heads: b.heads[i], KVHeads: b.kvHeads[i], KeyDim: b.keyDim[0], ValueDim: b.valueDim[0], SharedFrom: -1, Cross: true}
}

// mla describes latent attention. Files of the old form, with one attn_kv_b
// and without the *_mla keys, are kept as the same mixer; the engine tells
// them by that tensor.
func (b *builder) mla(i int) (*model.MLA, error) {
	p := b.parts[i]
	rank := b.k.int("attention.kv_lora_rank", columns(p.get("attn_kv_a_norm.weight")))
	m := &model.MLA{Heads: b.heads[i], QLoRARank: rows(p.get("attn_q_a.weight")), KVLoRARank: rank,
		RopeDim: rows(p.get("attn_kv_a_mqa.weight")) - rank, OutputGate: p.has("attn_gate.weight")}
	key, value := b.k.int("attention.key_length_mla", 0), b.k.int("attention.value_length_mla", 0)
	if (key > 0) != (value > 0) {
		b.k.fail("attention.key_length_mla", "and value_length_mla go together")
	}
	if key == 0 {
		key, value = b.keyDim[0], b.valueDim[0]
	} else if width := b.keyDim[0] * max(1, b.kvHeads[i]); b.k.has("attention.key_length") && width != rank+m.RopeDim {
		return nil, malformed(b.k.arch+".attention.key_length", "%d key/value heads of %d elements are not the latent row of %d+%d",
			b.kvHeads[i], b.keyDim[0], rank, m.RopeDim)
	}
	m.NopeDim, m.ValDim = key-m.RopeDim, value
	if m.Heads == 0 || rank == 0 || m.RopeDim < 0 || m.NopeDim < 0 || m.ValDim == 0 {
		return nil, malformed(b.k.arch+".attention.kv_lora_rank", "layer %d has %d heads of latent attention with rank %d, keys %d+%d, values %d",
			i, m.Heads, rank, m.NopeDim, m.RopeDim, m.ValDim)
	}
	if err := b.positive("attention.kv_lora_rank", m.Heads, rank, key, value); err != nil {
		return nil, err
	}
	if b.fam.indexer != nil {
		m.Indexer = b.fam.indexer(b, i)
	}
	return m, b.k.err
}
