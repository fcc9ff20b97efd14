package gguf

import "hwledger/calc/model"

// maxSize bounds a count of heads, groups or elements of a head, so that a
// product of three fits into an int64.
const maxSize = 1 << 20

// positive checks counts that divide and multiply sizes.
func (b *builder) positive(what string, n ...int64) error {
	for _, x := range n {
		if x <= 0 || x > maxSize {
			b.k.fail(what, "makes a size of %d", x)
		}
	}
	return b.k.err
}

// mamba1 reads the keys of src/models/mamba-base.cpp. PLaMo-2 has its
// projections, but one decay for each head as Mamba-2.
func (b *builder) mamba1(p layerParts) (model.Mixer, error) {
	k := &b.k
	inner, state, conv, rank := k.need("ssm.inner_size"), k.need("ssm.state_size"), k.need("ssm.conv_kernel"), k.need("ssm.time_step_rank")
	if a := p.get("ssm_a"); a != nil && a.Elems() == rank && state > 1 {
		if err := b.positive("ssm.time_step_rank", inner, state, conv, rank); err != nil {
			return nil, err
		}
		return &model.Mamba2{Heads: rank, HeadDim: inner / rank, Groups: k.int("ssm.group_count", 0), StateSize: state, Conv: conv,
			DtRank: columns(p.get("ssm_dt.weight"))}, k.err
	}
	m := &model.Mamba1{Inner: inner, StateSize: state, Conv: conv, DtRank: rank,
		ConvBias: p.has("ssm_conv1d.bias"), ProjBias: p.has("ssm_in.bias"),
		DtBCNorms: p.any("ssm_dt_norm.weight", "ssm_dt_norm") != nil}
	return m, b.positive("ssm.conv_kernel", inner, state, conv, rank)
}

func (b *builder) mamba2(p layerParts) (model.Mixer, error) {
	k := &b.k
	inner, state, conv, heads := k.need("ssm.inner_size"), k.need("ssm.state_size"), k.need("ssm.conv_kernel"), k.need("ssm.time_step_rank")
	groups := k.int("ssm.group_count", 0)
	if err := b.positive("ssm.group_count", inner, state, conv, heads, groups); err != nil {
		return nil, err
	}
	if inner%heads != 0 {
		k.fail("ssm.inner_size", "%d is no multiple of %d heads", inner, heads)
	}
	return &model.Mamba2{Heads: heads, HeadDim: inner / heads, Groups: groups, StateSize: state, Conv: conv,
		ConvBias: p.has("ssm_conv1d.bias"), ProjBias: p.has("ssm_in.bias"), NoNorm: !p.has("ssm_norm.weight")}, k.err
}

// gatedDelta reads the keys of src/models/qwen3next.cpp: state_size is the
// size of a head, time_step_rank the value heads, group_count the key heads.
func (b *builder) gatedDelta(p layerParts) (model.Mixer, error) {
	k := &b.k
	inner, state, conv := k.need("ssm.inner_size"), k.need("ssm.state_size"), k.need("ssm.conv_kernel")
	values, keys := k.need("ssm.time_step_rank"), k.need("ssm.group_count")
	if err := b.positive("ssm.inner_size", inner, state, conv, values, keys); err != nil {
		return nil, err
	}
	if inner != values*state {
		k.fail("ssm.inner_size", "is %d, but %d value heads of %d make %d", inner, values, state, values*state)
	}
	return &model.GatedDelta{KeyHeads: keys, ValueHeads: values, KeyDim: state, ValueDim: state, Conv: conv,
		SplitProj: p.has("ssm_beta.weight")}, k.err
}

// kda reads Kimi delta attention; llama.cpp takes the heads of layer 0 for
// every layer.
func (b *builder) kda() (model.Mixer, error) {
	size, conv := b.k.need("kda.head_dim"), b.k.need("ssm.conv_kernel")
	m := &model.KDA{Heads: b.heads[0], HeadDim: size, Conv: conv}
	for _, p := range b.parts {
		m.FullRankGate = m.FullRankGate || p.has("ssm_g.weight")
	}
	return m, b.positive("kda.head_dim", m.Heads, size, conv)
}

func (b *builder) shortConv() (model.Mixer, error) {
	kernel := b.k.need("shortconv.l_cache")
	return &model.ShortConv{Dim: b.m.Hidden, Kernel: kernel}, b.positive("shortconv.l_cache", kernel)
}

// rwkv reads the time mix of RWKV-6 and RWKV-7, also in models distilled from
// attention ones (arwkv7, rwkv6qwen2).
func (b *builder) rwkv() (model.Mixer, error) {
	k := &b.k
	size := k.need("wkv.head_size")
	m := &model.RWKV{Version: b.fam.rwkv, Hidden: b.m.Hidden, HeadSize: size, Shifts: k.int("token_shift_count", 2)}
	switch m.Version {
	case 7:
		for i, name := range [...]string{"decay", "iclr", "value_residual_mix", "gate"} {
			m.Ranks[i] = k.int("attention."+name+"_lora_rank", 0)
		}
	case 6:
		m.Ranks[0], m.Ranks[1] = k.int("time_decay_extra_dim", 0), k.int("time_mix_extra_dim", 0)
	default:
		return nil, b.unsupported("has RWKV tensors, but which version is not known")
	}
	if err := b.positive("wkv.head_size", size, m.Shifts); err != nil {
		return nil, err
	}
	if b.m.Hidden%size != 0 {
		k.fail("wkv.head_size", "%d does not divide %d", size, b.m.Hidden)
	}
	return m, k.err
}
