package ggufgen

func (b *builder) mamba1(norms bool) {
	conv, inner, state, rank := *b.SSM[0], *b.SSM[1], *b.SSM[2], *b.SSM[3]
	b.blk("ssm_in.weight", b.D, 2*inner)
	b.blk("ssm_conv1d.weight", conv, inner)
	b.blk("ssm_conv1d.bias", inner)
	b.blk("ssm_x.weight", inner, rank+2*state)
	if norms {
		b.blk("ssm_dt_norm.weight", rank)
		b.blk("ssm_b_norm.weight", state)
		b.blk("ssm_c_norm.weight", state)
	}
	b.blk("ssm_dt.weight", rank, inner)
	b.blk("ssm_dt.bias", inner)
	b.blk("ssm_a", state, inner)
	b.blk("ssm_d", inner)
	b.blk("ssm_out.weight", inner, b.D)
}

func (b *builder) mamba2(norm bool) {
	conv, inner, state, heads, groups := *b.SSM[0], *b.SSM[1], *b.SSM[2], *b.SSM[3], *b.SSM[4]
	width := inner + 2*groups*state
	b.blk("ssm_in.weight", b.D, inner+width+heads)
	b.blk("ssm_conv1d.weight", conv, width)
	b.blk("ssm_conv1d.bias", width)
	b.blk("ssm_dt.bias", heads)
	b.blk("ssm_a", 1, heads)
	b.blk("ssm_d", 1, heads)
	if norm {
		b.blk("ssm_norm.weight", inner/groups, groups)
	}
	b.blk("ssm_out.weight", inner, b.D)
}

func (b *builder) gatedDelta() {
	conv, state, vh, kh := *b.SSM[0], *b.SSM[2], *b.SSM[3], *b.SSM[4]
	kd, vd := state*kh, state*vh
	b.blk("attn_qkv.weight", b.D, 2*kd+vd)
	b.blk("attn_gate.weight", b.D, vd)
	b.blk("ssm_conv1d.weight", conv, 2*kd+vd)
	b.blk("ssm_dt.bias", vh)
	b.blk("ssm_a", vh)
	b.blk("ssm_ba.weight", b.D, 2*vh)
	b.blk("ssm_norm.weight", state)
	b.blk("ssm_out.weight", vd, b.D)
}

func (b *builder) kda() {
	size, inner, conv := b.KDA, b.KDA**b.H, *b.SSM[0]
	for _, x := range []string{"q", "k", "v"} {
		b.blk("ssm_conv1d_"+x+".weight", conv, 1, inner)
		b.blk("attn_"+x+".weight", b.D, inner)
	}
	b.blk("ssm_f_a.weight", b.D, size)
	b.blk("ssm_f_b.weight", size, inner)
	b.blk("ssm_beta.weight", b.D, *b.H)
	b.blk("ssm_a", 1, *b.H)
	b.blk("ssm_dt.bias", inner)
	b.blk("ssm_g_a.weight", b.D, size)
	b.blk("ssm_g_b.weight", size, inner)
	b.blk("ssm_norm.weight", size)
	b.blk("attn_output.weight", inner, b.D)
}

func (b *builder) shortConv() {
	b.blk("shortconv.conv.weight", b.LC, b.D)
	b.blk("shortconv.in_proj.weight", b.D, 3*b.D)
	b.blk("shortconv.out_proj.weight", b.D, b.D)
}

func rwkv7(b *builder) {
	decay, iclr, value, gate := b.LoRA[0], b.LoRA[1], b.LoRA[2], b.LoRA[3]
	if b.i == 0 {
		value = iclr // the first layer's value residual has the other rank
	}
	b.vectors("attn_norm.weight", "attn_norm.bias", "attn_norm_2.weight", "attn_norm_2.bias")
	for _, x := range []struct {
		name string
		rank int64
	}{{"w", decay}, {"a", iclr}, {"v", value}} {
		b.vectors("time_mix_" + x.name + "0.weight")
		b.blk("time_mix_"+x.name+"1.weight", b.D, x.rank)
		b.blk("time_mix_"+x.name+"2.weight", x.rank, b.D)
	}
	b.blk("time_mix_g1.weight", b.D, gate)
	b.blk("time_mix_g2.weight", gate, b.D)
	b.blk("time_mix_lerp_fused.weight", b.D, 1, 1, 6)
	b.vectors("time_mix_k_k.weight", "time_mix_k_a.weight", "time_mix_r_k.weight")
	for _, x := range []string{"key", "value", "receptance", "output"} {
		b.blk("time_mix_"+x+".weight", b.D, b.D)
	}
	b.vectors("time_mix_ln.weight", "time_mix_ln.bias")
	b.blk("channel_mix_lerp_k.weight", b.D, 1, 1)
	b.blk("channel_mix_key.weight", b.D, *b.FF)
	b.blk("channel_mix_value.weight", *b.FF, b.D)
}
