package mistralrs

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

func deepseek() *model.Model {
	x := &model.MLA{Heads: 128, QLoRARank: 1536, KVLoRARank: 512, NopeDim: 128, RopeDim: 64, ValDim: 128}
	return build(&model.Model{Type: "deepseek_v3", Layers: layers(61, x), Causal: true, Hidden: 7168, Vocab: 129280, Context: 163840})
}

// uneven is V093's model: keys of 192 and values of 128.
func uneven() *model.Model {
	x := gqa(16, 16, 192, 0)
	x.ValueDim = 128
	return build(&model.Model{Type: "llama", Layers: layers(27, x), Causal: true, Hidden: 2048, Vocab: 102400})
}

func mistral7B() *model.Model {
	return build(&model.Model{Type: "mistral", Layers: layers(32, gqa(32, 8, 128, 4096)), Causal: true, Hidden: 4096, Vocab: 32000, Context: 32768})
}

// qwen27B is Qwen3.6-27B's cache: 48 gated delta nets with 10,240 convolved
// channels and 48 heads of 128 × 128, and 16 layers of attention with 4,096
// bytes a token.
func qwen27B() *model.Model {
	m := &model.Model{Type: "qwen3_5", Causal: true, Hidden: 5120, Vocab: 248320, Context: 262144}
	for i := range 64 {
		var x model.Mixer = &model.GatedDelta{KeyHeads: 16, ValueHeads: 48, KeyDim: 128, ValueDim: 128, Conv: 4}
		if (i+1)%4 == 0 {
			x = gqa(24, 4, 256, 0)
		}
		m.Layers = append(m.Layers, layers(1, x)...)
	}
	return build(m)
}

func build(m *model.Model) *model.Model {
	m.Build(func(dst []model.Tensor) []model.Tensor {
		dst = append(dst, model.Matrix("token_embd.weight", m.Vocab, m.Hidden).As(model.Embedding).With(model.ByVocab))
		if !m.Tied {
			dst = append(dst, model.Matrix("output.weight", m.Vocab, m.Hidden).As(model.Head).With(model.ByVocab))
		}
		for i := range dst {
			dst[i].Layer = -1
		}
		return dst
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

// sum adds the terms of a category: on device, or on the host (-1).
func sum(u *engine.Usage, device int, c engine.Category) (n int64) {
	for _, x := range u.Terms {
		if x.Category != c {
			continue
		}
		if device < 0 && len(x.On) == 0 {
			n += int64(x.Bytes)
		}
		for _, d := range x.On {
			if d == device {
				n += int64(x.Bytes)
			}
		}
	}
	return n
}

func devices(d engine.Device, n int) (hw engine.Hardware) {
	for range n {
		hw.Devices = append(hw.Devices, d)
	}
	return hw
}

var (
	h100  = engine.Device{Name: "H100", Vendor: "nvidia", Kind: engine.Dedicated, Arch: "9.0", Total: 79 * engine.GiB, Free: 79 * engine.GiB, Usable: 79 * engine.GiB}
	m3    = engine.Device{Name: "M3 Max 64GB", Vendor: "apple", Kind: engine.Unified, Total: 64 * engine.GiB, Free: 64 * engine.GiB, Usable: 48 * engine.GiB}
	ryzen = engine.Device{Name: "CPU", Vendor: "cpu", Kind: engine.Shared, Total: 64 * engine.GiB, Free: 64 * engine.GiB, Usable: 64 * engine.GiB}
)

type set = engine.Flags

// V090 to V093 are vectors of the reference set.
func TestCache(t *testing.T) {
	for _, v := range []struct {
		id     string
		m      *model.Model
		load   engine.Load
		hw     engine.Hardware
		tokens int64
		want   int64
	}{
		{"V090", llama8B(), engine.Load{Flags: set{"paged_attn": "off"}}, engine.Hardware{}, 1100, 201326592},
		{"V091", llama8B(), engine.Load{}, engine.Hardware{}, 1100, 146800640},
		{"V092", deepseek(), engine.Load{}, engine.Hardware{}, 4096, 287834112},
		{"V093", uneven(), engine.Load{}, engine.Hardware{}, 1024, 339738624},
		{"Metal does not page", llama8B(), engine.Load{}, devices(m3, 1), 1100, 201326592},
		{"the processor does not page", llama8B(), engine.Load{}, devices(ryzen, 1), 1100, 201326592},
		{"blocks of 8", llama8B(), engine.Load{Flags: set{"pa_block_size": 8}}, engine.Hardware{}, 1100, 1104 * 131072},
		{"fp8", llama8B(), engine.Load{KVCacheType: "f8e4m3"}, engine.Hardware{}, 1100, 73400320},
		{"unequal rows are exact without pages", uneven(), engine.Load{Flags: set{"paged_attn": "off"}}, engine.Hardware{}, 1024, 27 * 16 * 320 * 2 * 1024},
		{"a window below its size", mistral7B(), engine.Load{Flags: set{"paged_attn": "off"}}, engine.Hardware{}, 1100, 201326592},
		{"a window and a step", mistral7B(), engine.Load{Flags: set{"paged_attn": "off"}}, engine.Hardware{}, 30000, (4096 + 512) * 131072},
		{"expanded latent attention", deepseek(), engine.Load{Flags: set{"paged_attn": "off"}}, engine.Hardware{}, 512, 61 * 512 * 128 * 320 * 2},
		{"two ranks", llama8B(), engine.Load{TensorParallel: 2}, engine.Hardware{}, 1100, 73400320},
		{"no cache", llama8B(), engine.Load{Flags: set{"no_kv_cache": true}}, engine.Hardware{}, 1100, 0},
	} {
		v.load.ContextTokens = v.tokens
		if got := sum(must(t, v.m, v.load, v.hw), 0, engine.KVCache); got != v.want {
			t.Errorf("%s: %d bytes, want %d", v.id, got, v.want)
		}
	}
}

// Recurrent layers are left out of pages and keep a state for each of max_seqs.
func TestHybrid(t *testing.T) {
	u := must(t, qwen27B(), engine.Load{ContextTokens: 1024, Flags: set{"max_seqs": 32}}, engine.Hardware{})
	if got, want := sum(u, 0, engine.KVCache), int64(16*1024*4096); got != want {
		t.Errorf("pages of %d bytes, want %d", got, want)
	}
	if got, want := sum(u, 0, engine.State), int64(33*48*(10240*4*2+48*128*128*4)); got != want {
		t.Errorf("states of %d bytes, want %d", got, want)
	}
}

// Budgets are whole MiB, and all but 2 % of free memory at most.
func TestPool(t *testing.T) {
	m := llama8B()
	if u := must(t, m, engine.Load{Flags: set{"pa_memory_mb": 1000}}, devices(h100, 1)); u.Cache.CapacityTokens != 8000 {
		t.Errorf("1000 MiB hold %d tokens, want 8000", u.Cache.CapacityTokens)
	}
	if u := must(t, m, engine.Load{Flags: set{"pa_context_len": 10000}}, devices(h100, 1)); u.Cache.CapacityTokens != 9984 {
		t.Errorf("pa_context_len 10000: %d tokens, want 312 whole blocks", u.Cache.CapacityTokens)
	}
	u := must(t, m, engine.Load{}, devices(h100, 1))
	if got := int64(u.Cache.Pool) % (32 * 131072); got != 0 {
		t.Errorf("%d bytes beyond whole blocks", got)
	}
	full := must(t, m, engine.Load{MemoryUtilization: 1}, devices(h100, 1))
	inside := sum(full, 0, engine.Weights) + sum(full, 0, engine.Runtime)
	free := int64(79<<30) - inside
	if got, most := int64(full.Cache.Pool), free-free/50; got > most || got < most-256<<20 {
		t.Errorf("all of the device: a pool of %d, want just below %d", got, most)
	}
	metal := must(t, m, engine.Load{Flags: set{"paged_attn": "on"}}, devices(m3, 1))
	if metal.Cache.CapacityTokens != 131072 {
		t.Errorf("Metal pages %d tokens, want the model's context", metal.Cache.CapacityTokens)
	}
}

// A pool of an asked size that does not fit is refused, not cut; layers go
// where device_layers says.
func TestAsked(t *testing.T) {
	u := must(t, llama8B(), engine.Load{Flags: set{"pa_memory_mb": 70000}}, devices(h100, 1))
	if u.Cache.Pool != 0 || u.Budgets[0] > 20*engine.GiB {
		t.Errorf("70000 MiB beside the weights on 79 GiB: a pool of %s, a budget of %s", u.Cache.Pool, u.Budgets[0])
	}
	u = must(t, llama8B(), engine.Load{ContextTokens: 32, PipelineParallel: 2, Flags: set{"device_layers": "0:20;1:12"}}, engine.Hardware{})
	if a, b := sum(u, 0, engine.KVCache), sum(u, 1, engine.KVCache); a != 20*32*4096 || b != 12*32*4096 {
		t.Errorf("%d and %d bytes of cache", a, b)
	}
	if _, err := plan(llama8B(), engine.Load{Flags: set{"device_layers": "0:20;1:12"}}, engine.Hardware{}); err == nil {
		t.Error("two devices for one stage")
	}
}

// Bytes a matrix of 4096 × 4096 takes are those of the formats' blocks: 144
// for 256 weights of Q4_K, 36 for 64 of AFQ4 and HQQ4, 17 for 32 of MXFP4.
func TestInSituTypes(t *testing.T) {
	for name, want := range map[string]int64{
		"Q4K": 9437184, "q4_k": 9437184, "4": 9437184, "Q8_0": 17825792, "AFQ4": 9437184, "AFQ8": 17825792, "HQQ4": 9437184, "FP8": 16777224, "MXFP4": 8912896,
		"Q2K": 5505024, "6": 13762560,
	} {
		x, ok := isqByName(name, false)
		if !ok {
			t.Errorf("no type %q", name)
			continue
		}
		m := &model.Model{Hidden: 4096, Vocab: 32, Tensors: []model.Tensor{model.Matrix("attn_q.weight", 4096, 4096)}}
		out, err := x.assign(m)
		if err != nil || out[0].Bytes != want {
			t.Errorf("%s: %d bytes (%v), want %d", name, out[0].Bytes, err, want)
		}
	}
	if x, _ := isqByName("4", true); x.name != "AFQ4" {
		t.Errorf("4 bits on Metal are %s", x.name)
	}
	// Rows of 2880 are no whole number of 256, so Q4K falls back to Q4_1: 20
	// bytes for 32.
	x, _ := isqByName("Q4K", false)
	if y, ok := x.of(2880); !ok || y.name != "Q4_1" || y.bytes != 20 {
		t.Errorf("rows of 2880 as %s", y.name)
	}
	if _, ok := x.of(33); ok {
		t.Error("rows of 33 are quantized")
	}
}

// In-situ quantization leaves embeddings, and passes through system memory.
func TestInSitu(t *testing.T) {
	m := llama8B()
	u := must(t, m, engine.Load{Weights: "Q4K"}, engine.Hardware{})
	const vocabulary = 128256 * 4096
	var linear int64
	for i := range m.Tensors {
		if m.Tensors[i].Layer >= 0 {
			linear += m.Tensors[i].Elems()
		}
	}
	if got, want := sum(u, 0, engine.Weights), (linear+vocabulary)*144/256+2*vocabulary; got != want {
		t.Errorf("%d bytes of weights, want %d", got, want)
	}
	if sum(u, -1, engine.Workspace) == 0 {
		t.Error("nothing passes through system memory")
	}
}

// Layers beyond those mapped to devices stay on the host with their cache, and
// nothing is paged then.
func TestOffload(t *testing.T) {
	n := int64(24)
	for _, l := range []engine.Load{{GPULayers: &n}, {Flags: set{"device_layers": "0:24"}}} {
		l.ContextTokens = 1100
		u := must(t, llama8B(), l, devices(h100, 1))
		if got := sum(u, 0, engine.KVCache); got != 24*201326592/32 {
			t.Errorf("%d bytes of cache on the device", got)
		}
		if got := sum(u, -1, engine.KVCache); got != 8*201326592/32 {
			t.Errorf("%d bytes of cache on the host", got)
		}
		if u.Cache.Pool != 0 {
			t.Error("paged with layers on the processor")
		}
		all := sum(must(t, llama8B(), engine.Load{}, engine.Hardware{}), 0, engine.Weights)
		if got := sum(u, 0, engine.Weights) + sum(u, -1, engine.Weights); got != all {
			t.Errorf("%d bytes of weights, want %d", got, all)
		}
	}
}

func TestRefusals(t *testing.T) {
	one := int64(1)
	quantized := llama8B()
	quantized.Quant = &model.Quantization{Method: "gptq", Bits: 4, GroupSize: 128}
	for _, v := range []struct {
		name string
		m    *model.Model
		load engine.Load
		hw   engine.Hardware
		code model.Code
	}{
		{"no such switch", llama8B(), engine.Load{Flags: set{"enforce_eager": true}}, engine.Hardware{}, model.InvalidArgument},
		{"fp8 latent cache", deepseek(), engine.Load{KVCacheType: "f8e4m3"}, engine.Hardware{}, model.InvalidArgument},
		{"fp8 without pages", llama8B(), engine.Load{KVCacheType: "fp8"}, devices(m3, 1), model.InvalidArgument},
		{"cache type", llama8B(), engine.Load{KVCacheType: "q8_0"}, engine.Hardware{}, model.InvalidArgument},
		{"block", llama8B(), engine.Load{Flags: set{"pa_block_size": 24}}, engine.Hardware{}, model.InvalidArgument},
		{"pages on the processor", llama8B(), engine.Load{Flags: set{"paged_attn": "on"}}, devices(ryzen, 1), model.InvalidArgument},
		{"ranks on Metal", llama8B(), engine.Load{TensorParallel: 2}, devices(m3, 1), model.InvalidArgument},
		{"ranks and host layers", llama8B(), engine.Load{TensorParallel: 2, GPULayers: &one}, engine.Hardware{}, model.InvalidArgument},
		{"experts alone", llama8B(), engine.Load{CPUMoELayers: 1}, engine.Hardware{}, model.InvalidArgument},
		{"layers", llama8B(), engine.Load{Flags: set{"device_layers": "all"}}, engine.Hardware{}, model.InvalidArgument},
		{"in-situ type", llama8B(), engine.Load{Flags: set{"isq": "Q9K"}}, engine.Hardware{}, model.InvalidArgument},
		{"processor's type", llama8B(), engine.Load{Flags: set{"isq": "F8Q8"}}, engine.Hardware{}, model.InvalidArgument},
		{"weights", llama8B(), engine.Load{Weights: "Q17"}, engine.Hardware{}, model.InvalidArgument},
		{"quantized twice", quantized, engine.Load{Weights: "Q4K"}, engine.Hardware{}, model.InvalidArgument},
		{"RWKV", &model.Model{Type: "rwkv7", Causal: true, Layers: layers(1, &model.RWKV{Hidden: 64, HeadSize: 64})}, engine.Load{}, engine.Hardware{}, model.UnsupportedArchitecture},
		{"T5", &model.Model{Type: "t5", Causal: true, EncDec: true, Layers: layers(1, gqa(1, 1, 64, 0))}, engine.Load{}, engine.Hardware{}, model.UnsupportedArchitecture},
	} {
		_, err := plan(v.m, v.load, v.hw)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != v.code {
			t.Errorf("%s: %v, want %s", v.name, err, v.code)
		}
	}
}

// Absurd numbers are refused or give absurd sizes, never negative ones.
func TestHostileNumbers(t *testing.T) {
	big := int64(math.MaxInt64)
	for _, l := range []engine.Load{
		{ContextTokens: 1 << 34, Sequences: 1 << 20},
		{ContextTokens: 1 << 34, Sequences: 1 << 20, Flags: set{"paged_attn": "off"}},
		{BatchTokens: 1 << 34}, {Flags: set{"pa_memory_mb": big}}, {Flags: set{"pa_memory_mb": int64(1) << 30}},
		{Flags: set{"pa_context_len": int64(1) << 34}}, {Flags: set{"max_seqs": int64(1) << 20}},
		{Flags: set{"max_seq_len": int64(1) << 34, "max_batch_size": int64(1) << 20}},
		{Flags: set{"device_layers": "0:99999999999999999999"}}, {MemoryUtilization: math.NaN()}, {Version: "0.6.0"},
	} {
		for _, m := range []*model.Model{llama8B(), mistral7B(), deepseek(), qwen27B()} {
			u, err := plan(m, l, devices(h100, 1))
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
			if u.Cache.Pool < 0 || u.Cache.PerSequence < 0 {
				t.Errorf("%+v: %+v", l, u.Cache)
			}
		}
	}
}

func BenchmarkPlanDense(b *testing.B) {
	m, hw := llama8B(), devices(h100, 1)
	load := engine.Load{ContextTokens: 8192, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New().Plan(m, load, hw); err != nil {
			b.Fatal(err)
		}
	}
}

// A class that the loaders do not list is refused by name, and so are devices
// that nothing is built for.
func TestUnknownClass(t *testing.T) {
	m := llama8B()
	m.Architecture = "FalconForCausalLM"
	_, err := plan(m, engine.Load{}, engine.Hardware{})
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.UnsupportedArchitecture {
		t.Errorf("Falcon: %v", err)
	}
	if _, err := plan(llama8B(), engine.Load{}, devices(engine.Device{Name: "MI300X", Vendor: "amd"}, 1)); err == nil {
		t.Error("runs on AMD devices")
	}
}

// Names and layer maps that a caller writes give a plan or a model.Error.
func FuzzFlags(f *testing.F) {
	for _, s := range []string{"0:10;1:20", "0:32", ":", "Q4K", "afq4", "8", "0:-1", "a:b;c"} {
		f.Add(s, s)
	}
	m := llama8B()
	f.Fuzz(func(t *testing.T, layers, isq string) {
		_, err := plan(m, engine.Load{Flags: set{"device_layers": layers, "isq": isq}}, engine.Hardware{})
		var e *model.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%q %q: %v", layers, isq, err)
		}
	})
}
