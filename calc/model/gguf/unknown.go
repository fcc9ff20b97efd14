package gguf

import (
	"slices"
	"strings"

	"hwledger/calc/model"
)

// plainKeys are the keys of an architecture that is not known which say
// nothing beyond a plain decoder, or which the description reads. Any other
// key may change what a layer keeps, so it is not passed over.
var plainKeys = map[string]bool{
	"context_length": true, "embedding_length": true, "block_count": true, "vocab_size": true, "feed_forward_length": true,
	"attention.head_count": true, "attention.head_count_kv": true, "attention.key_length": true, "attention.value_length": true,
	"attention.key_length_swa": true, "attention.value_length_swa": true,
	"attention.layer_norm_epsilon": true, "attention.layer_norm_rms_epsilon": true, "attention.clamp_kqv": true,
	"attention.max_alibi_bias": true, "attention.scale": true, "attention.causal": true,
	"attention.sliding_window": true, "attention.sliding_window_pattern": true,
	"attention.q_lora_rank": true, "attention.kv_lora_rank": true, "attention.key_length_mla": true, "attention.value_length_mla": true,
	"attn_logit_softcapping": true, "final_logit_softcapping": true, "logit_scale": true, "residual_scale": true, "embedding_scale": true,
	"use_parallel_residual": true, "tensor_data_layout": true, "nextn_predict_layers": true,
	"leading_dense_block_count": true, "interleave_moe_layer_step": true,
	"ssm.conv_kernel": true, "ssm.inner_size": true, "ssm.state_size": true, "ssm.time_step_rank": true, "ssm.group_count": true,
}

// unknownKeys refuses an architecture that is not known when it has keys that
// are not understood. A window is understood only with a list of its layers.
func (b *builder) unknownKeys() error {
	var odd []string
	for key := range b.h.KV {
		name, ok := strings.CutPrefix(key, b.k.arch+".")
		if !ok || plainKeys[name] || strings.HasPrefix(name, "rope.") || strings.HasPrefix(name, "expert_") || strings.HasPrefix(name, "moe_") {
			continue
		}
		odd = append(odd, key)
	}
	const window, pattern = "attention.sliding_window", "attention.sliding_window_pattern"
	if b.k.has(window) {
		if _, listed := b.k.array(pattern, 0); listed {
			b.fam.window = &windowRule{required: true, listed: true}
		} else {
			odd = append(odd, b.k.arch+"."+window)
		}
	}
	return b.notUnderstood("keys", odd)
}

// plainTensors are names of layer tensors that are neither matrices with a
// known role, norms nor biases.
var plainTensors = map[string]bool{"attn_rot_embd": true, "rope_freqs.weight": true, "layer_output_scale.weight": true}

// unknownTensors accepts an architecture that is not known when all of its
// layers' tensors have known names: then rows of attn_k and attn_v, held
// against the keys, say what a layer keeps.
func (b *builder) unknownTensors() error {
	var odd []string
	for i := range b.m.Tensors {
		t := &b.m.Tensors[i]
		if t.Layer < 0 || t.Group != model.Text || plainTensors[t.Name] {
			continue
		}
		stem, _ := strings.CutSuffix(t.Name, ".weight")
		if _, ok := matrices[stem]; ok || latentTensors[stem] || t.Part == model.Norm || t.Part == model.Bias || t.Part == model.Router {
			continue
		}
		odd = append(odd, t.Name)
	}
	if err := b.notUnderstood("tensors", odd); err != nil {
		return err
	}
	for i := range b.m.Layers {
		if b.m.Layers[i].Kind() == model.KindNone && !b.m.Layers[i].FFN.Present() {
			return b.unsupported("layer %d has neither a mixer nor a feed-forward network that is known", i)
		}
	}
	b.fact("layers", "the architecture is not known; layers follow from the tensors", "gguf header: rows of attention tensors in every layer")
	return nil
}

var latentTensors = map[string]bool{"attn_q_a": true, "attn_kv_a_mqa": true, "ssm_f_a": true, "ssm_g_a": true}

func (b *builder) notUnderstood(what string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	names = slices.Compact(names)
	more := ""
	if len(names) > 8 {
		names, more = names[:8], " …"
	}
	for i := range names {
		names[i] = printable(names[i])
	}
	return b.unsupported("the architecture is not known and has %s that are not understood: %s%s", what, strings.Join(names, ", "), more).
		WithHint("give the model's config.json directory instead, or a newer hwledger")
}
