package sglang

import (
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

func published(t testing.TB, id string) *model.Model {
	t.Helper()
	e, ok, err := catalog.Find(id)
	if err != nil || !ok {
		t.Fatalf("%s: %v", id, err)
	}
	m, err := hfconfig.Parse(e.Config)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestVectors holds SGLang's vectors of testdata/math_vectors.jsonl: pools for
// a number of tokens, and the numbers of tokens and slots that 40 GiB give.
func TestVectors(t *testing.T) {
	const rest = 40 << 30
	for _, c := range []struct {
		id, model string
		tp        int64
		kv        string
		flags     engine.Flags
		want      int64
		get       func(s *settings, l *layout) int64
	}{
		{"V035", "deepseek-ai/DeepSeek-V3.2", 1, "fp8", engine.Flags{"page_size": int64(64)}, 6300368896, func(s *settings, l *layout) int64 { return int64(l.full * 131072) }},
		{"V096", "meta-llama/Llama-3.1-8B", 1, "", engine.Flags{"page_size": int64(1)}, 13107331072, func(s *settings, l *layout) int64 { return l.bytes(100000, s.page) }},
		{"V097", "deepseek-ai/DeepSeek-V3", 8, "", engine.Flags{"page_size": int64(64)}, 7029448704, func(s *settings, l *layout) int64 { return l.bytes(99968, s.page) }},
		{"V098", "google/gemma-3-27b-it", 1, "", engine.Flags{"swa_full_tokens_ratio": 0.8, "disable_hybrid_swa_memory": false}, 101606, func(s *settings, l *layout) int64 { return s.share(l, rest).tokens }},
		{"V099", "Qwen/Qwen3-Next-80B-A3B-Instruct", 1, "", engine.Flags{}, 263, func(s *settings, l *layout) int64 { return s.share(l, rest).slots }},
	} {
		m := published(t, c.model)
		s, err := resolve(m, engine.Load{ContextTokens: 1024, Sequences: 1, TensorParallel: c.tp, KVCacheType: c.kv, Flags: c.flags}, engine.Hardware{}, &engine.Usage{})
		if err != nil {
			t.Fatalf("%s: %v", c.id, err)
		}
		ranks, err := shard.Ranks(m, engine.Load{TensorParallel: c.tp})
		if err != nil {
			t.Fatal(err)
		}
		l := s.layoutOf(m, ranks[0])
		if got := c.get(s, &l); got != c.want {
			t.Errorf("%s: %d, want %d (%+v)", c.id, got, c.want, l)
		}
	}
}

// TestPoolAfterStates: V100 leaves the padding slot out that SGLang allocates
// beside the slots, so that 920754 tokens are an upper bound within one state.
func TestPoolAfterStates(t *testing.T) {
	m := published(t, "Qwen/Qwen3-Next-80B-A3B-Instruct")
	s, err := resolve(m, engine.Load{ContextTokens: 1024, Sequences: 1, TensorParallel: 1}, engine.Hardware{}, &engine.Usage{})
	if err != nil {
		t.Fatal(err)
	}
	ranks, err := shard.Ranks(m, engine.Load{})
	if err != nil {
		t.Fatal(err)
	}
	l := s.layoutOf(m, ranks[0])
	const want = 920754
	if got := s.share(&l, 40<<30).tokens; got > want || want-got > l.state/24576+1 {
		t.Errorf("%d tokens, want %d less a state of %d bytes", got, want, l.state)
	}
}
