package vllm

import (
	"errors"
	"math"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/engine/calibration"
	"hwledger/calc/model"
)

func plan(m *model.Model, l engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	l.ContextTokens, l.Sequences = max(1, l.ContextTokens), max(1, l.Sequences)
	l.TensorParallel, l.PipelineParallel, l.DataParallel = max(1, l.TensorParallel), max(1, l.PipelineParallel), max(1, l.DataParallel)
	return New().Plan(m, l, hw)
}

// Absurd numbers are refused or give absurd sizes, never negative ones.
func TestHostileNumbers(t *testing.T) {
	big := int64(math.MaxInt64)
	for _, l := range []engine.Load{
		{ContextTokens: 1 << 34, Sequences: 1 << 20},
		{ContextTokens: big, Sequences: big},
		{Flags: engine.Flags{"max_num_seqs": big}},
		{Flags: engine.Flags{"max_num_batched_tokens": int64(1) << 40}},
		{Flags: engine.Flags{"block_size": int64(-1)}},
		{Flags: engine.Flags{"block_size": int64(1) << 30}},
		{Flags: engine.Flags{"num_gpu_blocks_override": int64(1) << 49}},
		{Flags: engine.Flags{"kv_cache_memory_bytes": int64(1) << 50}},
		{Flags: engine.Flags{"num_speculative_tokens": int64(1) << 33}},
		{MemoryUtilization: math.NaN()},
		{MemoryUtilization: 2},
		{KVCacheType: "q8_0"},
		{TensorParallel: 7},
		{PipelineParallel: 1000},
		{Flags: engine.Flags{"mamba_cache_mode": "sometimes"}},
		{Flags: engine.Flags{"no_such_switch": true}},
	} {
		for _, m := range []*model.Model{llama8B(), gemma27B(), hybrid(48, 16, 32, 2, "float32"), deepseek(true)} {
			u, err := plan(m, l, engine.Hardware{Devices: []engine.Device{{Name: "x", Total: 80 * engine.GiB}}})
			var e *model.Error
			if err != nil {
				if !errors.As(err, &e) {
					t.Errorf("%+v: %v is not a model.Error", l, err)
				}
				continue
			}
			for _, x := range u.Terms {
				if x.Bytes < 0 {
					t.Errorf("%+v: %s is %d bytes", l, x.Name, x.Bytes)
				}
			}
			if u.Cache.PerSequence < 0 || u.Cache.Pool < 0 {
				t.Errorf("%+v: cache %+v", l, u.Cache)
			}
		}
	}
}

// A term is inside its own range, and every device index exists.
func TestTermsAreWellFormed(t *testing.T) {
	for _, m := range []*model.Model{llama8B(), gemma27B(), gptoss(), scout(), whisper(), hybrid(48, 16, 32, 2, ""), deepseek(true)} {
		u, err := plan(m, engine.Load{ContextTokens: 4096, Sequences: 4, TensorParallel: 2, PipelineParallel: 2, DataParallel: 2}, engine.Hardware{})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range u.Terms {
			low, high := x.Range()
			if x.Bytes < low || x.Bytes > high {
				t.Errorf("%s: %d is not in [%d, %d]", x.Name, x.Bytes, low, high)
			}
			for _, d := range x.On {
				if d < 0 || d >= u.Devices {
					t.Errorf("%s is on device %d of %d", x.Name, d, u.Devices)
				}
			}
		}
		if len(u.LayerCache) != len(m.Layers) || u.Devices != 8 {
			t.Errorf("%d layers, %d devices", len(u.LayerCache), u.Devices)
		}
	}
}

// Blocks that vLLM logged for hybrids: 800 tokens for Qwen3.8-27B with three
// draft tokens, 1600 with an fp8 cache, 8432 for Nemotron-3-Super in the same
// way, 960 for Kimi-Linear on two ranks, 1056 and 1072 for Qwen3.6-35B.
func TestLoggedBlockSizes(t *testing.T) {
	qwen27 := &model.GatedDelta{KeyHeads: 16, ValueHeads: 48, KeyDim: 128, ValueDim: 128, Conv: 4}
	qwen35 := &model.GatedDelta{KeyHeads: 16, ValueHeads: 32, KeyDim: 128, ValueDim: 128, Conv: 4}
	nemotron := &model.Mamba2{Heads: 128, HeadDim: 64, Groups: 8, StateSize: 128, Conv: 4}
	kimi := &model.KDA{Heads: 32, HeadDim: 128, Conv: 4}
	latent := &model.MLA{Heads: 32, KVLoRARank: 512, NopeDim: 128, RopeDim: 64, ValDim: 128}
	for _, c := range []struct {
		name   string
		state  model.Mixer
		attn   model.Mixer
		kv     string
		tp     int64
		draft  int64
		stored string
		want   int64
	}{
		{"Qwen3.8-27B MTP 3", qwen27, gqa(24, 4, 256, 0), "auto", 1, 3, "float32", 800},
		{"Qwen3.8-27B MTP 3 fp8", qwen27, gqa(24, 4, 256, 0), "fp8", 1, 3, "float32", 1600},
		{"Qwen3.8-27B fp8", qwen27, gqa(24, 4, 256, 0), "fp8", 1, 0, "float32", 1568},
		{"Qwen3.6-35B", qwen35, gqa(16, 2, 256, 0), "auto", 1, 0, "float32", 1056},
		{"Qwen3.6-35B MTP 3", qwen35, gqa(16, 2, 256, 0), "auto", 1, 3, "float32", 1072},
		{"Nemotron-3-Super MTP 3 fp8", nemotron, gqa(32, 2, 128, 0), "fp8", 1, 3, "float32", 8432},
		{"Kimi-Linear TP2", kimi, latent, "auto", 2, 0, "", 960},
	} {
		m := &model.Model{Causal: true, Hidden: 2048, Vocab: 32000, StateType: c.stored, Layers: append(layers(3, c.state), layers(1, c.attn)...)}
		u := &engine.Usage{}
		s, err := With(calibration.Default()).(vllm).resolve(m, engine.Load{ContextTokens: 8192, Sequences: 1, TensorParallel: c.tp, KVCacheType: c.kv,
			Flags: engine.Flags{"num_speculative_tokens": c.draft}}, engine.Hardware{}, u)
		if err != nil {
			t.Fatal(err)
		}
		if l := s.layoutOf(m.Layers); l.block != c.want {
			t.Errorf("%s: block of %d tokens, logged %d", c.name, l.block, c.want)
		}
	}
}

// A GB10 of 121.7 GiB is served with 2048 tokens and 256 sequences, because
// NVML reports no memory of it (vllm pull request 57378); an H100 with 8192 and
// 1024.
func TestBatchDefaults(t *testing.T) {
	for _, c := range []struct {
		d           engine.Device
		batch, seqs int64
	}{
		{engine.Device{Name: "GB10", Vendor: "nvidia", Kind: engine.Unified, Total: 121 * engine.GiB}, 2048, 256},
		{engine.Device{Name: "H100", Vendor: "nvidia", Kind: engine.Dedicated, Total: 79 * engine.GiB}, 8192, 1024},
		{engine.Device{Name: "RTX 4090", Vendor: "nvidia", Kind: engine.Dedicated, Total: 24 * engine.GiB}, 2048, 256},
	} {
		s, err := With(calibration.Default()).(vllm).resolve(llama8B(), engine.Load{ContextTokens: 8192, Sequences: 1}, engine.Hardware{Devices: []engine.Device{c.d}}, &engine.Usage{})
		if err != nil || s.batch != c.batch || s.maxSeqs != c.seqs {
			t.Errorf("%s: %d tokens, %d sequences (%v); want %d, %d", c.d.Name, s.batch, s.maxSeqs, err, c.batch, c.seqs)
		}
	}
}
