package model

// AppendTensors appends in_proj, conv1d, x_proj, dt_proj, A, D and out_proj.
func (m *Mamba1) AppendTensors(dst []Tensor, h int64) []Tensor {
	d, n, r := m.Inner, m.StateSize, m.DtRank
	dst = append(dst, Matrix("ssm_in.weight", 2*d, h).With(ByColumn))
	if m.ProjBias {
		dst = append(dst, Vec("ssm_in.bias", Bias, 2*d).With(ByColumn))
	}
	dst = append(dst, Matrix("ssm_conv1d.weight", d, m.Conv).As(Conv).With(ByColumn))
	if m.ConvBias {
		dst = append(dst, Vec("ssm_conv1d.bias", Bias, d).With(ByColumn))
	}
	dst = append(dst, Matrix("ssm_x.weight", r+2*n, d).With(ByRow))
	if m.DtBCNorms {
		dst = append(dst, Vec("ssm_dt_norm.weight", Norm, r), Vec("ssm_b_norm.weight", Norm, n), Vec("ssm_c_norm.weight", Norm, n))
	}
	dst = append(dst,
		Matrix("ssm_dt.weight", d, r).With(ByColumn), Vec("ssm_dt.bias", Bias, d).With(ByColumn),
		Matrix("ssm_a", d, n).As(Vector).With(ByColumn), Vec("ssm_d", Vector, d).With(ByColumn),
		Matrix("ssm_out.weight", h, d).With(ByRow))
	if m.ProjBias {
		dst = append(dst, Vec("ssm_out.bias", Bias, h))
	}
	return dst
}

// AppendTensors appends in_proj, conv1d, dt, A, D, the gated norm and
// out_proj.
func (m *Mamba2) AppendTensors(dst []Tensor, h int64) []Tensor {
	d := m.Inner()
	if m.DtRank > 0 {
		return m.appendProjected(dst, h)
	}
	c := d + 2*m.Groups*m.StateSize
	dst = append(dst, Matrix("ssm_in.weight", d+c+m.Heads, h).With(ByColumn))
	if m.ProjBias {
		dst = append(dst, Vec("ssm_in.bias", Bias, d+c+m.Heads).With(ByColumn))
	}
	dst = append(dst, Matrix("ssm_conv1d.weight", c, m.Conv).As(Conv).With(ByColumn))
	if m.ConvBias {
		dst = append(dst, Vec("ssm_conv1d.bias", Bias, c).With(ByColumn))
	}
	dst = append(dst,
		Vec("ssm_dt.bias", Bias, m.Heads).With(ByColumn), Vec("ssm_a", Vector, m.Heads).With(ByColumn), Vec("ssm_d", Vector, m.Heads).With(ByColumn))
	if !m.NoNorm {
		dst = append(dst, Vec("ssm_norm.weight", Norm, d).With(ByColumn))
	}
	dst = append(dst, Matrix("ssm_out.weight", h, d).With(ByRow))
	if m.ProjBias {
		dst = append(dst, Vec("ssm_out.bias", Bias, h))
	}
	return dst
}

// appendProjected appends the weights of PLaMo-2's variant: the convolution
// covers the input alone, and B, C and dt are projected from it and normalised.
func (m *Mamba2) appendProjected(dst []Tensor, h int64) []Tensor {
	d, n, r := m.Inner(), m.StateSize, m.DtRank
	return append(dst,
		Matrix("ssm_in.weight", 2*d, h).With(ByColumn), Matrix("ssm_conv1d.weight", d, m.Conv).As(Conv).With(ByColumn),
		Matrix("ssm_x.weight", r+2*n, d).With(ByRow), Matrix("ssm_dt.weight", m.Heads, r).With(ByColumn),
		Vec("ssm_dt_norm.weight", Norm, r), Vec("ssm_b_norm.weight", Norm, n), Vec("ssm_c_norm.weight", Norm, n),
		Vec("ssm_dt.bias", Bias, m.Heads).With(ByColumn), Vec("ssm_a", Vector, m.Heads).With(ByColumn), Vec("ssm_d", Vector, m.Heads).With(ByColumn),
		Matrix("ssm_out.weight", h, d).With(ByRow))
}

// AppendTensors appends the fused projections, conv1d, dt, A, norm and output.
func (g *GatedDelta) AppendTensors(dst []Tensor, h int64) []Tensor {
	kd, vd := g.KeyHeads*g.KeyDim, g.ValueHeads*g.ValueDim
	dst = append(dst, Matrix("attn_qkv.weight", 2*kd+vd, h).With(ByColumn), Matrix("attn_gate.weight", vd, h).With(ByColumn))
	if g.SplitProj {
		dst = append(dst, Matrix("ssm_beta.weight", g.ValueHeads, h).With(ByColumn), Matrix("ssm_alpha.weight", g.ValueHeads, h).With(ByColumn))
	} else {
		dst = append(dst, Matrix("ssm_ba.weight", 2*g.ValueHeads, h).With(ByColumn))
	}
	return append(dst,
		Matrix("ssm_conv1d.weight", 2*kd+vd, g.Conv).As(Conv).With(ByColumn),
		Vec("ssm_dt.bias", Bias, g.ValueHeads).With(ByColumn), Vec("ssm_a", Vector, g.ValueHeads).With(ByColumn),
		Vec("ssm_norm.weight", Norm, g.ValueDim),
		Matrix("ssm_out.weight", h, vd).With(ByRow))
}

// AppendTensors appends projections, three convolutions, decay and gate
// low-rank pairs, and the output.
func (k *KDA) AppendTensors(dst []Tensor, h int64) []Tensor {
	p, d := k.Heads*k.HeadDim, k.HeadDim
	for _, n := range [...][2]string{{"attn_q.weight", "ssm_conv1d_q.weight"}, {"attn_k.weight", "ssm_conv1d_k.weight"}, {"attn_v.weight", "ssm_conv1d_v.weight"}} {
		dst = append(dst, Matrix(n[0], p, h).With(ByColumn), Matrix(n[1], p, k.Conv).As(Conv).With(ByColumn))
	}
	decay := k.Heads
	if k.DecayRows > 0 {
		decay = k.DecayRows
	}
	dst = append(dst,
		Matrix("ssm_f_a.weight", d, h), Matrix("ssm_f_b.weight", p, d).With(ByColumn),
		Matrix("ssm_beta.weight", k.Heads, h).With(ByColumn),
		Vec("ssm_a", Vector, decay).With(ByColumn), Vec("ssm_dt.bias", Bias, p).With(ByColumn))
	if k.FullRankGate {
		dst = append(dst, Matrix("ssm_g.weight", p, h).With(ByColumn))
	} else {
		dst = append(dst, Matrix("ssm_g_a.weight", d, h), Matrix("ssm_g_b.weight", p, d).With(ByColumn))
	}
	return append(dst, Vec("ssm_norm.weight", Norm, d), Matrix("attn_output.weight", h, p).With(ByRow))
}

// AppendTensors appends the fused query/key/value, the output gate, the
// output and its norm.
func (l *Lightning) AppendTensors(dst []Tensor, h int64) []Tensor {
	p := l.Heads * l.HeadDim
	if l.HeadNorm {
		dst = append(dst, Vec("attn_q_norm.weight", Norm, l.HeadDim), Vec("attn_k_norm.weight", Norm, l.HeadDim))
	}
	return append(dst,
		Matrix("attn_qkv.weight", 3*p, h).With(ByColumn), Matrix("attn_gate.weight", p, h).With(ByColumn),
		Matrix("attn_output.weight", h, p).With(ByRow), Vec("attn_sub_norm.weight", Norm, p).With(ByColumn))
}

// AppendTensors appends in_proj, the convolution and out_proj.
func (s *ShortConv) AppendTensors(dst []Tensor, h int64) []Tensor {
	dst = append(dst,
		Matrix("shortconv.in_proj.weight", 3*s.Dim, h).With(ByColumn),
		Matrix("shortconv.conv.weight", s.Dim, s.Kernel).As(Conv).With(ByColumn),
		Matrix("shortconv.out_proj.weight", h, s.Dim).With(ByRow))
	if s.Bias {
		dst = append(dst, Vec("shortconv.in_proj.bias", Bias, 3*s.Dim).With(ByColumn),
			Vec("shortconv.conv.bias", Bias, s.Dim).With(ByColumn), Vec("shortconv.out_proj.bias", Bias, h))
	}
	return dst
}

// AppendTensors appends the time mix of the version. The channel mix and the
// norms are added by the family that reads the configuration.
func (r *RWKV) AppendTensors(dst []Tensor, h int64) []Tensor {
	switch r.Version {
	case 5:
		dst = r.appendFixed(dst, h, 4)
	case 6:
		shift := r.Ranks[1]
		dst = append(dst,
			Matrix("time_mix_lerp_fused.weight", 6, h).As(Vector),
			Matrix("time_mix_w1.weight", 5*shift, h), Matrix("time_mix_w2.weight", h, 5*shift),
			Matrix("time_mix_decay_w1.weight", r.Ranks[0], h), Matrix("time_mix_decay_w2.weight", h, r.Ranks[0]))
		dst = r.appendFixed(dst, h, 0)
	default:
		dst = r.appendLowRank(dst, h)
	}
	for _, n := range [...]string{"key", "value", "receptance"} {
		dst = append(dst, Matrix("time_mix_"+n+".weight", h, h).With(ByColumn))
	}
	return append(dst, Matrix("time_mix_output.weight", h, h).With(ByRow),
		Vec("time_mix_ln.weight", Norm, h), Vec("time_mix_ln.bias", Norm, h))
}

// appendFixed appends what RWKV-5 and RWKV-6 share: decay and bonus of each
// channel, the gate, and as many token-shift vectors as given.
func (r *RWKV) appendFixed(dst []Tensor, h int64, shifts int64) []Tensor {
	if shifts > 0 {
		dst = append(dst, Matrix("time_mix_lerp.weight", shifts, h).As(Vector))
	}
	return append(dst,
		Vec("time_mix_decay.weight", Vector, h), Vec("time_mix_first.weight", Vector, h),
		Matrix("time_mix_gate.weight", h, h).With(ByColumn))
}

// appendLowRank appends RWKV-7's low-rank pairs and small vectors.
func (r *RWKV) appendLowRank(dst []Tensor, h int64) []Tensor {
	for i, n := range [...]string{"w", "a", "v"} {
		if r.Ranks[i] == 0 {
			continue
		}
		dst = append(dst, Vec("time_mix_"+n+"0.weight", Vector, h),
			Matrix("time_mix_"+n+"1.weight", r.Ranks[i], h), Matrix("time_mix_"+n+"2.weight", h, r.Ranks[i]))
	}
	dst = append(dst, Matrix("time_mix_g1.weight", r.Ranks[3], h), Matrix("time_mix_g2.weight", h, r.Ranks[3]),
		Matrix("time_mix_lerp_fused.weight", 6, h).As(Vector))
	for _, n := range [...]string{"k_k", "k_a", "r_k"} {
		dst = append(dst, Vec("time_mix_"+n+".weight", Vector, h))
	}
	return dst
}

// AppendTensors appends the two input branches, the convolution, the gates,
// the decay and the output.
func (r *RGLRU) AppendTensors(dst []Tensor, h int64) []Tensor {
	w := r.Width
	dst = append(dst,
		Matrix("rec_x.weight", w, h).With(ByColumn), Vec("rec_x.bias", Bias, w).With(ByColumn),
		Matrix("rec_y.weight", w, h).With(ByColumn), Vec("rec_y.bias", Bias, w).With(ByColumn),
		Matrix("rec_conv1d.weight", w, r.Conv).As(Conv).With(ByColumn), Vec("rec_conv1d.bias", Bias, w).With(ByColumn))
	if r.Heads > 0 {
		for _, n := range [...]string{"rec_input_gate", "rec_a_gate"} {
			dst = append(dst, Matrix(n+".weight", w, w/r.Heads).With(ByColumn), Vec(n+".bias", Bias, w).With(ByColumn))
		}
	}
	return append(dst,
		Vec("rec_a", Vector, w).With(ByColumn),
		Matrix("rec_out.weight", h, w).With(ByRow), Vec("rec_out.bias", Bias, h))
}

// AppendTensors appends the gate projection and the output.
func (g *GatedMemory) AppendTensors(dst []Tensor, h int64) []Tensor {
	return append(dst, Matrix("gmu_in.weight", g.Inner, h).With(ByColumn), Matrix("gmu_out.weight", h, g.Inner).With(ByRow))
}
