package hfconfig

import (
	"fmt"
	"testing"
)

// TestQuantization reads descriptions as publishers write them.
func TestQuantization(t *testing.T) {
	head := `{` + llamaHead + `,"num_hidden_layers":1,"intermediate_size":128,`
	for _, c := range []struct{ name, config, want string }{
		{"DeepSeek-V3", `"quantization_config":{"quant_method":"fp8","fmt":"e4m3","activation_scheme":"dynamic","weight_block_size":[128,128]}`, "fp8-block 8 0 [128 128]"},
		{"Devstral-2", `"quantization_config":{"quant_method":"fp8","activation_scheme":"static","weight_block_size":null,"modules_to_not_convert":["lm_head"]}`, "fp8-tensor 8 0 [0 0] -lm_head"},
		{"Llama-3.1-405B-FP8", `"quantization_config":{"quant_method":"fbgemm_fp8"}`, "fp8-channel 8 0 [0 0]"},
		{"GPTQ", `"quantization_config":{"quant_method":"gptq","bits":4,"group_size":128,"sym":true,"desc_act":false}`, "gptq 4 128 [0 0]"},
		{"AWQ", `"quantization_config":{"quant_method":"awq","bits":4,"group_size":64,"zero_point":true,"version":"gemm"}`, "awq 4 64 [0 0]"},
		{"AutoRound", `"quantization_config":{"quant_method":"auto-round","packing_format":"auto_round:auto_gptq","bits":4,"group_size":128,"sym":true}`, "gptq 4 128 [0 0]"},
		{"NF4", `"quantization_config":{"quant_method":"bitsandbytes","load_in_4bit":true,"bnb_4bit_quant_type":"nf4"}`, "bnb-nf4 4 64 [0 0]"},
		{"NF4, double", `"quantization_config":{"quant_method":"bitsandbytes","load_in_4bit":true,"bnb_4bit_quant_type":"nf4","bnb_4bit_use_double_quant":true}`, "bnb-nf4-dq 4 64 [0 0]"},
		{"LLM.int8", `"quantization_config":{"quant_method":"bitsandbytes","load_in_8bit":true}`, "bnb-int8 8 0 [0 0]"},
		{"gpt-oss", `"quantization_config":{"quant_method":"mxfp4","modules_to_not_convert":["lm_head"]}`, "mxfp4 4 32 [0 0] -lm_head"},
		{"FP8-dynamic", `"quantization_config":{"quant_method":"compressed-tensors","format":"float-quantized","ignore":["lm_head"],"config_groups":{"group_0":{"targets":["Linear"],"weights":{"num_bits":8,"type":"float","strategy":"channel"}}}}`, "fp8-channel 8 0 [0 0] -lm_head"},
		{"W4A16", `"quantization_config":{"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"group_0":{"targets":["Linear"],"weights":{"num_bits":4,"type":"int","strategy":"group","group_size":32}}}}`, "w4a16 4 32 [0 0]"},
		{"W8A8", `"compression_config":{"quant_method":"compressed_tensors","config_groups":{"group_0":{"targets":["Linear"],"weights":{"num_bits":8,"type":"int","strategy":"channel"}}}}`, "int8 8 0 [0 0]"},
		{"Kimi-K3", `"quantization_config":{"quant_method":"compressed-tensors","config_groups":{"group_0":{"format":"mxfp4-pack-quantized","weights":{"num_bits":4,"type":"float","strategy":"group","group_size":32}}}}`, "mxfp4-pack-quantized 4 32 [0 0]"},
		{"NVFP4 with fp8 cache", `"quantization_config":{"quant_method":"modelopt","quant_algo":"NVFP4","ignore":["lm_head"],"kv_cache_scheme":{"dynamic":false,"num_bits":8,"type":"float"}}`, "nvfp4 4 16 [0 0] -lm_head kv=fp8"},
		{"hf_quant_config.json inlined", `"quantization_config":{"quantization":{"quant_algo":"FP8","kv_cache_quant_algo":"FP8","exclude_modules":["lm_head"]}}`, "fp8-tensor 8 0 [0 0] -lm_head kv=fp8"},
		{"MLX", `"quantization":{"group_size":64,"bits":4,"model.layers.0.mlp.gate":{"group_size":64,"bits":8}},"quantization_config":{"group_size":64,"bits":4}`, "mlx 4 64 [0 0] model.layers.0.mlp.gate={affine 8 64}"},
		{"MLX mxfp4", `"quantization":{"group_size":32,"bits":4,"mode":"mxfp4"}`, "mlx-mxfp4 4 32 [0 0]"},
		{"MLX, modules kept and named", `"quantization":{"group_size":64,"bits":4,"mode":"affine","lm_head":false,"model.layers.0.mlp.down_proj":{"mode":"mxfp8"},"model.layers.0.mlp.up_proj":true}`, "mlx 4 64 [0 0] -lm_head model.layers.0.mlp.down_proj={mxfp8 8 32}"},
		{"MLX of a checkpoint that was FP8", `"quantization":{"group_size":32,"bits":8,"mode":"mxfp8"},"quantization_config":{"quant_method":"fp8","weight_block_size":[128,128]}`, "mlx-mxfp8 8 32 [0 0]"},
		{"MLX in quantization_config alone", `"quantization_config":{"bits":4,"mode":"nvfp4","group_size":16}`, "mlx-nvfp4 4 16 [0 0]"},
		{"EXL2", `"quantization_config":{"quant_method":"exl2","bits":4.65,"head_bits":6}`, "exl2-4.65bpw-h6 0 0 [0 0]"},
		{"HQQ", `"quantization_config":{"quant_method":"hqq","quant_config":{"weight_quant_params":{"nbits":4,"group_size":64}}}`, "hqq 4 64 [0 0]"},
		{"DeepSeek-V4-Flash", `"expert_dtype":"fp4","quantization_config":{"quant_method":"fp8","weight_block_size":[128,128],"scale_fmt":"ue8m0"}`, "fp8-block 8 0 [128 128] experts=mxfp4"},
		{"a mixture by module", `"quantization_config":{"quant_method":"modelopt","quant_algo":"MIXED_PRECISION","quantized_layers":{"model.layers.0.self_attn.q_proj":{"quant_algo":"FP8"},"model.layers.0.mlp.up_proj":{"quant_algo":"NVFP4"},"model.layers.0.mlp.down_proj":{"quant_algo":"NVFP4"}}}`, "nvfp4 0 0 [0 0] modules=3"},
		{"one that nobody here knows", `"quantization_config":{"quant_method":"novelquant"}`, "novelquant 0 0 [0 0]"},
		{"none", `"quantization_config":null`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := parse(t, head+c.config+`}`)
			got := ""
			if q := m.Quant; q != nil {
				got = fmt.Sprintf("%s %d %d %v", q.Method, q.Bits, q.GroupSize, q.BlockSize)
				for _, e := range q.Exclude {
					got += " -" + e
				}
				for k, v := range q.Overrides {
					got += fmt.Sprintf(" %s=%v", k, v)
				}
				if q.Experts != "" {
					got += " experts=" + q.Experts
				}
				if len(q.Modules) > 0 {
					got += fmt.Sprintf(" modules=%d", len(q.Modules))
				}
			}
			if m.KVCacheType != "" {
				got += " kv=" + m.KVCacheType
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
