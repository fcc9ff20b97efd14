package calc_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
)

// vector is one row of testdata/math_vectors.jsonl: a figure that a published
// source or an engine gives for one model under one engine.
type vector struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Tokens   any    `json:"tokens"`
	Seqs     int64  `json:"sequences"`
	KVType   string `json:"kv_dtype"`
	Parallel struct {
		TP int64 `json:"tp"`
		PP int64 `json:"pp"`
	} `json:"parallel"`
	Bytes  int64 `json:"expected_bytes"`
	Total  int64 `json:"total_params"`
	Active int64 `json:"active_params"`
}

func vectors(t testing.TB) map[string]vector {
	raw, err := os.ReadFile("../testdata/math_vectors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]vector{}
	sc := bufio.NewScanner(bytes.NewReader(raw))
	for sc.Scan() {
		var v vector
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", sc.Text(), err)
		}
		out[v.ID] = v
	}
	return out
}

func resolve(t testing.TB, ref string) *model.Model {
	t.Helper()
	req := lookup.Request{Ref: ref, Offline: true}
	if strings.HasPrefix(ref, "{") {
		req = lookup.Request{Config: []byte(ref), Offline: true}
	}
	r, err := lookup.Resolve(context.Background(), req)
	if err != nil {
		t.Fatalf("%s: %v", ref, err)
	}
	return r.Model
}

// Published configurations that the catalogue does not carry.
const (
	gemma3nE2B = `{"model_type":"gemma3n_text","hidden_size":2048,"num_hidden_layers":30,"num_attention_heads":8,"num_key_value_heads":2,"head_dim":256,"intermediate_size":8192,"vocab_size":262400,"vocab_size_per_layer_input":262144,"hidden_size_per_layer_input":256,"sliding_window":512,"num_kv_shared_layers":10,"altup_num_inputs":4,"laurel_rank":64,"max_position_embeddings":32768}`
	rwkv7      = `{"model_type":"rwkv7","hidden_size":2560,"num_hidden_layers":32,"head_dim":64,"intermediate_size":10240,"vocab_size":65536,"decay_low_rank_dim":96,"a_low_rank_dim":96,"v_low_rank_dim":64,"gate_low_rank_dim":320}`
)

// TestIdealVectors plans every vector of the ideal engine from the model's
// published configuration.
func TestIdealVectors(t *testing.T) {
	const llama = "catalog:meta-llama/Llama-3.1-8B"
	cases := []struct{ id, ref string }{
		{"V001", "catalog:meta-llama/Llama-2-7b-hf"}, {"V002", "catalog:meta-llama/Llama-2-70b-hf"},
		{"V003", llama}, {"V004", llama}, {"V005", llama}, {"V006", llama},
		{"V007", "catalog:meta-llama/Llama-3.1-70B"}, {"V008", "catalog:meta-llama/Meta-Llama-3.1-405B"},
		{"V009", "catalog:meta-llama/Llama-3.2-3B"}, {"V010", "catalog:mistralai/Mistral-Nemo-Instruct-2407"},
		{"V011", "catalog:Qwen/Qwen3-32B"}, {"V012", "catalog:Qwen/Qwen3-30B-A3B"}, {"V013", "catalog:Qwen/Qwen2.5-7B"},
		{"V014", "catalog:tiiuae/falcon-7b"}, {"V015", "catalog:tiiuae/falcon-40b"}, {"V016", "catalog:openai-community/gpt2"},
		{"V017", "catalog:google/gemma-2b"}, {"V018", "catalog:mistralai/Mixtral-8x7B-v0.1"},
		{"V019", "catalog:meta-llama/Llama-3.1-70B"}, {"V020", "catalog:meta-llama/Llama-3.1-70B"},
		{"V021", "catalog:meta-llama/Llama-3.1-70B"}, {"V022", "catalog:meta-llama/Llama-3.1-70B"},
		{"V023", "catalog:deepseek-ai/DeepSeek-V3"}, {"V024", "catalog:deepseek-ai/DeepSeek-V3"},
		{"V025", "catalog:deepseek-ai/DeepSeek-V2-Lite"}, {"V026", "catalog:deepseek-ai/DeepSeek-V2"},
		{"V027", "catalog:moonshotai/Kimi-K2-Instruct"}, {"V028", "catalog:deepseek-ai/DeepSeek-V3"},
		{"V030", "catalog:deepseek-ai/DeepSeek-V3"}, {"V033", "catalog:deepseek-ai/DeepSeek-V3.2"},
		{"V036", "catalog:zai-org/GLM-5"}, {"V037", "catalog:zai-org/GLM-5.3"},
		{"V038", "catalog:mistralai/Mistral-7B-v0.1"}, {"V039", "catalog:google/gemma-2-9b"},
		{"V040", "catalog:google/gemma-3-27b-it"}, {"V041", "catalog:google/gemma-3-27b-it"},
		{"V042", "catalog:google/gemma-3-4b-it"}, {"V043", "catalog:google/gemma-3-1b-it"},
		{"V044", "catalog:openai/gpt-oss-20b"}, {"V045", "catalog:openai/gpt-oss-120b"},
		{"V048", "catalog:meta-llama/Llama-4-Scout-17B-16E-Instruct"},
		{"V049", "catalog:google/gemma-4-E2B"}, {"V050", gemma3nE2B},
		{"V051", "catalog:state-spaces/mamba-2.8b-hf"}, {"V054", "catalog:state-spaces/mamba2-2.7b"},
		{"V055", "catalog:mistralai/Mamba-Codestral-7B-v0.1"}, {"V056", "catalog:nvidia/NVIDIA-Nemotron-Nano-9B-v2"},
		{"V057", "catalog:ibm-granite/granite-4.0-h-small"}, {"V059", "catalog:ai21labs/Jamba-v0.1"},
		{"V060", "catalog:Qwen/Qwen3-Next-80B-A3B-Instruct"}, {"V061", "catalog:Qwen/Qwen3.6-35B-A3B"},
		{"V062", "catalog:Qwen/Qwen3.6-27B"}, {"V066", "catalog:moonshotai/Kimi-Linear-48B-A3B-Instruct"},
		{"V067", "catalog:MiniMaxAI/MiniMax-Text-01"}, {"V068", "catalog:LiquidAI/LFM2-1.2B"},
		{"V069", rwkv7}, {"V070", "catalog:openai/whisper-large-v3"}, {"V101", "catalog:deepseek-ai/DeepSeek-V4-Flash"},
	}
	all := vectors(t)
	for _, c := range cases {
		v := all[c.id]
		t.Run(c.id, func(t *testing.T) {
			kv, _, _ := strings.Cut(v.KVType, " ")
			load := engine.Load{
				Sequences: v.Seqs, KVCacheType: kv, ContextTokens: 1,
				TensorParallel: v.Parallel.TP, PipelineParallel: v.Parallel.PP,
			}
			if n, ok := v.Tokens.(float64); ok {
				load.ContextTokens = int64(n)
			}
			if v.ID == "V059" {
				// The vector keeps Jamba's state in bf16.
				load.Flags = engine.Flags{"mamba_ssm_cache_dtype": "bf16"}
			}
			checkCache(t, c.ref, "ideal", load, v.Bytes)
		})
	}
}

// TestLlamaCppVectors are the cache payloads of quantized llama.cpp caches.
func TestLlamaCppVectors(t *testing.T) {
	all := vectors(t)
	for _, id := range []string{"V078", "V079"} {
		v := all[id]
		load := engine.Load{ContextTokens: int64(v.Tokens.(float64)), Sequences: 1, KVCacheType: v.KVType}
		checkCache(t, "catalog:meta-llama/Llama-3.1-8B", "llama.cpp", load, v.Bytes)
	}
}

// checkCache plans and compares cache and state of the first device.
func checkCache(t *testing.T, ref, name string, load engine.Load, want int64) {
	t.Helper()
	r, err := calc.Plan(calc.Request{Model: resolve(t, ref), Engine: name, Load: load})
	if err != nil {
		t.Fatal(err)
	}
	d := r.Devices[0]
	if got := int64(d.KVCache + d.State); got != want {
		t.Errorf("%s under %s: cache and state %d B, want %d", ref, name, got, want)
	}
}
