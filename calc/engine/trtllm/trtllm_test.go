package trtllm

import (
	"errors"
	"math"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

func layers(n int, x model.Mixer) []model.Layer {
	out := make([]model.Layer, n)
	for i := range out {
		out[i] = model.Layer{Mixers: []model.Mixer{x}, FFN: model.FFN{Width: 14336, Gated: true}}
	}
	return out
}

func gqa(heads, kv, d, window int64) *model.Attention {
	return &model.Attention{Heads: heads, KVHeads: kv, KeyDim: d, ValueDim: d, Window: window, SharedFrom: -1}
}

func llama8B() *model.Model {
	return build(&model.Model{Type: "llama", Layers: layers(32, gqa(32, 8, 128, 0)), Causal: true, Hidden: 4096, Vocab: 128256, Context: 131072})
}

func deepseek(indexer bool) *model.Model {
	x := &model.MLA{Heads: 128, QLoRARank: 1536, KVLoRARank: 512, NopeDim: 128, RopeDim: 64, ValDim: 128}
	if indexer {
		x.Indexer = &model.Indexer{Heads: 64, HeadDim: 128, TopK: 2048}
	}
	m := &model.Model{Type: "deepseek_v3", Layers: layers(61, x), Causal: true, Hidden: 7168, Vocab: 129280, Context: 163840}
	for i := 3; i < 61; i++ {
		m.Layers[i].FFN = model.FFN{Experts: 256, TopK: 8, ExpertWidth: 2048, SharedWidth: 2048, Gated: true}
	}
	return build(m)
}

func gemma27B() *model.Model {
	m := &model.Model{Type: "gemma3_text", Causal: true, Hidden: 5376, Vocab: 262208, Context: 131072, Tied: true}
	for i := range 62 {
		w := int64(1024)
		if (i+1)%6 == 0 {
			w = 0
		}
		m.Layers = append(m.Layers, layers(1, gqa(32, 16, 128, w))...)
	}
	return build(m)
}

// nemotron is Nemotron-Nano-9B-v2's cache: 27 Mamba-2 layers and 4 of attention.
func nemotron() *model.Model {
	m := &model.Model{Type: "nemotron_h", Causal: true, Hidden: 4480, Vocab: 131072, Context: 131072, StateType: "float32"}
	m.Layers = append(layers(27, &model.Mamba2{Heads: 128, HeadDim: 80, Groups: 8, StateSize: 128, Conv: 4}), layers(4, gqa(40, 8, 128, 0))...)
	return build(m)
}

func build(m *model.Model) *model.Model {
	m.Build(func(dst []model.Tensor) []model.Tensor {
		x := model.Matrix("token_embd.weight", m.Vocab, m.Hidden).As(model.Embedding).With(model.ByVocab)
		x.Layer = -1
		return append(dst, x)
	}, func(dst []model.Tensor, _ *model.Layer) []model.Tensor { return dst })
	return m
}

func plan(m *model.Model, l engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	l.ContextTokens, l.Sequences = max(1, l.ContextTokens), max(1, l.Sequences)
	l.TensorParallel, l.PipelineParallel, l.DataParallel = max(1, l.TensorParallel), max(1, l.PipelineParallel), max(1, l.DataParallel)
	return New().Plan(m, l, hw)
}

func must(t testing.TB, m *model.Model, l engine.Load, hw engine.Hardware) *engine.Usage {
	t.Helper()
	u, err := plan(m, l, hw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// on sums the terms of the categories on one device.
func on(u *engine.Usage, device int, cs ...engine.Category) (n int64) {
	for _, x := range u.Terms {
		for _, c := range cs {
			for _, d := range x.On {
				if x.Category == c && d == device {
					n += int64(x.Bytes)
				}
			}
		}
	}
	return n
}

func h100(n int) (hw engine.Hardware) {
	for range n {
		hw.Devices = append(hw.Devices, engine.Device{Name: "H100", Vendor: "nvidia", Kind: engine.Dedicated, Arch: "9.0", Total: 79 * engine.GiB, Free: 79 * engine.GiB, Usable: 79 * engine.GiB})
	}
	return hw
}

type set = engine.Flags

// Bytes a token are those of published cache tables: 131,072 for Llama-3.1-8B,
// 70,272 for DeepSeek-V3 on every rank, 78,324 with an indexer, 5,316,608 for
// each of Nemotron's states.
func TestCache(t *testing.T) {
	for _, v := range []struct {
		name string
		m    *model.Model
		load engine.Load
		want int64
	}{
		{"dense", llama8B(), engine.Load{ContextTokens: 1024}, 1024 * 131072},
		{"blocks of 32", llama8B(), engine.Load{ContextTokens: 1025}, 1056 * 131072},
		{"blocks of 64 before 0.18", llama8B(), engine.Load{ContextTokens: 1025, Version: "0.13.0"}, 1088 * 131072},
		{"fp8", llama8B(), engine.Load{ContextTokens: 1024, KVCacheType: "fp8"}, 1024 * 65536},
		{"nvfp4 has a byte for 16", llama8B(), engine.Load{ContextTokens: 1024, KVCacheType: "nvfp4"}, 1024 * 131072 * 9 / 32},
		{"one head of 8 on 16 ranks", llama8B(), engine.Load{ContextTokens: 1024, TensorParallel: 16}, 1024 * 16384},
		{"5 heads on 2 ranks are 3", build(&model.Model{Type: "llama", Layers: layers(10, gqa(10, 5, 128, 0)), Causal: true, Hidden: 1280, Vocab: 32000}),
			engine.Load{ContextTokens: 1024, TensorParallel: 2}, 10 * 1024 * 3 * 512},
		{"latent rows are not cut", deepseek(false), engine.Load{ContextTokens: 1024, TensorParallel: 8}, 1024 * 70272},
		{"index keys", deepseek(true), engine.Load{ContextTokens: 1024}, 1024 * 78324},
		{"attention DP serves an eighth", deepseek(false), engine.Load{ContextTokens: 1024, Sequences: 16, TensorParallel: 8, Flags: set{"enable_attention_dp": true}}, 2 * 1024 * 70272},
		{"context parallel", deepseek(false), engine.Load{ContextTokens: 4096, Flags: set{"context_parallel_size": 4}}, 1024 * 70272},
		{"windows", gemma27B(), engine.Load{ContextTokens: 32768}, 8192 * (10*32768 + 52*1056)},
		{"no windows before they were derived", gemma27B(), engine.Load{ContextTokens: 32768, Version: "1.1.0"}, 8192 * 62 * 32768},
		{"asked windows", gemma27B(), engine.Load{ContextTokens: 32768, Version: "1.1.0",
			Flags: set{"max_attention_window": []any{1024., 1024., 1024., 1024., 1024., 131072.}}}, 8192 * (10*32768 + 52*1056)},
		{"states", nemotron(), engine.Load{ContextTokens: 1024, Sequences: 2}, 2 * (27*5316608 + 4*1024*4096)},
	} {
		if got := on(must(t, v.m, v.load, engine.Hardware{}), 0, engine.KVCache, engine.State); got != v.want {
			t.Errorf("%s: %d bytes, want %d", v.name, got, v.want)
		}
	}
}

// The base of the pool is what is free, not what there is.
func TestPool(t *testing.T) {
	m := llama8B()
	all := must(t, m, engine.Load{ContextTokens: 1024}, h100(1))
	half := h100(1)
	half.Devices[0].Free /= 2
	less := must(t, m, engine.Load{ContextTokens: 1024}, half)
	if got, want := int64(all.Cache.Pool-less.Cache.Pool), int64(79<<30)/20*9; got < want-8<<20 || got > want+8<<20 {
		t.Errorf("half the free memory takes %d from the pool, want %d", got, want)
	}
	if u := must(t, m, engine.Load{Flags: set{"max_tokens": 1000}}, h100(1)); u.Cache.CapacityTokens != 992 {
		t.Errorf("max_tokens 1000: %d tokens in blocks of 32", u.Cache.CapacityTokens)
	}
	if u := must(t, m, engine.Load{Version: "0.17.0", Flags: set{"max_tokens": 1000}}, h100(1)); u.Cache.CapacityTokens != 1024 {
		t.Errorf("max_tokens 1000: %d tokens in an engine's blocks of 64", u.Cache.CapacityTokens)
	}
	if u := must(t, m, engine.Load{Flags: set{"max_gpu_total_bytes": int64(1) << 30}}, engine.Hardware{}); u.Cache.CapacityTokens != 8192 {
		t.Errorf("1 GiB holds %d tokens, want 8192", u.Cache.CapacityTokens)
	}
	// Two windows take half each.
	u := must(t, gemma27B(), engine.Load{Flags: set{"max_gpu_total_bytes": int64(10) << 30}}, engine.Hardware{})
	if want := int64(5<<30) / (10 * 8192) / 32 * 32; u.Cache.CapacityTokens != want {
		t.Errorf("%d tokens, want %d", u.Cache.CapacityTokens, want)
	}
}

// 256 experts of three 2048 × 7168 matrices in 58 layers: 16 bits of them cut
// eight ways either way; attention DP keeps the rest whole.
func TestExperts(t *testing.T) {
	m := deepseek(false)
	const experts = 58 * 256 * 3 * 2048 * 7168 * 2
	held := func(f set) int64 {
		return on(must(t, m, engine.Load{TensorParallel: 8, Flags: f}, engine.Hardware{}), 0, engine.Weights)
	}
	tp, ep, adp := held(nil), held(set{"ep_size": 8}), held(set{"enable_attention_dp": true, "moe_expert_parallel_size": 4})
	if tp != ep {
		t.Errorf("cut experts %d, whole experts %d", tp, ep)
	}
	whole := on(must(t, m, engine.Load{}, engine.Hardware{}), 0, engine.Weights)
	if want := whole - experts + experts/8; adp != want {
		t.Errorf("attention DP holds %d, want %d", adp, want)
	}
	if tp >= adp {
		t.Error("attention DP must hold more")
	}
}

// Earlier stages take the remainder of layers.
func TestStages(t *testing.T) {
	u := must(t, deepseek(false), engine.Load{ContextTokens: 32, PipelineParallel: 4}, engine.Hardware{})
	for i, n := range []int64{16, 15, 15, 15} {
		if got := on(u, i, engine.KVCache); got != n*1152*32 {
			t.Errorf("stage %d: %d bytes, want %d layers", i, got, n)
		}
	}
	if _, err := plan(llama8B(), engine.Load{PipelineParallel: 2, Flags: set{"pp_partition": "20,12"}}, engine.Hardware{}); err != nil {
		t.Error(err)
	}
}

func TestHostPool(t *testing.T) {
	u := must(t, llama8B(), engine.Load{TensorParallel: 2, Flags: set{"host_cache_size": int64(4) << 30}}, engine.Hardware{})
	if last := u.Terms[len(u.Terms)-1]; last.Bytes != 8*engine.GiB || len(last.On) != 0 {
		t.Errorf("%+v", last)
	}
}

func TestGraphSizes(t *testing.T) {
	// 1, 2, 4 and sixteen multiples of 8.
	for load, want := range map[int64]int64{128: 19, 64: 11, 100: 16, 512: 21, 0: 0} {
		s, err := resolve(llama8B(), engine.Load{Flags: set{"cuda_graph_max_batch_size": load}}, &engine.Usage{})
		if err != nil || s.graphs != want {
			t.Errorf("up to %d: %d sizes (%v), want %d", load, s.graphs, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, v := range []struct {
		name string
		m    *model.Model
		load engine.Load
		code model.Code
	}{
		{"no such switch", llama8B(), engine.Load{Flags: set{"enforce_eager": true}}, model.InvalidArgument},
		{"cache type", llama8B(), engine.Load{KVCacheType: "q8_0"}, model.InvalidArgument},
		{"weights", llama8B(), engine.Load{Weights: "Q4_K_M"}, model.InvalidArgument},
		{"stages", llama8B(), engine.Load{PipelineParallel: 100}, model.InvalidArgument},
		{"partition", llama8B(), engine.Load{PipelineParallel: 2, Flags: set{"pp_partition": "20,13"}}, model.InvalidArgument},
		{"heads", llama8B(), engine.Load{TensorParallel: 24}, model.InvalidArgument},
		{"experts", deepseek(false), engine.Load{TensorParallel: 8, Flags: set{"ep_size": 3}}, model.InvalidArgument},
		{"block", llama8B(), engine.Load{Flags: set{"tokens_per_block": 48}}, model.InvalidArgument},
		{"fraction", llama8B(), engine.Load{Flags: set{"free_gpu_memory_fraction": 1.5}}, model.InvalidArgument},
		{"length", llama8B(), engine.Load{ContextTokens: 4096, Flags: set{"max_seq_len": 2048}}, model.InvalidArgument},
		{"windows by context", gemma27B(), engine.Load{Flags: set{"context_parallel_size": 2}}, model.InvalidArgument},
		{"state", nemotron(), engine.Load{Flags: set{"mamba_ssm_cache_dtype": "int8"}}, model.InvalidArgument},
		{"RWKV", &model.Model{Type: "rwkv7", Causal: true, Layers: layers(1, &model.RWKV{Hidden: 64, HeadSize: 64})}, engine.Load{}, model.UnsupportedArchitecture},
		{"encoder", &model.Model{Type: "bert", Layers: layers(1, gqa(1, 1, 64, 0))}, engine.Load{}, model.UnsupportedArchitecture},
		{"GGUF", &model.Model{Format: model.FormatGGUF, Causal: true, Layers: layers(1, gqa(1, 1, 64, 0))}, engine.Load{}, model.UnsupportedArchitecture},
	} {
		_, err := plan(v.m, v.load, engine.Hardware{})
		var e *model.Error
		if !errors.As(err, &e) || e.Code != v.code {
			t.Errorf("%s: %v, want %s", v.name, err, v.code)
		}
	}
	if _, err := plan(llama8B(), engine.Load{}, engine.Hardware{Devices: []engine.Device{{Name: "MI300X", Vendor: "amd"}}}); err == nil {
		t.Error("runs on AMD devices")
	}
}

// Absurd numbers are refused or give absurd sizes, never negative ones.
func TestHostileNumbers(t *testing.T) {
	big := int64(math.MaxInt64)
	for _, l := range []engine.Load{
		{ContextTokens: 1 << 34, Sequences: 1 << 20},
		{BatchTokens: 1 << 34},
		{Flags: set{"max_batch_size": int64(1) << 20, "backend": "tensorrt"}},
		{Flags: set{"max_num_tokens": big}}, {Flags: set{"host_cache_size": int64(1) << 50}, TensorParallel: 8},
		{Flags: set{"max_tokens": int64(1) << 34}}, {Flags: set{"max_gpu_total_bytes": int64(1) << 50}},
		{Flags: set{"max_attention_window": []any{1e300}}}, {Flags: set{"max_attention_window": "1,2,x"}}, {Flags: set{"max_attention_window": "1,99999999"}},
		{Flags: set{"context_parallel_size": 1024}, TensorParallel: 8}, {Flags: set{"tokens_per_block": 1 << 16}}, {Flags: set{"tokens_per_block": 0}},
		{Flags: set{"cuda_graph_max_batch_size": int64(1) << 20, "max_batch_size": int64(1) << 20}},
		{MemoryUtilization: math.NaN()},
	} {
		for _, m := range []*model.Model{llama8B(), gemma27B(), deepseek(true), nemotron()} {
			u, err := plan(m, l, h100(1))
			var e *model.Error
			if err != nil {
				if !errors.As(err, &e) {
					t.Errorf("%+v: %v is not a model.Error", l, err)
				}
				continue
			}
			for _, x := range u.Terms {
				if low, high := x.Range(); x.Bytes < 0 || low > x.Bytes || high < x.Bytes {
					t.Errorf("%+v: %s is %d bytes of %d to %d", l, x.Name, x.Bytes, low, high)
				}
			}
			if u.Cache.Pool < 0 || u.Cache.PerSequence < 0 || u.Cache.CapacityTokens < 0 {
				t.Errorf("%+v: %+v", l, u.Cache)
			}
		}
	}
}

func BenchmarkPlanDense(b *testing.B) {
	m, hw := llama8B(), h100(1)
	load := engine.Load{ContextTokens: 8192, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New().Plan(m, load, hw); err != nil {
			b.Fatal(err)
		}
	}
}
