package quant_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
	"hwledger/calc/quant"
)

// Configurations with MLX's own description of their quantization, as
// mlx-lm writes it, against the sizes of the published repositories
// (testdata/mlx_repos.tsv; in these rows they are those of the tensors alone).
// The descriptions are rebuilt from what mlx-lm's models ask for, they are not
// the repositories' own files.
func TestMLXDescribed(t *testing.T) {
	eight := map[string]any{"group_size": 64, "bits": 8}
	for _, c := range []struct {
		repo, entry string
		all         map[string]any
		// each lists modules that differ in every layer, whole those outside.
		each, whole []string
		differ      any
		bytes       int64
	}{
		{"GLM-4.7-4bit", "zai-org/GLM-4.7", map[string]any{"group_size": 64, "bits": 4, "mode": "affine"}, nil, nil, nil, 198_556_925_568},
		{"GLM-4.7-6bit", "zai-org/GLM-4.7", map[string]any{"group_size": 64, "bits": 6}, nil, nil, nil, 286_737_579_648},
		{"GLM-4.7-8bit-gs32", "zai-org/GLM-4.7", map[string]any{"group_size": 32, "bits": 8, "mode": "affine"}, nil, nil, nil, 396_963_397_248},
		{"GLM-5.1-MXFP4-Q8", "zai-org/GLM-5.1", map[string]any{"group_size": 32, "bits": 4, "mode": "mxfp4"},
			[]string{"self_attn.q_a_proj", "self_attn.q_b_proj", "self_attn.kv_a_proj_with_mqa", "self_attn.embed_q", "self_attn.unembed_out", "self_attn.o_proj",
				"self_attn.indexer.wq_b", "self_attn.indexer.wk", "self_attn.indexer.weights_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
				"mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj", "mlp.shared_experts.down_proj"},
			[]string{"model.embed_tokens", "lm_head"}, eight, 405_480_321_024},
		{"Llama-3.1-Nemotron-70B-Instruct-HF-4bit", "nvidia/Llama-3.1-Nemotron-70B-Instruct-HF", map[string]any{"group_size": 64, "bits": 4}, nil, nil, nil, 39_688_355_840},
		{"MiniMax-M2.1-3bit", "MiniMaxAI/MiniMax-M2.5", map[string]any{"group_size": 64, "bits": 3}, []string{"block_sparse_moe.gate"}, nil, eight, 100_086_644_736},
		{"MiniMax-M2.5-4bit", "MiniMaxAI/MiniMax-M2.5", map[string]any{"group_size": 64, "bits": 4}, []string{"block_sparse_moe.gate"}, nil, eight, 128_666_664_960},
		{"Qwen3.6-35B-A3B-4bit", "Qwen/Qwen3.6-35B-A3B", map[string]any{"group_size": 64, "bits": 4, "mode": "affine"}, []string{"mlp.gate", "mlp.shared_expert_gate"}, nil, eight, 20_401_929_952},
		{"Qwen3.6-27B-8bit", "Qwen/Qwen3.6-27B", map[string]any{"group_size": 64, "bits": 8, "mode": "affine"}, nil, nil, nil, 29_500_938_720},
		// Its size is that of routers at the general 4 bits, which is what a
		// description that lists none means, and 1920 bytes: as many as the
		// decays of 30 delta nets of 32 heads take more in float32.
		{"Qwen3.5-35B-A3B-4bit", "Qwen/Qwen3.5-35B-A3B", map[string]any{"group_size": 64, "bits": 4, "mode": "affine"}, nil, nil, nil, 20_391_405_152 - 1920},
	} {
		t.Run(c.repo, func(t *testing.T) {
			e, ok, err := catalog.Find(c.entry)
			if err != nil || !ok {
				t.Fatalf("%s is not in the catalogue: %v", c.entry, err)
			}
			var config map[string]any
			if err := json.Unmarshal(e.Config, &config); err != nil {
				t.Fatal(err)
			}
			prefix := "model.layers."
			if config["text_config"] != nil {
				prefix = "language_model.model.layers."
			}
			for i := range 100 {
				for _, name := range c.each {
					c.all[fmt.Sprintf("%s%d.%s", prefix, i, name)] = c.differ
				}
			}
			for _, name := range c.whole {
				c.all[name] = c.differ
			}
			config["quantization"] = c.all
			if got := describedBytes(t, config); got != c.bytes {
				t.Errorf("%d bytes, the repository has %d (%+d)", got, c.bytes, got-c.bytes)
			}
		})
	}
}

// describedBytes is what a configuration says its weights take, without the
// multi-token-prediction layers that MLX drops.
func describedBytes(t *testing.T, config map[string]any) int64 {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	m, err := hfconfig.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	s, err := quant.AsStored(m)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := s.Assign(m)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for i := range stored {
		if m.Tensors[i].Group != model.MTP {
			n += stored[i].Bytes
		}
	}
	return n
}
