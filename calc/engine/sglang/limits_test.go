package sglang

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

func layers(n int, x model.Mixer) []model.Layer {
	out := make([]model.Layer, n)
	for i := range out {
		out[i] = model.Layer{Mixers: []model.Mixer{x}}
	}
	return out
}

func gqa(heads, kv, d, window int64) *model.Attention {
	return &model.Attention{Heads: heads, KVHeads: kv, KeyDim: d, ValueDim: d, Window: window, SharedFrom: -1}
}

func llama8B() *model.Model {
	return &model.Model{Layers: layers(32, gqa(32, 8, 128, 0)), Causal: true, Hidden: 4096, Vocab: 128256}
}

func deepseek(indexer bool) *model.Model {
	x := &model.MLA{Heads: 128, QLoRARank: 1536, KVLoRARank: 512, NopeDim: 128, RopeDim: 64, ValDim: 128}
	if indexer {
		x.Indexer = &model.Indexer{Heads: 64, HeadDim: 128, TopK: 2048}
	}
	return &model.Model{Layers: layers(61, x), Causal: true, Hidden: 7168, Vocab: 129280}
}

func gemma27B() *model.Model {
	m := &model.Model{Causal: true, Hidden: 5376, Vocab: 262208, Type: "gemma3_text"}
	for i := range 62 {
		w := int64(1024)
		if (i+1)%6 == 0 {
			w = 0
		}
		m.Layers = append(m.Layers, layers(1, gqa(32, 16, 128, w))...)
	}
	return m
}

// mimoFlash has 9 full layers and 39 sliding ones, with keys of 192 and values
// of 128 elements; full layers have 4 key/value heads, sliding ones 8.
func mimoFlash() *model.Model {
	m := &model.Model{Causal: true, Hidden: 4096, Vocab: 152576}
	for i := range 48 {
		x := &model.Attention{Heads: 64, KVHeads: 8, KeyDim: 192, ValueDim: 128, Window: 128, SharedFrom: -1}
		if i == 0 || i%6 == 5 {
			x.KVHeads, x.Window = 4, 0
		}
		m.Layers = append(m.Layers, layers(1, x)...)
	}
	return m
}

func qwen3Next() *model.Model {
	m := &model.Model{Causal: true, Hidden: 2048, Vocab: 151936}
	for i := range 48 {
		var x model.Mixer = &model.GatedDelta{KeyHeads: 16, ValueHeads: 32, KeyDim: 128, ValueDim: 128, Conv: 4}
		if (i+1)%4 == 0 {
			x = gqa(16, 2, 256, 0)
		}
		m.Layers = append(m.Layers, layers(1, x)...)
	}
	return m
}

func plan(m *model.Model, l engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	l.ContextTokens, l.Sequences = max(1, l.ContextTokens), max(1, l.Sequences)
	return New().Plan(m, l, hw)
}

// MiMo-V2-Flash on four ranks logged pools of 375360 full and 300288 sliding
// tokens, the latter of 8.38 GiB keys and 5.59 GiB values (sglang PR 18039).
func TestSlidingPoolAsLogged(t *testing.T) {
	m := mimoFlash()
	s, err := resolve(m, engine.Load{TensorParallel: 4, Flags: engine.Flags{"page_size": 64}}, engine.Hardware{}, &engine.Usage{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := s.stages(m, engine.Load{TensorParallel: 4}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := st[0].layout
	swa := l.swaTokens(375360, 64)
	if swa != 300288 {
		t.Errorf("sliding tokens %d, the log says 300288", swa)
	}
	if got := l.swa * float64(swa+64) / gib; math.Abs(got-13.97) > 0.011 {
		t.Errorf("sliding pool %.3f GiB, the log says 13.97", got)
	}
}

// mem_fraction_static as SGLang computes it on well-known devices.
func TestAutoFraction(t *testing.T) {
	for _, c := range []struct {
		mib   int64
		tp    int64
		flags engine.Flags
		want  string
	}{
		{24564, 1, nil, "0.847"},  // RTX 4090: 512 + 3072 + 128 + 48
		{81920, 1, nil, "0.8359"}, // 512 + 12288 + 128 + 512, rounded to 0.836
		{81920, 8, nil, "0.819"},  // 512 + 12288 + 1024 + 1024
		{81920, 1, engine.Flags{"chunked_prefill_size": 2048}, "0.875"}, // the floor of 10 GiB
	} {
		d := engine.Device{Total: engine.Bytes(c.mib) * engine.MiB, Vendor: "nvidia"}
		s := settings{version: newest, tp: c.tp, pp: 1, dp: 1, device: &d}
		r := &reader{f: c.flags}
		s.batching(engine.Load{}, r, &engine.Usage{})
		got, _ := s.autoFraction(&model.Model{})
		var want float64
		if _, err := fmt.Sscan(c.want, &want); err != nil {
			t.Fatal(err)
		}
		if math.Abs(got-want) > 0.0006 {
			t.Errorf("%d MiB, %d ranks: %.3f, want %s", c.mib, c.tp, got, c.want)
		}
	}
}

func TestHostileNumbers(t *testing.T) {
	big := int64(math.MaxInt64)
	hw := engine.Hardware{Devices: []engine.Device{{Name: "x", Total: 80 * engine.GiB, Free: 80 * engine.GiB}}}
	for _, l := range []engine.Load{
		{ContextTokens: 1 << 34, Sequences: 1 << 20},
		{MemoryUtilization: math.NaN()}, {MemoryUtilization: 2}, {KVCacheType: "q8_0"}, {TensorParallel: 7}, {PipelineParallel: 1000},
		{Flags: engine.Flags{"max_total_tokens": big}}, {Flags: engine.Flags{"page_size": big}}, {Flags: engine.Flags{"page_size": int64(-1)}},
		{Flags: engine.Flags{"chunked_prefill_size": big}}, {Flags: engine.Flags{"cuda_graph_max_bs": big}},
		{Flags: engine.Flags{"cpu_offload_gb": 1e300}}, {Flags: engine.Flags{"hicache_size": 1e300, "enable_hierarchical_cache": true}},
		{Flags: engine.Flags{"ep_size": int64(0)}}, {Flags: engine.Flags{"swa_full_tokens_ratio": 0.0}},
		{Flags: engine.Flags{"max_running_requests": int64(1) << 33, "disable_radix_cache": true}},
		{Flags: engine.Flags{"moe_dense_tp_size": int64(3)}}, {Flags: engine.Flags{"mamba_ssm_dtype": "int8"}},
		{DataParallel: 3, TensorParallel: 4, Flags: engine.Flags{"enable_dp_attention": true}}, {Flags: engine.Flags{"no_such_switch": true}},
	} {
		for _, m := range []*model.Model{llama8B(), gemma27B(), qwen3Next(), deepseek(true)} {
			u, err := plan(m, l, hw)
			var e *model.Error
			if err != nil {
				if !errors.As(err, &e) {
					t.Errorf("%+v: %v is not a model.Error", l, err)
				}
				continue
			}
			for _, x := range u.Terms {
				if low, high := x.Range(); x.Bytes < 0 || low > x.Bytes || high < x.Bytes {
					t.Errorf("%+v: %s is %d bytes in %d to %d", l, x.Name, x.Bytes, low, high)
				}
			}
			if u.Cache.PerSequence < 0 || u.Cache.Pool < 0 || u.Cache.CapacityTokens < 0 {
				t.Errorf("%+v: cache %+v", l, u.Cache)
			}
		}
	}
}
