package model

// FFN is the feed-forward part of a layer.
type FFN struct {
	// Width is the dense width; 0 when there is no dense network.
	Width int64
	// Gated networks have a gate beside the up-projection (SwiGLU, GeGLU).
	Gated bool
	Bias  bool

	// Experts is the number of routed experts, 0 for a dense layer. TopK of
	// them, each ExpertWidth wide, serve a token; SharedWidth is the total
	// width of the experts that serve every token.
	Experts, TopK, ExpertWidth, SharedWidth int64
	// SharedGate: a scalar gate on the shared expert (Qwen MoE).
	SharedGate bool
	// RouterBias: a bias vector of the router (gpt-oss), RouterCorrection:
	// the e_score_correction_bias of sigmoid routing (DeepSeek-V3).
	RouterBias, RouterCorrection bool
	// ExpertBias: each expert's matrices have biases (gpt-oss).
	ExpertBias bool
	// PlainExperts: experts without a gate matrix (Nemotron-H).
	PlainExperts bool
	// Latent is the width that routed experts work on when it is not the
	// hidden size: one projection down to it and one back are shared by all
	// experts (Nemotron-3-Super, Kimi K3). LatentNorm: with a norm on it.
	Latent     int64
	LatentNorm bool
	// Weightless marks a layer that applies another layer's network (the
	// repeated blocks of Zamba2).
	Weightless bool
}

// MoE reports whether the layer routes tokens to experts.
func (f FFN) MoE() bool { return f.Experts > 0 }

// Present reports whether there is a feed-forward network at all.
func (f FFN) Present() bool { return f.Width > 0 || f.Experts > 0 }

// ActiveWidth returns the width one token passes through, in features.
func (f FFN) ActiveWidth() int64 { return f.Width + f.TopK*f.ExpertWidth + f.SharedWidth }

// AppendTensors appends the network's weights, without its layer's norm.
func (f FFN) AppendTensors(dst []Tensor, h int64) []Tensor {
	if f.Weightless {
		return dst
	}
	if f.Width > 0 {
		dst = appendMLP(dst, "", h, f.Width, f.Gated, f.Bias, Linear)
	}
	if f.Experts == 0 {
		return dst
	}
	e, k, w, hidden := f.Experts, f.TopK, f.ExpertWidth, h
	dst = append(dst, Matrix("ffn_gate_inp.weight", e, h).As(Router))
	if f.RouterBias {
		dst = append(dst, Vec("ffn_gate_inp.bias", Router, e))
	}
	if f.RouterCorrection {
		dst = append(dst, Vec("exp_probs_b.bias", Router, e))
	}
	if f.Latent > 0 {
		dst = append(dst, Matrix("ffn_latent_down.weight", f.Latent, hidden), Matrix("ffn_latent_up.weight", hidden, f.Latent))
		if f.LatentNorm {
			dst = append(dst, Vec("ffn_latent_norm.weight", Norm, f.Latent))
		}
		h = f.Latent
	}
	if !f.PlainExperts {
		dst = append(dst, Matrix("ffn_gate_exps.weight", w, h).With(ByColumn).Stack(e, k))
	}
	dst = append(dst,
		Matrix("ffn_up_exps.weight", w, h).With(ByColumn).Stack(e, k),
		Matrix("ffn_down_exps.weight", h, w).With(ByRow).Stack(e, k))
	if f.ExpertBias {
		bias := func(name string, n int64, s Split) Tensor {
			t := Vec(name, Bias, n).With(s)
			t.Count, t.Active = e, k
			return t
		}
		dst = append(dst, bias("ffn_gate_exps.bias", w, ByColumn), bias("ffn_up_exps.bias", w, ByColumn), bias("ffn_down_exps.bias", h, Replicated))
	}
	if f.SharedWidth > 0 {
		dst = appendMLP(dst, "_shexp", hidden, f.SharedWidth, !f.PlainExperts, false, SharedExpert)
		if f.SharedGate {
			dst = append(dst, Vec("ffn_gate_inp_shexp.weight", Router, hidden))
		}
	}
	return dst
}

var mlpNames = map[string][3]string{
	"":       {"ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"},
	"_shexp": {"ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight"},
}

func appendMLP(dst []Tensor, suffix string, h, w int64, gated, bias bool, part Part) []Tensor {
	n := mlpNames[suffix]
	if gated {
		dst = append(dst, Matrix(n[0], w, h).With(ByColumn).As(part))
	}
	dst = append(dst, Matrix(n[1], w, h).With(ByColumn).As(part), Matrix(n[2], h, w).With(ByRow).As(part))
	if bias {
		if gated {
			dst = append(dst, Vec("ffn_gate.bias", Bias, w).With(ByColumn))
		}
		dst = append(dst, Vec("ffn_up.bias", Bias, w).With(ByColumn), Vec("ffn_down.bias", Bias, h))
	}
	return dst
}
