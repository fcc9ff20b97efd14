package llamacpp

import (
	"math"
	"testing"

	"hwledger/calc/engine"
)

// Published configurations of models whose users posted complete logs.
const (
	gemma2 = `{"architectures":["Gemma2ForCausalLM"],"model_type":"gemma2","hidden_size":2304,"intermediate_size":9216,"head_dim":256,
		"num_attention_heads":8,"num_key_value_heads":4,"num_hidden_layers":26,"sliding_window":4096,"vocab_size":256000,
		"max_position_embeddings":8192,"attn_logit_softcapping":50.0,"final_logit_softcapping":30.0,"torch_dtype":"bfloat16"}`
	gptOSS = `{"architectures":["GptOssForCausalLM"],"model_type":"gpt_oss","attention_bias":true,"experts_per_token":4,"head_dim":64,
		"hidden_size":2880,"intermediate_size":2880,"max_position_embeddings":131072,"num_attention_heads":64,"num_experts_per_tok":4,
		"num_hidden_layers":24,"num_key_value_heads":8,"num_local_experts":32,"sliding_window":128,"vocab_size":201088,
		"layer_types":["sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention",
		"sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention",
		"sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention",
		"sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention"],
		"tie_word_embeddings":false,"quantization_config":{"quant_method":"mxfp4",
		"modules_to_not_convert":["model.layers.*.self_attn","model.layers.*.mlp.router","model.embed_tokens","lm_head"]}}`
	nemotron = `{"architectures":["NemotronHForCausalLM"],"model_type":"nemotron_h","hidden_size":2688,"intermediate_size":1856,"head_dim":128,
		"hybrid_override_pattern":"MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME","num_hidden_layers":52,"conv_kernel":4,"expand":2,
		"mamba_head_dim":64,"mamba_num_heads":64,"n_groups":8,"ssm_state_size":128,"mlp_hidden_act":"relu2","moe_intermediate_size":1856,
		"moe_shared_expert_intermediate_size":3712,"n_routed_experts":128,"n_shared_experts":1,"num_experts_per_tok":6,
		"norm_topk_prob":true,"num_attention_heads":32,"num_key_value_heads":2,"use_conv_bias":true,"vocab_size":131072,
		"tie_word_embeddings":false,"max_position_embeddings":262144,"torch_dtype":"bfloat16"}`
)

// TestLogs plans what users ran on real hardware. The figures are the MiB
// their engines logged, with two decimals: on the device and on the host.
func TestLogs(t *testing.T) {
	type figure struct {
		term string
		host bool
		mib  float64
	}
	for _, c := range []struct {
		name, config, version, weights, vendor string
		ctx, seqs                              int64
		flags                                  engine.Flags
		want                                   []figure
	}{
		{
			"Gemma-2-2B Q4_K_M, CPU, 4 slots", gemma2, "b7700", "Q4_K_M", "cpu", 2048, 4, engine.Flags{"kv_unified": true},
			[]figure{{"Weights", false, 1623.67}, {"KV cache", false, 416}, {"KV cache, sliding window", false, 416}, {"Compute buffer", false, 509.00}, {"Output buffer", false, 3.91}},
		},
		{
			"Llama-3.1-8B Q4_K_M, CUDA, no flash attention", llama8B, "b5000", "Q4_K_M", "nvidia", 2048, 4, engine.Flags{"kv_unified": true, "flash_attn": "off"},
			[]figure{{"Weights", false, 4403.49}, {"Weights", true, 281.81}, {"KV cache", false, 1024}, {"Compute buffer", false, 560.00}, {"Compute buffer", true, 24.01}},
		},
		{
			"gpt-oss-20b, Metal, 131072 tokens", gptOSS, "b8164", "", "apple", 131072, 1, nil,
			[]figure{{"KV cache", false, 3072}, {"KV cache, sliding window", false, 18}, {"Compute buffer", true, 268.77}, {"Output buffer", true, 0.77}},
		},
		{
			"gpt-oss-20b, Metal, 4 unified slots", gptOSS, "b8164", "", "apple", 32768, 4, engine.Flags{"kv_unified": true},
			[]figure{{"KV cache", false, 3072}, {"KV cache, sliding window", false, 24}, {"Compute buffer", true, 269.27}, {"Output buffer", true, 3.07}},
		},
		{
			"Nemotron-3-Nano, CUDA, 4 unified slots", nemotron, "b8999", "Q4_K_M", "nvidia", 4096, 4, engine.Flags{"kv_unified": true},
			[]figure{{"KV cache", false, 96}, {"Recurrent state", false, 190.47}, {"Compute buffer", false, 271.75}, {"Compute buffer", true, 42.51}, {"Output buffer", true, 2.00}},
		},
	} {
		l := load(c.ctx, c.flags)
		l.Sequences, l.Version, l.Weights = c.seqs, c.version, c.weights
		hw := engine.Hardware{Devices: []engine.Device{{Name: "device", Vendor: c.vendor, Free: 64 * engine.GiB, Usable: 64 * engine.GiB}}, Host: &engine.Device{}}
		u, err := New().Plan(configured(t, c.config), l, hw)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, w := range c.want {
			found := false
			for _, x := range u.Terms {
				if x.Name != w.term || (len(x.On) == 0) != w.host {
					continue
				}
				found = true
				if got := float64(x.Bytes) / float64(engine.MiB); math.Abs(got-w.mib) > 0.0051 {
					t.Errorf("%s: %s (host %v) %.2f MiB, the engine logged %.2f", c.name, w.term, w.host, got, w.mib)
				}
			}
			if !found {
				t.Errorf("%s: no %s (host %v)", c.name, w.term, w.host)
			}
		}
	}
}
