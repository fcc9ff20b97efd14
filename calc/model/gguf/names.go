package gguf

import (
	"strings"

	"hwledger/calc/model"
)

// role is what a tensor's name says about it.
type role struct {
	part  model.Part
	split model.Split
}

// matrices are the roles of weights by their name without ".weight". Splits
// are those of the engines that cut tensors, as package model gives them to
// tensors of a configuration.
var matrices = map[string]role{
	"token_embd":           {model.Embedding, model.ByVocab},
	"per_layer_token_embd": {model.Embedding, model.ByVocab},
	"position_embd":        {model.Embedding, model.Replicated},
	"token_types":          {model.Embedding, model.Replicated},
	"output":               {model.Head, model.ByVocab},

	"attn_q": {model.Linear, model.ByColumn}, "attn_k": {model.Linear, model.ByKVHead}, "attn_v": {model.Linear, model.ByKVHead},
	"attn_qkv": {model.Linear, model.ByColumn}, "attn_gate": {model.Linear, model.ByColumn},
	"attn_output": {model.Linear, model.ByRow}, "attn_o": {model.Linear, model.ByRow},
	"cross_attn_q": {model.Linear, model.ByColumn}, "cross_attn_k": {model.Linear, model.ByKVHead}, "cross_attn_v": {model.Linear, model.ByKVHead},
	"cross_attn_o": {model.Linear, model.ByRow},
	"attn_q_b":     {model.Linear, model.ByColumn}, "attn_kv_b": {model.Linear, model.ByColumn},
	"attn_k_b": {model.Linear, model.ByColumn}, "attn_v_b": {model.Linear, model.ByColumn},
	"attn_output_a": {model.Linear, model.ByColumn}, "attn_output_b": {model.Linear, model.ByRow},

	"ffn_gate": {model.Linear, model.ByColumn}, "ffn_up": {model.Linear, model.ByColumn}, "ffn_down": {model.Linear, model.ByRow},
	"ffn_gate_shexp": {model.SharedExpert, model.ByColumn}, "ffn_up_shexp": {model.SharedExpert, model.ByColumn},
	"ffn_down_shexp": {model.SharedExpert, model.ByRow},
	"ffn_gate_exps":  {model.Expert, model.ByColumn}, "ffn_up_exps": {model.Expert, model.ByColumn},
	"ffn_gate_up_exps": {model.Expert, model.ByColumn}, "ffn_down_exps": {model.Expert, model.ByRow},
	"ffn_gate_chexps": {model.Expert, model.ByColumn}, "ffn_up_chexps": {model.Expert, model.ByColumn}, "ffn_down_chexps": {model.Expert, model.ByRow},
	"ffn_gate_inp": {model.Router, model.Replicated}, "ffn_gate_inp_shexp": {model.Router, model.Replicated},
	"ffn_gate_tid2eid": {model.Router, model.Replicated},

	"ssm_in": {model.Linear, model.ByColumn}, "ssm_x": {model.Linear, model.ByRow}, "ssm_dt": {model.Linear, model.ByColumn},
	"ssm_out": {model.Linear, model.ByRow}, "ssm_ba": {model.Linear, model.ByColumn},
	"ssm_alpha": {model.Linear, model.ByColumn}, "ssm_beta": {model.Linear, model.ByColumn},
	"ssm_f_b": {model.Linear, model.ByColumn}, "ssm_g_b": {model.Linear, model.ByColumn}, "ssm_g": {model.Linear, model.ByColumn},
	"ssm_conv1d": {model.Conv, model.ByColumn}, "ssm_conv1d_q": {model.Conv, model.ByColumn},
	"ssm_conv1d_k": {model.Conv, model.ByColumn}, "ssm_conv1d_v": {model.Conv, model.ByColumn},
	"ssm_a": {model.Vector, model.ByColumn}, "ssm_d": {model.Vector, model.ByColumn},
	"shortconv.conv": {model.Conv, model.ByColumn}, "shortconv.in_proj": {model.Linear, model.ByColumn}, "shortconv.out_proj": {model.Linear, model.ByRow},

	"time_mix_key": {model.Linear, model.ByColumn}, "time_mix_value": {model.Linear, model.ByColumn},
	"time_mix_receptance": {model.Linear, model.ByColumn}, "time_mix_gate": {model.Linear, model.ByColumn},
	"time_mix_output": {model.Linear, model.ByRow},
	"channel_mix_key": {model.Linear, model.ByColumn}, "channel_mix_value": {model.Linear, model.ByRow},
	"time_mix_lerp_fused": {model.Vector, model.Replicated}, "channel_mix_lerp_k": {model.Vector, model.Replicated},
	"channel_mix_lerp_r": {model.Vector, model.Replicated},
	"attn_sinks":         {model.Vector, model.ByColumn},
}

// roleOf returns the role of a tensor by its name without "blk.N." and the
// number of its dimensions.
func roleOf(name string, dims int) role {
	stem, isWeight := strings.CutSuffix(name, ".weight")
	if isWeight || strings.LastIndexByte(name, '.') < 0 {
		if r, ok := matrices[stem]; ok {
			return r
		}
	}
	stem, isBias := strings.CutSuffix(stem, ".bias")
	switch {
	case strings.HasSuffix(stem, "_norm") || strings.HasSuffix(stem, "norm_2") || strings.HasSuffix(stem, "_norm_1") || strings.HasSuffix(stem, "_ln"):
		return role{model.Norm, model.Replicated}
	case strings.HasPrefix(stem, "exp_probs_b") || isBias && stem == "ffn_gate_inp":
		return role{model.Router, model.Replicated}
	case isBias:
		r := role{model.Bias, model.Replicated}
		if m, ok := matrices[stem]; ok && m.split != model.ByRow {
			r.split = m.split
		}
		return r
	case dims <= 1 || !isWeight:
		return role{model.Vector, model.Replicated}
	}
	return role{model.Linear, model.Replicated}
}

// groupOf returns the part of the checkpoint that a tensor outside the
// decoder's layers belongs to.
func groupOf(name string) model.Group {
	switch {
	case strings.HasPrefix(name, "v.") || strings.HasPrefix(name, "mm."):
		return model.Vision
	case strings.HasPrefix(name, "a.") || strings.HasPrefix(name, "mm.a."):
		return model.Audio
	case strings.HasPrefix(name, "enc."):
		return model.Encoder
	case strings.HasPrefix(name, "nextn."):
		return model.MTP
	}
	return model.Text
}

// splitLayer takes prefix and the layer's number off a name ("blk.3."); the
// layer is -1 when it has none.
func splitLayer(name, prefix string) (string, int) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return name, -1
	}
	dot := strings.IndexByte(rest, '.')
	if dot < 1 || dot > 5 {
		return name, -1
	}
	n, ok := digits(rest[:dot])
	if !ok {
		return name, -1
	}
	return rest[dot+1:], n
}
