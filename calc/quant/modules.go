package quant

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// moduleNames maps a tensor's name to what checkpoints call its module below
// the layer, the names of several families side by side. Exclusion patterns
// speak of modules. "@" stands for the expert's number.
var moduleNames = map[string]string{
	"token_embd":             "embed_tokens embed wte word_embeddings",
	"output":                 "lm_head head",
	"attn_q":                 "self_attn.q_proj attn.q_proj attention.wq mixer.q_proj",
	"attn_k":                 "self_attn.k_proj attn.k_proj attention.wk mixer.k_proj",
	"attn_v":                 "self_attn.v_proj attn.v_proj attention.wv mixer.v_proj",
	"attn_output":            "self_attn.o_proj self_attn.out_proj attn.o_proj attention.wo mixer.o_proj",
	"attn_qkv":               "self_attn.qkv_proj self_attn.query_key_value linear_attn.in_proj_qkv linear_attn.in_proj_qkvz",
	"attn_gate":              "linear_attn.in_proj_z self_attn.gate_proj",
	"attn_q_a":               "self_attn.q_a_proj attn.wq_a attn.fused_wqa_wkv",
	"attn_q_b":               "self_attn.q_b_proj attn.wq_b",
	"attn_kv_a_mqa":          "self_attn.kv_a_proj_with_mqa",
	"attn_kv_b":              "self_attn.kv_b_proj self_attn.embed_q",
	"attn_kv":                "attn.wkv attn.fused_wqa_wkv",
	"attn_out_a":             "attn.wo_a",
	"attn_out_b":             "attn.wo_b",
	"indexer.attn_q_b":       "self_attn.indexer.wq_b attn.indexer.wq_b",
	"indexer.attn_k":         "self_attn.indexer.wk",
	"indexer.proj":           "self_attn.indexer.weights_proj self_attn.indexers_proj attn.indexer.weights_proj",
	"ssm_in":                 "mixer.in_proj mamba.in_proj",
	"ssm_out":                "linear_attn.out_proj mixer.out_proj mamba.out_proj",
	"ssm_x":                  "mixer.x_proj mamba.x_proj",
	"ssm_dt":                 "mixer.dt_proj mamba.dt_proj",
	"ssm_ba":                 "linear_attn.in_proj_ba",
	"ssm_beta":               "linear_attn.in_proj_b self_attn.b_proj",
	"ssm_alpha":              "linear_attn.in_proj_a",
	"ssm_conv1d":             "linear_attn.conv1d mixer.conv1d mamba.conv1d",
	"shortconv.in_proj":      "conv.in_proj",
	"shortconv.out_proj":     "conv.out_proj",
	"ffn_gate":               "mlp.gate_proj feed_forward.gate_proj feed_forward.w1 mlp.gate_up_proj ffn.w1",
	"ffn_up":                 "mlp.up_proj feed_forward.up_proj feed_forward.w3 mlp.gate_up_proj mixer.up_proj ffn.w3",
	"ffn_down":               "mlp.down_proj feed_forward.down_proj feed_forward.w2 mixer.down_proj ffn.w2",
	"ffn_gate_inp":           "mlp.gate mlp.router block_sparse_moe.gate feed_forward.router router.proj mixer.gate ffn.gate mlp.gate.gate_proj mlp.gate.gate mlp.router.gate block_sparse_moe.router.layer",
	"ffn_gate_exps":          "mlp.experts.@.gate_proj block_sparse_moe.experts.@.w1 feed_forward.experts.@.gate_proj ffn.experts.@.w1 experts.@.gate_proj",
	"ffn_up_exps":            "mlp.experts.@.up_proj block_sparse_moe.experts.@.w3 feed_forward.experts.@.up_proj ffn.experts.@.w3 experts.@.up_proj mixer.experts.@.up_proj",
	"ffn_down_exps":          "mlp.experts.@.down_proj block_sparse_moe.experts.@.w2 feed_forward.experts.@.down_proj ffn.experts.@.w2 experts.@.down_proj mixer.experts.@.down_proj",
	"ffn_gate_shexp":         "mlp.shared_experts.gate_proj mlp.shared_expert.gate_proj feed_forward.shared_expert.gate_proj ffn.shared_experts.w1",
	"ffn_up_shexp":           "mlp.shared_experts.up_proj mlp.shared_expert.up_proj feed_forward.shared_expert.up_proj ffn.shared_experts.w3 mixer.shared_experts.up_proj",
	"ffn_down_shexp":         "mlp.shared_experts.down_proj mlp.shared_expert.down_proj feed_forward.shared_expert.down_proj ffn.shared_experts.w2 mixer.shared_experts.down_proj",
	"ffn_gate_inp_shexp":     "mlp.shared_expert_gate",
	"nextn.eh_proj":          "eh_proj fc",
	"nextn.embed_tokens":     "embed_tokens",
	"nextn.shared_head_head": "shared_head.head",
	"per_layer_token_embd":   "embed_tokens_per_layer",
	"per_layer_model_proj":   "per_layer_model_projection",
}

// switchNames are MLX's names of stacked experts.
var switchNames = map[string]string{
	"ffn_gate_exps": "mlp.switch_mlp.gate_proj block_sparse_moe.switch_mlp.gate_proj feed_forward.switch_mlp.gate_proj experts.switch_glu.gate_proj feed_forward.experts.gate_proj mlp.experts.gate_proj",
	"ffn_up_exps":   "mlp.switch_mlp.up_proj block_sparse_moe.switch_mlp.up_proj feed_forward.switch_mlp.up_proj experts.switch_glu.up_proj feed_forward.experts.up_proj mlp.experts.up_proj mixer.switch_mlp.fc1",
	"ffn_down_exps": "mlp.switch_mlp.down_proj block_sparse_moe.switch_mlp.down_proj feed_forward.switch_mlp.down_proj experts.switch_glu.down_proj feed_forward.experts.down_proj mlp.experts.down_proj mixer.switch_mlp.fc2",
}

// Expressions speak of whole paths: "model.layers.3.mlp", of a multimodal
// model's text "model.language_model.layers.3.mlp", or "layers.3.mlp". Each is
// the end of the longest one.
const (
	longest = "model.language_model."
	plainly = len("model.language_") // where the first begins in it
	bare    = len(longest)           // where the last does
)

// appendModules appends the longest paths by which a checkpoint may call t's
// module: "model.language_model.layers.3.self_attn.q_proj". In an MLX
// checkpoint stacked experts have names of their own.
func appendModules(dst []string, m *model.Model, t *model.Tensor, mlx bool) []string {
	stem := strings.TrimSuffix(t.Name, ".weight")
	names, ok := moduleNames[stem]
	if mlx && t.Part == model.Expert && switchNames[stem] != "" {
		names = switchNames[stem]
	}
	if !ok {
		names = stem
	}
	if t.Part == model.Expert && strings.HasPrefix(m.Type, "gemma4") && !mlx {
		names = "experts." + strings.TrimSuffix(strings.TrimPrefix(stem, "ffn_"), "_exps") + "_proj" // beside its mlp, not in it
	}
	names = strings.ReplaceAll(names, "@", "0")
	for names != "" {
		var n string
		n, names, _ = strings.Cut(names, " ")
		if t.Layer < 0 {
			dst = append(dst, longest+n)
			continue
		}
		dst = append(dst, longest+"layers."+strconv.Itoa(t.Layer)+"."+n)
		if t.Group == model.MTP {
			dst = append(dst, longest+"mtp.layers."+strconv.Itoa(t.Layer-len(m.Layers))+"."+n)
		}
	}
	return dst
}

// wholeModel are the prefixes that checkpoints put before "layers".
var wholeModel = [...]string{"model.", "language_model.", "text_model.", "transformer.", "backbone.", "decoder."}

// trimModel drops them.
func trimModel(path string) string {
	for i := 0; i < len(wholeModel); i++ {
		if rest, ok := strings.CutPrefix(path, wholeModel[i]); ok {
			path, i = rest, -1
		}
	}
	return path
}
