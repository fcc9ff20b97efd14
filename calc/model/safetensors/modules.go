package safetensors

import (
	"strings"
	"sync"
)

// target is where a checkpoint's module goes, as one of several
// possibilities: GGUF tensor names without their kind. A module that fuses
// several tensors names them all.
type target struct {
	names []string
	// adds: several modules of the checkpoint may go into this one tensor.
	adds bool
	// whole: the name is complete, no ".weight" or ".bias" is added.
	whole bool
}

// modules maps a checkpoint's module, or module and kind, to the targets to
// try in order. The first one that the model has and that is still free takes
// it. Modules outside the layers have a leading "^".
var modules = sync.OnceValue(func() map[string][]target {
	out := map[string][]target{}
	for _, line := range strings.Split(strings.TrimSpace(moduleTable), "\n") {
		left, right, _ := strings.Cut(line, ":")
		var ts []target
		for _, f := range strings.Fields(left) {
			t := target{}
			f, t.adds = strings.CutSuffix(f, "*")
			f, t.whole = strings.CutPrefix(f, "=")
			t.names = strings.Split(f, "+")
			ts = append(ts, t)
		}
		for _, m := range strings.Fields(right) {
			out[m] = append(out[m], ts...)
		}
	}
	return out
})

// moduleTable: targets, a colon, the modules that checkpoints keep them in.
// "a+b" is one module with both, "a b" are possibilities, "a*" takes several
// modules, "=a" is a complete name.
const moduleTable = `
token_embd: ^embed_tokens ^wte ^word_embeddings ^embeddings ^embedding.word_embeddings ^tok_embeddings ^embeddings.word_embeddings ^shared ^embed_in ^embed ^emb
output: ^lm_head ^output ^embed_out ^output_layer ^head ^transformer.output_layer
output_norm: ^norm ^ln_f ^final_layernorm ^final_layer_norm ^norm_f ^output_norm ^embedding_norm ^encoder.final_layernorm ^ln_out
token_embd_norm: ^word_embeddings_layernorm ^embeddings.LayerNorm ^embedding_norm
position_embd: ^wpe ^embed_positions ^embeddings.position_embeddings
attn_norm: input_layernorm ln_1 attention_norm norm ln1 self_attn_layer_norm operator_norm attn_norm temporal_pre_norm ln_attn
post_attention_norm ffn_norm: post_attention_layernorm post_self_attn_layernorm
ffn_norm: ln_2 ffn_norm pre_feedforward_layernorm post_layernorm ln2 final_layer_norm pre_ff_layernorm pre_mlp_layernorm ln_mlp norm2
post_ffw_norm ffn_norm: post_feedforward_layernorm post_mlp_layernorm
attn_q attn_qkv*: self_attn.q_proj attention.wq attn.q_proj self_attention.query self_attn.wq attention.self.query mixer.q_proj attention.q_proj
attn_k attn_qkv*: self_attn.k_proj attention.wk attn.k_proj self_attention.key attention.self.key mixer.k_proj attention.k_proj
attn_v attn_qkv*: self_attn.v_proj attention.wv attn.v_proj self_attention.value attention.self.value mixer.v_proj attention.v_proj
attn_q+attn_k+attn_v attn_qkv: self_attn.qkv_proj attn.c_attn attention.query_key_value self_attention.query_key_value self_attn.W_pack attn.Wqkv attn.wqkv attention.wqkv mixer.Wqkv self_attn.query_key_value attention.qkv_proj
attn_output: self_attn.o_proj attention.wo attn.c_proj attn.out_proj attention.dense self_attention.dense self_attn.out_proj attention.output.dense self_attn.dense mixer.o_proj attention.out_proj attention.o_proj
attn_output ssm_out: mixer.out_proj
attn_q_norm: self_attn.q_norm self_attn.q_layernorm self_attn.query_layernorm self_attention.q_layernorm
attn_k_norm: self_attn.k_norm self_attn.k_layernorm self_attn.key_layernorm self_attention.k_layernorm
attn_sinks: self_attn.sinks attn.attn_sink
attn_q_a: self_attn.q_a_proj attn.wq_a
attn_q_a_norm: self_attn.q_a_layernorm attn.q_norm
attn_q_b: self_attn.q_b_proj attn.wq_b
attn_kv_a_mqa: self_attn.kv_a_proj_with_mqa
attn_q_a+attn_kv_a_mqa: self_attn.fused_qkv_a_proj_with_mqa
attn_kv_a_norm: self_attn.kv_a_layernorm
attn_kv_b: self_attn.kv_b_proj
attn_kv_b*: self_attn.embed_q self_attn.unembed_out
attn_kv: attn.wkv
attn_kv_norm: attn.kv_norm
attn_out_a: attn.wo_a
attn_out_b: attn.wo_b
indexer.attn_q_b: self_attn.indexer.wq_b attn.indexer.wq_b
indexer.attn_k: self_attn.indexer.wk
indexer.k_norm: self_attn.indexer.k_norm
indexer.proj: self_attn.indexer.weights_proj attn.indexer.weights_proj
ffn_gate: mlp.gate_proj feed_forward.w1 mlp.w1 feed_forward.gate_proj
ffn_up: mlp.up_proj feed_forward.w3 mlp.w2 feed_forward.up_proj mixer.up_proj
ffn_gate+ffn_up: mlp.c_fc mlp.dense_h_to_4h mlp.fc1 fc1 mlp.fc_in intermediate.dense mlp.gate_up_proj
ffn_down: mlp.down_proj feed_forward.w2 mlp.c_proj mlp.dense_4h_to_h mlp.fc2 fc2 mlp.fc_out feed_forward.down_proj output.dense mixer.down_proj
ffn_gate_inp: mlp.gate mlp.router block_sparse_moe.gate mlp.router.gate mlp.gate.wg feed_forward.router router ffn.gate block_sparse_moe.router.layer mixer.gate moe.gate feed_forward.gate ffn.router.layer
ffn_gate_inp: mlp.gate.gate_proj mlp.gate.gate
=exp_probs_b.bias: mlp.gate.e_score_correction_bias mlp.e_score_correction_bias block_sparse_moe.e_score_correction_bias mixer.gate.e_score_correction_bias mlp.moe_statics.e_score_correction_bias ffn.gate.bias feed_forward.expert_bias block_sparse_moe.gate.e_score_correction_bias mlp.expert_bias mlp.gate.expert_bias
ffn_gate_exps: mlp.experts.gate_proj block_sparse_moe.experts.w1 feed_forward.experts.gate_proj ffn.experts.w1 feed_forward.experts.w1 moe.gate_proj feed_forward.experts.w1 ffn.experts.mlp.w1
ffn_up_exps: mlp.experts.up_proj block_sparse_moe.experts.w3 feed_forward.experts.up_proj ffn.experts.w3 feed_forward.experts.w3 mixer.experts.up_proj moe.up_proj ffn.experts.mlp.v1
ffn_down_exps: mlp.experts.down_proj block_sparse_moe.experts.w2 feed_forward.experts.down_proj ffn.experts.w2 feed_forward.experts.w2 block_sparse_moe.output_linear mixer.experts.down_proj moe.down_proj ffn.experts.mlp.w2
ffn_gate_exps: mlp.switch_mlp.gate_proj block_sparse_moe.switch_mlp.gate_proj feed_forward.switch_mlp.gate_proj experts.switch_glu.gate_proj
ffn_up_exps: mlp.switch_mlp.up_proj block_sparse_moe.switch_mlp.up_proj feed_forward.switch_mlp.up_proj experts.switch_glu.up_proj mixer.switch_mlp.fc1
ffn_down_exps: mlp.switch_mlp.down_proj block_sparse_moe.switch_mlp.down_proj feed_forward.switch_mlp.down_proj experts.switch_glu.down_proj mixer.switch_mlp.fc2
ffn_gate_exps+ffn_up_exps: mlp.experts.gate_up_proj feed_forward.experts.gate_up_proj block_sparse_moe.input_linear
ffn_gate_shexp: mlp.shared_experts.gate_proj mlp.shared_expert.gate_proj feed_forward.shared_expert.gate_proj mlp.shared_mlp.gate_proj ffn.shared_experts.w1 share_expert.gate_proj block_sparse_moe.shared_experts.gate_proj
ffn_up_shexp: mlp.shared_experts.up_proj mlp.shared_expert.up_proj feed_forward.shared_expert.up_proj mlp.shared_mlp.up_proj ffn.shared_experts.w3 mixer.shared_experts.up_proj share_expert.up_proj block_sparse_moe.shared_experts.up_proj
ffn_down_shexp: mlp.shared_experts.down_proj mlp.shared_expert.down_proj feed_forward.shared_expert.down_proj mlp.shared_mlp.down_proj ffn.shared_experts.w2 mixer.shared_experts.down_proj share_expert.down_proj block_sparse_moe.shared_experts.down_proj
ffn_down_shexp ffn_down: shared_mlp.output_linear
ffn_gate_shexp+ffn_up_shexp ffn_gate+ffn_up: shared_mlp.input_linear
ffn_gate_inp_shexp: mlp.shared_expert_gate
ssm_in: mamba.in_proj mixer.in_proj
ssm_conv1d: mamba.conv1d mixer.conv1d linear_attn.conv1d
ssm_x: mamba.x_proj mixer.x_proj
ssm_dt: mamba.dt_proj mixer.dt_proj
=ssm_dt.bias: mixer.dt_bias mamba.dt_bias linear_attn.dt_bias self_attn.dt_bias
=ssm_a: mamba.A_log mixer.A_log linear_attn.A_log self_attn.A_log
=ssm_d: mamba.D mixer.D
ssm_norm: mamba.norm mixer.norm linear_attn.norm self_attn.o_norm
ssm_dt_norm: mamba.dt_layernorm
ssm_b_norm: mamba.b_layernorm
ssm_c_norm: mamba.c_layernorm
ssm_out: mamba.out_proj linear_attn.out_proj
attn_qkv: linear_attn.in_proj_qkv
attn_qkv+attn_gate: linear_attn.in_proj_qkvz
attn_gate: linear_attn.in_proj_z self_attn.g_proj self_attn.output_gate
ssm_ba ssm_beta+ssm_alpha: linear_attn.in_proj_ba
ssm_beta ssm_ba*: linear_attn.in_proj_b self_attn.b_proj
ssm_alpha ssm_ba*: linear_attn.in_proj_a
ssm_conv1d_q: self_attn.q_conv1d
ssm_conv1d_k: self_attn.k_conv1d
ssm_conv1d_v: self_attn.v_conv1d
ssm_f_a: self_attn.f_a_proj
ssm_f_b: self_attn.f_b_proj
ssm_g_a: self_attn.g_a_proj
ssm_g_b: self_attn.g_b_proj
attn_sub_norm: self_attn.norm
shortconv.in_proj: conv.in_proj
shortconv.conv: conv.conv
shortconv.out_proj: conv.out_proj
nextn.eh_proj: eh_proj ^fc
nextn.enorm: enorm ^pre_fc_norm_embedding
nextn.hnorm: hnorm ^pre_fc_norm_hidden
nextn.shared_head_norm: shared_head.norm ^norm
nextn.shared_head_head: shared_head.head
nextn.embed_tokens: embed_tokens ^embed_tokens
`
