package quant

import (
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/calc/model/hfconfig"
)

const llama8B = `{"model_type":"llama","architectures":["LlamaForCausalLM"],"hidden_size":4096,"intermediate_size":14336,
"num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":128256,"torch_dtype":"bfloat16",
"tie_word_embeddings":false,"max_position_embeddings":131072}`

const gptOSS20B = `{"model_type":"gpt_oss","architectures":["GptOssForCausalLM"],"hidden_size":2880,"intermediate_size":2880,
"num_hidden_layers":24,"num_attention_heads":64,"num_key_value_heads":8,"head_dim":64,"vocab_size":201088,
"num_local_experts":32,"num_experts_per_tok":4,"sliding_window":128,"attention_bias":true,"tie_word_embeddings":false,
"max_position_embeddings":131072,"quantization_config":{"quant_method":"mxfp4","modules_to_not_convert":
["model.layers.*.self_attn","model.layers.*.mlp.router","model.embed_tokens","lm_head"]}}`

const deepseekV3 = `{"model_type":"deepseek_v3","architectures":["DeepseekV3ForCausalLM"],"hidden_size":7168,"intermediate_size":18432,
"moe_intermediate_size":2048,"num_hidden_layers":61,"num_nextn_predict_layers":1,"num_attention_heads":128,"num_key_value_heads":128,
"q_lora_rank":1536,"kv_lora_rank":512,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128,"vocab_size":129280,
"n_routed_experts":256,"n_shared_experts":1,"num_experts_per_tok":8,"first_k_dense_replace":3,"moe_layer_freq":1,
"scoring_func":"sigmoid","topk_method":"noaux_tc","n_group":8,"topk_group":4,"norm_topk_prob":true,"routed_scaling_factor":2.5,
"torch_dtype":"bfloat16","tie_word_embeddings":false,"max_position_embeddings":163840,
"quantization_config":{"activation_scheme":"dynamic","fmt":"e4m3","quant_method":"fp8","weight_block_size":[128,128]}}`

func parsed(t testing.TB, config string) *model.Model {
	t.Helper()
	m, err := hfconfig.Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// V105 and V107–V113, each anchored as the vectors' derivations say; V106 is
// DeepSeek-V3's published dtype split, V110 gpt-oss-20b's index total_size.
func TestWeightVectors(t *testing.T) {
	for _, c := range []struct {
		id, config, weights string
		want                int64
	}{
		{"V105", llama8B, "bf16", 16060522496},
		{"V105", llama8B, "auto", 16060522496},
		{"V106", deepseekV3, "auto", 688574839360},
		{"V106", deepseekV3, "fp8-block", 688574839360},
		{"V107", llama8B, "gptq", 5727854592},
		{"V107", llama8B, "awq", 5727854592},
		{"V108", llama8B, "mlx-4bit", 4517404672},
		{"V109", llama8B, "nf4-dq", 5702295552},
		{"V110", gptOSS20B, "auto", 13761264768},
		{"V110", gptOSS20B, "mxfp4", 13761264768},
		{"V111", llama8B, "nvfp4", 6027747328},
		{"V112", llama8B, "w4a16", 5700591616},
		{"V113", llama8B, "fp8", 9086705664},
	} {
		m := parsed(t, c.config)
		s, err := For(m, c.weights)
		if err != nil {
			t.Errorf("%s: %v", c.id, err)
			continue
		}
		got, err := s.Assign(m)
		if err != nil {
			t.Errorf("%s: %v", c.id, err)
			continue
		}
		if n := Sum(got); n != c.want {
			t.Errorf("%s %s: %d bytes, want %d (%+d)", c.id, c.weights, n, c.want, n-c.want)
		}
	}
}

// V114–V117: one matrix of 4096 × 14336.
func TestGGUFMatrixVectors(t *testing.T) {
	for _, c := range []struct {
		id, typ string
		want    int64
	}{
		{"V114", "Q4_K", 33030144}, {"V115", "Q6_K", 48168960}, {"V116", "Q8_0", 62390272}, {"V117", "IQ4_XS", 31195136},
	} {
		typ, _ := ggml.ByName(c.typ)
		m := &model.Model{Tensors: []model.Tensor{model.Matrix("ffn_up.weight", 14336, 4096)}}
		s, err := GGUF("pure-" + c.typ)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Assign(m)
		if err != nil || got[0].Bytes != c.want || got[0].Type != typ.String() {
			t.Errorf("%s: %+v, %v, want %d", c.id, got, err, c.want)
		}
	}
}
