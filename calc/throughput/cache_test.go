package throughput

import (
	"context"
	"math"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/engine/ideal"
	"hwledger/calc/engine/shard"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
)

func input(t *testing.T, ref string, load engine.Load) *Input {
	t.Helper()
	r, err := lookup.Resolve(context.Background(), lookup.Request{Ref: "catalog:" + ref, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	u, err := ideal.New().Plan(r.Model, load, engine.Hardware{})
	if err != nil {
		t.Fatal(err)
	}
	types, err := shard.CacheTypes(r.Model, load)
	if err != nil {
		t.Fatal(err)
	}
	return &Input{Model: r.Model, Stored: u.Stored, LayerCache: u.LayerCache, Types: types, Load: load}
}

// TestCacheRead: DeepSeek-V3.2 reads an index key of 132 bytes for each token
// and 2048 rows of 656 bytes in each of 61 layers; latent rows of V3 (576 × 2
// bytes) are whole on every rank, the heads of Llama are not; Mamba's states
// are read and written.
func TestCacheRead(t *testing.T) {
	const tokens = 131072
	for _, c := range []struct {
		ref, kv string
		tp      float64
		want    float64
	}{
		{"deepseek-ai/DeepSeek-V3.2", "fp8_ds_mla", 1, 61 * (tokens*132 + 2048*656)},
		{"deepseek-ai/DeepSeek-V3", "bf16", 8, 61 * tokens * 576 * 2},
		{"meta-llama/Llama-3.1-8B", "bf16", 4, 32 * tokens * 8 * 128 * 2 * 2 / 4},
		{"state-spaces/mamba-2.8b-hf", "bf16", 1, 2 * 64 * (5120*3*2 + 5120*16*4)},
	} {
		in := input(t, c.ref, engine.Load{ContextTokens: tokens, Sequences: 3, KVCacheType: c.kv, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1})
		if got := in.cacheRead(c.tp); math.Abs(got-c.want) > 1e-6*c.want {
			t.Errorf("%s on %g ranks: %.0f bytes, want %.0f", c.ref, c.tp, got, c.want)
		}
	}
}

// TestExpertsRead: a batch of 32 tokens reaches 111.8 of Qwen3-30B-A3B's 128
// experts when they are routed evenly, one token 8.
func TestExpertsRead(t *testing.T) {
	in := input(t, "Qwen/Qwen3-30B-A3B", engine.Load{ContextTokens: 1024, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1})
	w := in.weigh()
	var experts float64
	for i := range in.Model.Tensors {
		if in.Model.Tensors[i].Part == model.Expert {
			experts += float64(in.Stored[i].Bytes)
		}
	}
	for tokens, want := range map[float64]float64{1: 8, 32: 111.8} {
		if got := 128 * (w.read(tokens, 1) - w.always) / experts; math.Abs(got-want) > 0.05 {
			t.Errorf("%g tokens read %.2f experts, want %.1f", tokens, got, want)
		}
	}
}
