package tgi

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

func deepseek(kind string) *model.Model {
	x := &model.MLA{Heads: 128, QLoRARank: 1536, KVLoRARank: 512, NopeDim: 128, RopeDim: 64, ValDim: 128}
	return build(&model.Model{Type: kind, Layers: layers(61, x), Causal: true, Hidden: 7168, Vocab: 129280, Context: 163840})
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

func cache(u *engine.Usage) (n int64) {
	for _, x := range u.Terms {
		if x.Category == engine.KVCache || x.Category == engine.State {
			n += int64(x.Bytes)
		}
	}
	return n
}

func h100(n int) (hw engine.Hardware) {
	for range n {
		hw.Devices = append(hw.Devices, engine.Device{Name: "H100 SXM5 80GB", Vendor: "nvidia", Kind: engine.Dedicated, Arch: "9.0", Total: 80 * engine.GiB, Free: 80 * engine.GiB, Usable: 80 * engine.GiB})
	}
	return hw
}

// V094 and V095 are vectors of the reference set. The rest follow from the
// shapes that TGI's cache has: windowed layers whole, latent attention with
// keys and values of 192 for each of its heads, fp8 at half.
func TestCache(t *testing.T) {
	for _, v := range []struct {
		id     string
		m      *model.Model
		load   engine.Load
		tokens int64
		want   int64
	}{
		{"V094", llama8B(), engine.Load{Flags: engine.Flags{"attention": "flashdecoding"}}, 1100, 167772160},
		{"V095", llama8B(), engine.Load{Flags: engine.Flags{"attention": "flashinfer"}}, 1100, 144179200},
		{"default is FlashInfer", llama8B(), engine.Load{}, 1100, 144179200},
		{"paged before 2.3", llama8B(), engine.Load{Version: "2.2.0"}, 1100, 69 * 16 * 131072},
		{"fp8", llama8B(), engine.Load{KVCacheType: "fp8"}, 1100, 72089600},
		{"two shards", llama8B(), engine.Load{TensorParallel: 2}, 1100, 72089600},
		{"windows are not evicted", gemma27B(), engine.Load{}, 32768, 62 * 32768 * 8192},
		{"expanded latent attention", deepseek("deepseek_v3"), engine.Load{}, 256, 61 * 256 * 128 * 192 * 2 * 2},
		{"one key/value head is replicated", build(&model.Model{Type: "falcon", Layers: layers(32, gqa(72, 1, 64, 0)), Causal: true, Hidden: 4608, Vocab: 65024}),
			engine.Load{TensorParallel: 8}, 256, 32 * 256 * 256},
	} {
		v.load.ContextTokens = v.tokens
		if got := cache(must(t, v.m, v.load, engine.Hardware{})); got != v.want {
			t.Errorf("%s: %d bytes, want %d", v.id, got, v.want)
		}
	}
}

// The pool is what utilization and the room leave; releases differ in the
// room, and in whether it is taken of all memory or of what was free.
func TestPool(t *testing.T) {
	m := llama8B()
	for _, v := range []struct {
		version string
		room    float64
		ofTotal bool
	}{
		{"3.3.7", 0.90, true}, {"3.1.0", 0.93, true}, {"3.0.1", 0.95, true}, {"2.4.1", 0.90, false}, {"2.0.4", 0.95, false},
	} {
		u := must(t, m, engine.Load{Version: v.version, ContextTokens: 1024, BatchTokens: 4096}, h100(1))
		var inside int64
		for _, x := range u.Terms {
			if !x.Outside && x.Category != engine.KVCache {
				inside += int64(x.Bytes)
			}
		}
		low := int64(float64(80<<30)*v.room) - inside
		if !v.ofTotal {
			low = int64(float64(80<<30-inside) * v.room)
		}
		// Warm-up blocks escape the room in the older rule.
		if got := int64(u.Cache.Pool); got > low+1<<30 || got < low-1<<30 {
			t.Errorf("%s: pool of %d, want about %d", v.version, got, low)
		}
		if got := int64(u.Cache.Pool); u.Cache.CapacityTokens*131072 != got {
			t.Errorf("%s: %d tokens in %d bytes", v.version, u.Cache.CapacityTokens, got)
		}
	}
}

// The launcher's default prefill for Llama-3.1-8B on an H100 is far above the
// 4096 it takes on a card that it does not know; a memory fraction shrinks it.
func TestPrefillDefault(t *testing.T) {
	s := &settings{tp: 1, fraction: 1, device: &h100(1).Devices[0]}
	known, _ := s.prefillDefault(llama8B())
	if known <= 4096 || known > 131072 {
		t.Errorf("H100: %d tokens", known)
	}
	unknown := &settings{tp: 1, fraction: 1, device: &engine.Device{Name: "RTX 3060", Vendor: "nvidia", Total: 12 * engine.GiB}}
	if n, _ := unknown.prefillDefault(llama8B()); n != 4096 {
		t.Errorf("unknown card: %d tokens", n)
	}
	small := &settings{tp: 1, fraction: 0.25, device: s.device}
	if n, _ := small.prefillDefault(llama8B()); n >= known {
		t.Errorf("a quarter of the memory: %d tokens, %d with all", n, known)
	}
}

func TestRefusals(t *testing.T) {
	flags := func(k string, v any) engine.Load { return engine.Load{Flags: engine.Flags{k: v}} }
	for _, v := range []struct {
		name string
		m    *model.Model
		load engine.Load
		hw   engine.Hardware
		code model.Code
	}{
		{"no such switch", llama8B(), flags("enforce_eager", true), engine.Hardware{}, model.InvalidArgument},
		{"fp8 in flashdecoding", llama8B(), engine.Load{KVCacheType: "fp8", Flags: engine.Flags{"attention": "flashdecoding"}}, engine.Hardware{}, model.InvalidArgument},
		{"cache type", llama8B(), engine.Load{KVCacheType: "q8_0"}, engine.Hardware{}, model.InvalidArgument},
		{"weights", llama8B(), engine.Load{Weights: "Q4_K_M"}, engine.Hardware{}, model.InvalidArgument},
		{"stages", llama8B(), engine.Load{PipelineParallel: 2}, engine.Hardware{}, model.InvalidArgument},
		{"heads", llama8B(), engine.Load{TensorParallel: 16}, engine.Hardware{}, model.InvalidArgument},
		{"lengths", llama8B(), engine.Load{Flags: engine.Flags{"max_input_tokens": 100, "max_total_tokens": 100}}, engine.Hardware{}, model.InvalidArgument},
		{"awq of plain weights", llama8B(), flags("quantize", "awq"), engine.Hardware{}, model.InvalidArgument},
		{"backend", llama8B(), flags("attention", "flash3"), engine.Hardware{}, model.InvalidArgument},
		{"room", llama8B(), flags("TGI_WIGGLE_ROOM", math.NaN()), engine.Hardware{}, model.InvalidArgument},
		{"Apple", llama8B(), engine.Load{}, engine.Hardware{Devices: []engine.Device{{Name: "M3 Max", Vendor: "apple"}}}, model.InvalidArgument},
		{"Kimi", deepseek("kimi_k2"), engine.Load{}, engine.Hardware{}, model.UnsupportedArchitecture},
		{"GGUF", &model.Model{Format: model.FormatGGUF, Causal: true, Layers: layers(1, gqa(1, 1, 64, 0))}, engine.Load{}, engine.Hardware{}, model.UnsupportedArchitecture},
		{"encoder", &model.Model{Type: "bert", Layers: layers(1, gqa(1, 1, 64, 0))}, engine.Load{}, engine.Hardware{}, model.UnsupportedArchitecture},
		{"hybrid", &model.Model{Type: "bamba", Causal: true, Layers: layers(1, &model.Mamba2{Heads: 8, HeadDim: 64, Groups: 1, StateSize: 128, Conv: 4})}, engine.Load{}, engine.Hardware{}, model.UnsupportedArchitecture},
	} {
		_, err := plan(v.m, v.load, v.hw)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != v.code {
			t.Errorf("%s: %v, want %s", v.name, err, v.code)
		}
	}
}

// Mamba keeps K columns of its convolution and the state in 16 bits.
func TestMamba(t *testing.T) {
	m := build(&model.Model{Type: "mamba", Causal: true, Hidden: 2560, Vocab: 50280, Layers: layers(64, &model.Mamba1{Inner: 5120, StateSize: 16, Conv: 4, DtRank: 160})})
	if got, want := cache(must(t, m, engine.Load{ContextTokens: 4096, Sequences: 3}, engine.Hardware{})), int64(3*64*5120*20*2); got != want {
		t.Errorf("state of %d bytes, want %d", got, want)
	}
	if u := must(t, m, engine.Load{ContextTokens: 4096}, h100(1)); u.Cache.Pool != 0 {
		t.Error("Mamba has no pool")
	}
}

// Tied weights are loaded twice.
func TestTiedHead(t *testing.T) {
	for _, x := range must(t, gemma27B(), engine.Load{TensorParallel: 2}, engine.Hardware{}).Terms {
		if x.Name == "output projection" {
			if x.Bytes != 262208*5376 {
				t.Errorf("%d bytes", x.Bytes)
			}
			return
		}
	}
	t.Error("no second copy")
}

// Absurd numbers are refused or give absurd sizes, never negative ones.
func TestHostileNumbers(t *testing.T) {
	big := int64(math.MaxInt64)
	for _, l := range []engine.Load{
		{ContextTokens: 1 << 34, Sequences: 1 << 20},
		{ContextTokens: 1 << 34, Sequences: 1 << 20, Version: "2.0.0"},
		{BatchTokens: 1 << 34, Version: "2.0.0"},
		{Flags: engine.Flags{"max_batch_prefill_tokens": big}},
		{Flags: engine.Flags{"max_total_tokens": int64(1) << 34, "speculate": 1024}},
		{Flags: engine.Flags{"cuda_graphs": []any{1.0, 2.0, 1e300}}},
		{Flags: engine.Flags{"num_shard": big}},
		{TensorParallel: 8}, {Version: "99.99.99"}, {Version: "0.0"},
	} {
		for _, m := range []*model.Model{llama8B(), gemma27B(), deepseek("deepseek_v2")} {
			u, err := plan(m, l, h100(1))
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
			if u.Cache.Pool < 0 || u.Cache.PerSequence < 0 {
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

// TestGraphsByWeights: graphs that are asked for are captured whatever the
// weights; by default there are none with bitsandbytes' 8 bits, nor with a
// checkpoint that bitsandbytes stored.
func TestGraphsByWeights(t *testing.T) {
	stored := func(method string) *model.Model {
		m := llama8B()
		m.Quant = &model.Quantization{Method: method}
		return m
	}
	for _, c := range []struct {
		what string
		m    *model.Model
		load engine.Load
		want int64
	}{
		{"default", llama8B(), engine.Load{}, 6},
		{"4 bits", llama8B(), engine.Load{Weights: "nf4"}, 6},
		{"8 bits", llama8B(), engine.Load{Weights: "bnb-int8"}, 0},
		{"8 bits by flag", llama8B(), engine.Load{Flags: engine.Flags{"quantize": "bitsandbytes"}}, 0},
		{"8 bits, asked for", llama8B(), engine.Load{Weights: "bnb-int8", Flags: engine.Flags{"cuda_graphs": "1,2,4"}}, 3},
		{"none", llama8B(), engine.Load{Flags: engine.Flags{"cuda_graphs": 0.0}}, 0},
		{"stored in 8 bits", stored("bnb-int8"), engine.Load{}, 0},
		{"stored in 4 bits", stored("bnb-nf4"), engine.Load{}, 0},
	} {
		s, err := resolve(c.m, c.load, engine.Hardware{}, &engine.Usage{})
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if s.graphs != c.want {
			t.Errorf("%s: %d batch sizes are captured, want %d", c.what, s.graphs, c.want)
		}
	}
}
