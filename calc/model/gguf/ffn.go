package gguf

import (
	"strconv"

	"hwledger/calc/model"
)

// ffn describes a layer's feed-forward network by the tensors it has; only
// how many experts serve a token is in the keys.
func (b *builder) ffn(i int) (model.FFN, error) {
	p := b.parts[i]
	f := model.FFN{
		Width: columns(p.get("ffn_down.weight")),
		Bias:  p.has("ffn_down.bias") || p.has("ffn_up.bias"),
	}
	up := rows(p.get("ffn_up.weight"))
	f.Gated = f.Width > 0 && (p.has("ffn_gate.weight") || up == 2*f.Width)
	if mix := p.get("channel_mix_key.weight"); mix != nil {
		f.Width = rows(mix)
	}
	down := p.get("ffn_down_exps.weight")
	experts, width := int64(0), columns(down)
	if down != nil {
		experts = down.Dims[2]
	} else if one := p.get("ffn_down.0.weight"); one != nil {
		for experts = 1; p.has("ffn_down." + strconv.FormatInt(experts, 10) + ".weight"); {
			experts++
		}
		width = columns(one)
	}
	if experts == 0 {
		return f, nil
	}
	if experts != b.k.int("expert_count", 0) {
		return f, malformed(b.k.arch+".expert_count", "is %d, but layer %d has %d experts", b.k.int("expert_count", 0), i, experts)
	}
	if b.topK[i] == 0 || b.topK[i] > experts {
		return f, malformed(b.k.arch+".expert_used_count", "is %d of %d experts", b.topK[i], experts)
	}
	f.Experts, f.TopK, f.ExpertWidth = experts, b.topK[i], width
	f.SharedWidth = columns(p.get("ffn_down_shexp.weight"))
	f.SharedGate = p.has("ffn_gate_inp_shexp.weight")
	f.RouterBias = p.has("ffn_gate_inp.bias")
	f.RouterCorrection = p.any("exp_probs_b.bias", "exp_probs_b", "exp_probs_b.weight") != nil
	f.ExpertBias = p.has("ffn_up_exps.bias")
	f.PlainExperts = p.any("ffn_gate_exps.weight", "ffn_gate_up_exps.weight", "ffn_gate.0.weight") == nil
	f.Latent = rows(p.any("ffn_latent_down.weight", "ffn_routed_down.weight"))
	f.LatentNorm = p.has("ffn_routed_norm.weight")
	return f, nil
}
