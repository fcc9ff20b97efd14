package hfconfig

import (
	"strconv"
	"strings"
	"testing"
)

// vector is one of the project's recorded figures.
type vector struct {
	ID        string `json:"id"`
	Model     string `json:"model"`
	Total     int64  `json:"total_params"`
	Active    *int64 `json:"active_params"`
	Published *int64 `json:"published_total"`
	Bytes     int64  `json:"expected_bytes"`
}

func vectors(t testing.TB) map[string]vector {
	return readLines(t, "../../../testdata/math_vectors.jsonl", func(v vector) string { return v.ID })
}

// counts say which configuration a vector of parameters is about, and what it
// counts beside the trunk: MTP layers, or what a checkpoint stores further.
var counts = []struct {
	vector, model string
	mtp           bool
	// more is what the published total holds besides, and why names it.
	more int64
	why  string
	// text: the vector leaves out the vision tower.
	text bool
}{
	{vector: "P001", model: "meta-llama/Llama-3.1-8B"},
	{vector: "P002", model: "meta-llama/Llama-3.1-70B"},
	{vector: "P003", model: "meta-llama/Meta-Llama-3.1-405B"},
	{vector: "P004", model: "meta-llama/Llama-3.2-3B"},
	{vector: "P005", model: "meta-llama/Llama-3.2-1B"},
	{vector: "P006", model: "mistralai/Mistral-7B-v0.1"},
	{vector: "P007", model: "mistralai/Mistral-7B-Instruct-v0.3"},
	{vector: "P008", model: "mistralai/Mistral-Nemo-Instruct-2407"},
	{vector: "P009", model: "Qwen/Qwen2.5-0.5B"},
	{vector: "P010", model: "Qwen/Qwen2.5-7B"},
	{vector: "P011", model: "Qwen/Qwen2.5-72B"},
	{vector: "P012", model: "Qwen/Qwen3-8B"},
	{vector: "P013", model: "Qwen/Qwen3-32B"},
	{vector: "P014", model: "microsoft/Phi-3-mini-4k-instruct"},
	{vector: "P015", model: "microsoft/phi-4"},
	{vector: "P016", model: "microsoft/Phi-4-mini-instruct"},
	{vector: "P017", model: "google/gemma-2-9b"},
	{vector: "P018", model: "google/gemma-2-27b-it"},
	{vector: "P019", model: "google/gemma-2-2b"},
	{vector: "P020", model: "HuggingFaceTB/SmolLM3-3B"},
	{vector: "P021", model: "allenai/OLMo-2-1124-7B"},
	{vector: "P022", model: "allenai/OLMo-2-1124-13B"},
	{vector: "P023", model: "google/gemma-3-1b-it"},
	{vector: "P024", model: "google/gemma-3-4b-it"},
	{vector: "P025", model: "google/gemma-3-12b-it"},
	{vector: "P026", model: "google/gemma-3-27b-it"},
	{vector: "P027", model: "mistralai/Mixtral-8x7B-v0.1"},
	{vector: "P028", model: "mistralai/Mixtral-8x22B-v0.1"},
	{vector: "P029", model: "Qwen/Qwen3-30B-A3B"},
	{vector: "P030", model: "Qwen/Qwen3-235B-A22B"},
	{vector: "P031", model: "Qwen/Qwen3-Coder-480B-A35B-Instruct"},
	{vector: "P032", model: "Qwen/Qwen1.5-MoE-A2.7B"},
	{vector: "P033", model: "deepseek-ai/deepseek-moe-16b-base"},
	{vector: "P034", model: "allenai/OLMoE-1B-7B-0125"},
	{vector: "P035", model: "zai-org/GLM-4.5"},
	{vector: "P036", model: "zai-org/GLM-4.5", mtp: true},
	{vector: "P037", model: "zai-org/GLM-4.5-Air"},
	{vector: "P038", model: "zai-org/GLM-4.5-Air", mtp: true},
	{vector: "P039", model: "deepseek-ai/DeepSeek-V2"},
	{vector: "P040", model: "deepseek-ai/DeepSeek-V2-Lite"},
	{vector: "P041", model: "moonshotai/Moonlight-16B-A3B-Instruct"},
	{vector: "P042", model: "deepseek-ai/DeepSeek-V3"},
	{vector: "P043", model: "moonshotai/Kimi-K2-Instruct"},
	{vector: "P044", model: "openai/gpt-oss-20b"},
	{vector: "P045", model: "openai/gpt-oss-120b"},
	{vector: "P046", model: "MiniMaxAI/MiniMax-M2"},
	{vector: "P059", model: "bigscience/bloom-560m"},
	{vector: "P060", model: "bigscience/bloom-7b1"},
	{vector: "P061", model: "openai-community/gpt2"},
	{vector: "P062", model: "facebook/opt-125m"},
	{vector: "P063", model: "facebook/opt-6.7b"},
	{vector: "P064", model: "microsoft/phi-2"},
	{vector: "P065", model: "EleutherAI/gpt-j-6b"},
	{vector: "P066", model: "EleutherAI/pythia-6.9b"},
	{vector: "P067", model: "meta-llama/Llama-4-Scout-17B-16E-Instruct", text: true},
	{vector: "P068", model: "meta-llama/Llama-4-Maverick-17B-128E-Instruct", text: true},
	{vector: "P069", model: "CohereLabs/c4ai-command-r-v01"},
	{vector: "P070", model: "deepseek-ai/DeepSeek-V3", mtp: true, more: 41_540_496, why: "scales of fp8 blocks"},
	{vector: "P071", model: "deepseek-ai/DeepSeek-R1", mtp: true},
	{vector: "P072", model: "deepseek-ai/DeepSeek-V3.2", mtp: true},
	{vector: "P073", model: "deepseek-ai/DeepSeek-V3.2", mtp: true, more: 41_591_584, why: "scales of fp8 blocks"},
	{vector: "P074", model: "zai-org/GLM-5", mtp: true},
	{vector: "P075", model: "zai-org/GLM-5.3", mtp: true},
	{vector: "P076", model: "zai-org/GLM-4.6", mtp: true, more: -2 * 151552 * 5120, why: "its MTP layer shares embedding and head, which its configuration does not say"},
	{vector: "P077", model: "meta-llama/Llama-4-Scout-17B-16E-Instruct"},
	{vector: "P078", model: "meta-llama/Llama-4-Maverick-17B-128E-Instruct"},
	{vector: "P079", model: "mistralai/Mistral-Small-3.2-24B-Instruct-2506"},
	{vector: "P088", model: "tiiuae/falcon-180B", more: 65024 * 14848, why: "a second copy of the tied head"},
}

// TestParameterVectors holds totals and active parameters against the
// recorded vectors; no tolerance.
func TestParameterVectors(t *testing.T) {
	vs, configs := vectors(t), catalogue(t)
	for _, c := range counts {
		t.Run(c.vector, func(t *testing.T) {
			v, ok := vs[c.vector]
			if !ok || v.Total == 0 {
				t.Fatal("no such vector")
			}
			p := parse(t, string(configs[c.model].Config)).Count()
			got := p.Total + c.more
			if c.mtp {
				got += p.MTP
			}
			if c.text {
				got -= p.Vision
			}
			if got != v.Total {
				t.Errorf("%s: %d parameters, want %d (%+d)", v.Model, got, v.Total, got-v.Total)
			}
			if v.Active != nil && p.Active != *v.Active {
				t.Errorf("%s: %d active, want %d (%+d)", v.Model, p.Active, *v.Active, p.Active-*v.Active)
			}
		})
	}
}

// TestPublishedCounts are well-known configurations that the catalogue does
// not hold, and figures their publishers print in words.
func TestPublishedCounts(t *testing.T) {
	for _, c := range []struct {
		name, config string
		total, alive int64
	}{
		{"DBRX", `{"model_type":"dbrx","architectures":["DbrxForCausalLM"],"d_model":6144,"n_heads":48,"n_layers":40,"max_seq_len":32768,"vocab_size":100352,
			"attn_config":{"kv_n_heads":8},"ffn_config":{"ffn_hidden_size":10752,"moe_num_experts":16,"moe_top_k":4}}`, 131_596_523_520, 36_469_708_800},
		{"Llama-2-13B", `{"model_type":"llama","hidden_size":5120,"intermediate_size":13824,"num_attention_heads":40,"num_hidden_layers":40,"vocab_size":32000,"max_position_embeddings":4096}`, 13_015_864_320, 13_015_864_320},
		{"Phi-3.5-MoE", `{"model_type":"phimoe","hidden_size":4096,"intermediate_size":6400,"num_attention_heads":32,"num_key_value_heads":8,"num_hidden_layers":32,"num_local_experts":16,"num_experts_per_tok":2,"vocab_size":32064,"max_position_embeddings":131072,"attention_bias":true,"lm_head_bias":true}`, 41_873_153_344, 0},
		{"OPT-350M", `{"model_type":"opt","hidden_size":1024,"word_embed_proj_dim":512,"num_hidden_layers":24,"ffn_dim":4096,"num_attention_heads":16,"vocab_size":50272,"max_position_embeddings":2048,"do_layer_norm_before":false}`, 331_196_416, 0},
		{"OLMo-7B", `{"model_type":"olmo","hidden_size":4096,"num_hidden_layers":32,"intermediate_size":11008,"num_attention_heads":32,"vocab_size":50304,"max_position_embeddings":2048}`, 6_888_095_744, 0},
		{"Command R+", `{"model_type":"cohere","hidden_size":12288,"num_hidden_layers":64,"intermediate_size":33792,"num_attention_heads":96,"num_key_value_heads":8,"vocab_size":256000,"max_position_embeddings":8192,"use_qk_norm":true}`, 103_810_674_688, 0},
	} {
		p := parse(t, c.config).Count()
		if p.Total != c.total || c.alive > 0 && p.Active != c.alive {
			t.Errorf("%s: %d total, %d active; want %d, %d", c.name, p.Total, p.Active, c.total, c.alive)
		}
	}
}

// TestAnnouncedSizes are models whose publishers print sizes in billions only:
// 316 of which 38 are active for Step3's language model, 560 for LongCat.
func TestAnnouncedSizes(t *testing.T) {
	routed := make([]string, 0, 56)
	for i := 4; i < 60; i++ {
		routed = append(routed, strconv.Itoa(i))
	}
	for _, c := range []struct {
		name, config string
		total, alive int64
	}{
		{"Step3", `{"model_type":"step3_text","hidden_size":7168,"num_hidden_layers":61,"num_attention_heads":64,"head_dim":256,"num_attention_groups":1,"share_q_dim":2048,
			"moe_num_experts":48,"moe_top_k":3,"moe_intermediate_size":5120,"share_expert_dim":5120,"intermediate_size":18432,"vocab_size":128815,"max_position_embeddings":65536,
			"moe_layers_enum":"` + strings.Join(routed, ",") + `"}`, 316, 38},
		{"LongCat-Flash", `{"model_type":"longcat_flash","hidden_size":6144,"num_layers":28,"num_attention_heads":64,"ffn_hidden_size":12288,"expert_ffn_hidden_size":2048,"n_routed_experts":512,
			"zero_expert_num":256,"moe_topk":12,"q_lora_rank":1536,"kv_lora_rank":512,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128,"vocab_size":131072,"max_position_embeddings":131072}`, 560, 0},
	} {
		p := parse(t, c.config).Count()
		if p.Total/1e9 != c.total || c.alive > 0 && p.Active/1e9 != c.alive {
			t.Errorf("%s: %d total, %d active", c.name, p.Total, p.Active)
		}
	}
}

// TestDeepSeekV4 holds the structure of DeepSeek-V4 against the number of
// elements published for its checkpoints: experts packed two to a byte with a
// scale for 32, other matrices with a scale for a 128×128 block, and the
// tables by which the first three layers pick experts.
func TestDeepSeekV4(t *testing.T) {
	configs := catalogue(t)
	for id, want := range map[string]int64{
		"deepseek-ai/DeepSeek-V4-Flash": 158_069_433_298,
		"deepseek-ai/DeepSeek-V4-Pro":   861_608_274_846,
	} {
		m := parse(t, string(configs[id].Config))
		var got int64
		for _, x := range m.Tensors {
			switch n := x.Elems(); {
			case x.Part.String() == "expert":
				got += n/2 + n/32
			case blockScaled(x.Name):
				got += n + ceilDiv(x.Out, 128)*ceilDiv(x.In, 128)
			default:
				got += n
			}
		}
		// eh_proj stands for two square matrices, whose blocks add up to its own.
		const tables = 3 * 129280 * 6
		if got += tables; got != want {
			t.Errorf("%s: %d elements, want %d (%+d)", id, got, want, got-want)
		}
	}
}

func blockScaled(name string) bool {
	switch name {
	case "attn_q_a.weight", "attn_q_b.weight", "attn_kv.weight", "attn_out_a.weight", "attn_out_b.weight",
		"indexer.attn_q_b.weight", "ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight", "nextn.eh_proj.weight":
		return true
	}
	return false
}
