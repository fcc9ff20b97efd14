package hfconfig

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"

	"hwledger/calc/model"
)

// published is a line of testdata/hybrid_models.jsonl: a published
// configuration and the number of parameters known for it.
type published struct {
	ID            string
	Total, Active int64
	// WithMTP: Total counts the multi-token-prediction layers too.
	WithMTP bool `json:"with_mtp"`
	// Proof is how the total is known: "published" (what the model hub counts
	// in the weight files), "computed" (another implementation from the same
	// configuration) or "recalled" (from a paper or model card, by memory).
	Proof  string
	Vector string // number in the list of reference vectors
	GB     float64
	Config json.RawMessage
}

func readPublished(t testing.TB, file string) []published {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []published
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var p published
		if err := json.Unmarshal(sc.Bytes(), &p); err != nil {
			t.Fatalf("%s line %d: %v", file, len(out)+1, err)
		}
		out = append(out, p)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHybridParameterCounts(t *testing.T) {
	for _, p := range readPublished(t, "testdata/hybrid_models.jsonl") {
		name := p.ID
		if p.Vector != "" {
			name = p.Vector + " " + name
		}
		t.Run(name, func(t *testing.T) {
			m, err := Parse(p.Config)
			if err != nil {
				t.Fatal(err)
			}
			n := m.Count()
			total := n.Total
			if p.WithMTP {
				total += n.MTP
			}
			if total != p.Total {
				t.Errorf("total %d, %s %d: off by %d (vision %d, audio %d, mtp %d)", total, p.Proof, p.Total, total-p.Total, n.Vision, n.Audio, n.MTP)
			}
			if p.Active != 0 && n.Active != p.Active {
				t.Errorf("active %d, want %d: off by %d", n.Active, p.Active, n.Active-p.Active)
			}
		})
	}
}

// idealBytes sums what the sequences keep on one of tp ranks: two bytes for
// each element, stateBytes for those of recurrent states.
func idealBytes(m *model.Model, tokens, sequences, tp, stateBytes int64) int64 {
	var sum int64
	var stores []model.Store
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			stores = x.AppendStores(stores[:0], tp)
			for _, s := range stores {
				size := int64(2)
				if s.Class == model.State {
					size = stateBytes
				}
				sum += sequences * s.Entries(tokens) * s.Elems * size
			}
		}
	}
	return sum
}

// TestHybridStates holds the stores of the layers against the reference
// vectors for recurrent and shared caches. Those of Gemma 4 and 3n share
// layers; the rest mix states with attention.
func TestHybridStates(t *testing.T) {
	configs := map[string]json.RawMessage{
		"gemma-4-E2B":  json.RawMessage(`{"model_type":"gemma4_text","hidden_size":1536,"num_hidden_layers":35,"num_attention_heads":8,"num_key_value_heads":1,"num_kv_shared_layers":20,"head_dim":256,"global_head_dim":512,"sliding_window":512,"intermediate_size":6144,"vocab_size":262144,"hidden_size_per_layer_input":256,"vocab_size_per_layer_input":262144,"use_double_wide_mlp":true,"layer_types":["sliding_attention","sliding_attention","sliding_attention","sliding_attention","full_attention","sliding_attention","sliding_attention","sliding_attention","sliding_attention","full_attention","sliding_attention","sliding_attention","sliding_attention","sliding_attention","full_attention","sliding_attention","sliding_attention","sliding_attention","sliding_attention","full_attention","sliding_attention","sliding_attention","sliding_attention","sliding_attention","full_attention","sliding_attention","sliding_attention","sliding_attention","sliding_attention","full_attention","sliding_attention","sliding_attention","sliding_attention","sliding_attention","full_attention"]}`),
		"gemma-3n-E2B": json.RawMessage(`{"model_type":"gemma3n_text","hidden_size":2048,"num_hidden_layers":30,"num_attention_heads":8,"num_key_value_heads":2,"head_dim":256,"intermediate_size":8192,"vocab_size":262400,"vocab_size_per_layer_input":262144,"hidden_size_per_layer_input":256,"sliding_window":512,"num_kv_shared_layers":10,"altup_num_inputs":4,"laurel_rank":64}`),
	}
	for _, p := range readPublished(t, "testdata/hybrid_models.jsonl") {
		configs[p.ID] = p.Config
	}
	for _, v := range []struct {
		id, model                               string
		tokens, sequences, tp, stateBytes, want int64
	}{
		{"V049", "gemma-4-E2B", 32768, 1, 1, 4, 207618048},
		{"V050", "gemma-3n-E2B", 32768, 1, 1, 4, 285212672},
		{"V051", "state-spaces/mamba-2.8b-hf", 1, 1, 1, 4, 22937600},
		{"V053", "tiiuae/falcon-mamba-7b", 1, 32, 1, 2, 637534208},
		{"V054", "state-spaces/mamba2-2.7b", 1, 1, 1, 4, 169836544},
		{"V055", "mistralai/Mamba-Codestral-7B-v0.1", 1, 1, 8, 4, 34045952},
		{"V056", "nvidia/NVIDIA-Nemotron-Nano-9B-v2", 131072, 1, 1, 4, 2291032064},
		{"V057", "ibm-granite/granite-4.0-h-small", 131072, 1, 1, 4, 2300303360},
		{"V059", "ai21labs/Jamba-v0.1", 262144, 1, 1, 2, 4303683584},
		{"V060", "Qwen/Qwen3-Next-80B-A3B-Instruct", 262144, 1, 1, 4, 6519717888},
		{"V061", "Qwen/Qwen3.6-35B-A3B", 262144, 1, 1, 4, 5433098240},
		{"V062", "Qwen/Qwen3.8-27B", 131072, 1, 1, 4, 8743878656},
		{"V066", "moonshotai/Kimi-Linear-48B-A3B-Instruct", 1048576, 1, 1, 4, 8499134464},
		{"V067", "MiniMaxAI/MiniMax-Text-01", 1000000, 1, 1, 4, 41253601280},
		{"V068", "LiquidAI/LFM2-1.2B", 32768, 1, 1, 2, 402735104},
	} {
		t.Run(v.id+" "+v.model, func(t *testing.T) {
			m, err := Parse(configs[v.model])
			if err != nil {
				t.Fatal(err)
			}
			if got := idealBytes(m, v.tokens, v.sequences, v.tp, v.stateBytes); got != v.want {
				t.Errorf("%d bytes, want %d: off by %d", got, v.want, got-v.want)
			}
		})
	}
}

// TestReplicatedGroups is vector V058: one group of B and C cut over four
// ranks is replicated before the cut. The vector counts states alone.
func TestReplicatedGroups(t *testing.T) {
	m := &model.Model{Layers: make([]model.Layer, 36)}
	for i := range m.Layers {
		m.Layers[i].Mixers = []model.Mixer{&model.Mamba2{Heads: 128, HeadDim: 64, Groups: 1, StateSize: 128, Conv: 4}}
	}
	if got := idealBytes(m, 1, 1, 4, 4); got != 38246400 {
		t.Errorf("%d bytes on each of four ranks, want 38246400", got)
	}
}

// TestPeers holds twelve well-known models against what they really keep at
// 131072 tokens in bf16 with float32 states, in units of 10⁹ bytes.
func TestPeers(t *testing.T) {
	for _, p := range readPublished(t, "testdata/peers.jsonl") {
		t.Run(p.ID, func(t *testing.T) {
			m, err := Parse(p.Config)
			if err != nil {
				t.Fatal(err)
			}
			got := float64(idealBytes(m, 131072, 1, 1, 4)) / 1e9
			if got < p.GB*0.99 || got > p.GB*1.01 {
				t.Errorf("%.3f GB, want %.2f", got, p.GB)
			}
		})
	}
}
