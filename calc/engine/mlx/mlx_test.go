package mlx

import (
	"errors"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

func hybrid() *model.Model {
	m := &model.Model{Type: "qwen3_5_moe", Causal: true, Hidden: 2048, Vocab: 248320, DType: "bfloat16", Context: 262144}
	for i := range 40 {
		var x model.Mixer = &model.GatedDelta{KeyHeads: 16, ValueHeads: 32, KeyDim: 128, ValueDim: 128, Conv: 4}
		if (i+1)%4 == 0 {
			x = gqa(16, 2, 256, 0)
		}
		l := layers(1, x)
		l[0].FFN = model.FFN{Experts: 256, TopK: 8, ExpertWidth: 512, SharedWidth: 512}
		m.Layers = append(m.Layers, l...)
	}
	return m
}

func named(u *engine.Usage, name string) *engine.Term {
	for i := range u.Terms {
		if u.Terms[i].Name == name {
			return &u.Terms[i]
		}
	}
	return &engine.Term{}
}

// Head sizes of 256 have no fused kernel: 16 heads × 2048 tokens × 2 bytes are
// the 65536 bytes for each token of context that LM Studio's runtime prints
// for Qwen3.6-35B-A3B; a mask of a byte comes with them. Its states are the
// 0.06 GiB that the runtime prints.
func TestScoresOfUnfusedHeads(t *testing.T) {
	at := func(tokens int64) int64 {
		return int64(named(usage(t, hybrid(), engine.Load{ContextTokens: tokens, Sequences: 1}), "prompt pass").Bytes)
	}
	if got := (at(131072) - at(65536)) / 65536; got != 65536+2048 {
		t.Errorf("%d bytes of scores and mask for a token, want %d", got, 65536+2048)
	}
	u := usage(t, hybrid(), engine.Load{ContextTokens: 65536, Sequences: 1})
	if got := float64(sum(u, engine.State)) / float64(engine.GiB); got < 0.055 || got >= 0.065 {
		t.Errorf("%.3f GiB of states, the runtime says 0.06", got)
	}
	// Heads of 128 are read by a fused kernel: no scores at any length.
	if n := named(usage(t, llama8B(), engine.Load{ContextTokens: 131072, Sequences: 1}), "prompt pass").Inputs[2]; n.Value != 0 {
		t.Errorf("%s is %d for a fused kernel", n.Name, n.Value)
	}
	// But not over a quantized cache.
	if n := named(usage(t, llama8B(), engine.Load{ContextTokens: 131072, Sequences: 1, KVCacheType: "mlx-8bit"}), "prompt pass").Inputs[2]; n.Value != 32*2048*131072*2 {
		t.Errorf("%s is %d over a quantized cache", n.Name, n.Value)
	}
}

// A smaller prompt step lowers the peak, and only the peak.
func TestPrefillStep(t *testing.T) {
	load := func(step int64) *engine.Usage {
		return usage(t, hybrid(), engine.Load{ContextTokens: 100000, Sequences: 1, Flags: engine.Flags{"prefill_step_size": step}})
	}
	a, b := load(2048), load(512)
	if x, y := named(a, "prompt pass").Bytes, named(b, "prompt pass").Bytes; x < 3*y || x > 5*y {
		t.Errorf("prompt pass %v at 2048, %v at 512", x, y)
	}
	if sum(a, engine.KVCache) != sum(b, engine.KVCache)+0 && sum(a, engine.KVCache)-sum(b, engine.KVCache) > 40*growth*2048 {
		t.Errorf("cache %d and %d", sum(a, engine.KVCache), sum(b, engine.KVCache))
	}
}

func TestMonotone(t *testing.T) {
	for _, m := range []*model.Model{llama8B(), gemma27B(), hybrid()} {
		last := int64(0)
		for _, n := range []int64{1, 100, 1000, 1024, 1025, 2048, 5000, 40000, 131072, 1 << 24} {
			one := usage(t, m, engine.Load{ContextTokens: n, Sequences: 1})
			two := usage(t, m, engine.Load{ContextTokens: n, Sequences: 2})
			a, b := sum(one, engine.KVCache)+sum(one, engine.State), sum(two, engine.KVCache)+sum(two, engine.State)
			if a < last || b != 2*a {
				t.Errorf("%s at %d tokens: %d after %d; %d for two", m.Type, n, a, last, b)
			}
			last = a
			for i := range one.Terms {
				if low, high := one.Terms[i].Range(); low > one.Terms[i].Bytes || high < one.Terms[i].Bytes {
					t.Errorf("%s: range %v–%v around %v", one.Terms[i].Name, low, high, one.Terms[i].Bytes)
				}
			}
		}
	}
}

// max_kv_size bounds the cache of plain models; models with caches of their
// own kinds ignore it.
func TestMaxKVSize(t *testing.T) {
	flags := engine.Flags{"max_kv_size": 4096}
	u := usage(t, llama8B(), engine.Load{ContextTokens: 100000, Sequences: 1, Flags: flags})
	if got := sum(u, engine.KVCache); got != 4096*131072 {
		t.Errorf("%d B with max_kv_size 4096", got)
	}
	a := usage(t, gemma27B(), engine.Load{ContextTokens: 100000, Sequences: 1, Flags: flags})
	b := usage(t, gemma27B(), engine.Load{ContextTokens: 100000, Sequences: 1})
	if x, y := sum(a, engine.KVCache), sum(b, engine.KVCache); x != y {
		t.Errorf("gemma keeps %d B with max_kv_size, %d without", x, y)
	}
}

// oMLX on two Macs with 32 GB logged ceilings of 24.96, which is Metal's limit,
// and of 26.0 with 24.7 as the hard one, above which requests are refused.
func TestOMLXBudget(t *testing.T) {
	mac := func(limit float64) engine.Device {
		n := engine.Bytes(limit * float64(engine.GiB))
		return engine.Device{Name: "Mac", Vendor: "apple", Kind: engine.Unified, Total: 32 * engine.GiB, Free: 32 * engine.GiB, Usable: n}
	}
	for _, c := range []struct {
		usable float64
		flags  engine.Flags
		want   float64
	}{
		{24.96, engine.Flags{"server": "omlx"}, 24.96 * 0.95},
		{30, engine.Flags{"server": "omlx"}, 24.7},
		{30, engine.Flags{"server": "omlx", "max_process_memory": "26GB"}, 24.7},
		{30, engine.Flags{"server": "omlx", "max_process_memory": "80%"}, 32 * .8 * .95},
		{24.96, nil, 24.96},
	} {
		u, err := New().Plan(llama8B(), engine.Load{ContextTokens: 1000, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1, Flags: c.flags},
			engine.Hardware{Devices: []engine.Device{mac(c.usable)}})
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(u.Budgets[0]) / float64(engine.GiB); got < c.want-0.01 || got > c.want+0.01 {
			t.Errorf("%v: budget %.2f GiB, want %.2f", c.flags, got, c.want)
		}
	}
}

// The largest loads that are planned stay within int64.
func TestLargest(t *testing.T) {
	for _, l := range []engine.Load{{ContextTokens: maxTokens, Sequences: 1}, {ContextTokens: 1, Sequences: maxTokens}, {ContextTokens: 1 << 14, Sequences: 1 << 14}} {
		l.Flags = engine.Flags{"prefill_step_size": maxStep, "prompt_concurrency": 1024}
		for _, m := range []*model.Model{llama8B(), gemma27B(), hybrid()} {
			u := usage(t, m, l)
			for i := range u.Terms {
				if term := &u.Terms[i]; term.Bytes < 0 || term.High < 0 {
					t.Errorf("%s, %d × %d tokens: %s takes %d", m.Type, l.Sequences, l.ContextTokens, term.Name, term.Bytes)
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	layers := int64(3)
	gguf := llama8B()
	gguf.Format = model.FormatGGUF
	encdec := llama8B()
	encdec.EncDec = true
	for _, c := range []struct {
		name  string
		m     *model.Model
		load  engine.Load
		field string
	}{
		{"unknown switch", llama8B(), engine.Load{Flags: engine.Flags{"n_ctx": 1}}, "flags.n_ctx"},
		{"unknown server", llama8B(), engine.Load{Flags: engine.Flags{"server": "vllm"}}, "flags.server"},
		{"hot cache of mlx-lm", llama8B(), engine.Load{Flags: engine.Flags{"hot_cache_max_size": "8GB"}}, "flags.server"},
		{"size without number", llama8B(), engine.Load{Flags: engine.Flags{"server": "omlx", "hot_cache_max_size": "much"}}, "flags.hot_cache_max_size"},
		{"7 bits", llama8B(), engine.Load{Flags: engine.Flags{"kv_bits": 7}}, "flags.kv_bits"},
		{"rotating and quantized", llama8B(), engine.Load{Flags: engine.Flags{"kv_bits": 4, "max_kv_size": 4096}}, "flags.max_kv_size"},
		{"fp8 cache", llama8B(), engine.Load{KVCacheType: "fp8"}, "kv_cache_dtype"},
		{"layers on the host", llama8B(), engine.Load{GPULayers: &layers}, "gpu_layers"},
		{"a GGUF", gguf, engine.Load{}, "engine"},
		{"an encoder-decoder", encdec, engine.Load{}, "model_type"},
		{"no release", llama8B(), engine.Load{Version: "newest"}, "engine_version"},
		{"GGUF weights", llama8B(), engine.Load{Weights: "Q4_K_M"}, "weights"},
		{"bitsandbytes weights", llama8B(), engine.Load{Weights: "nf4"}, "weights"},
		{"too long", llama8B(), engine.Load{ContextTokens: 1 << 34}, "context_tokens"},
	} {
		_, err := New().Plan(c.m, c.load, engine.Hardware{})
		var e *model.Error
		if !errors.As(err, &e) || e.Field != c.field {
			t.Errorf("%s: %v, want an error on %s", c.name, err, c.field)
		}
	}
}

// A plan of a dense model takes microseconds.
func BenchmarkPlan(b *testing.B) {
	m := llama8B()
	load := engine.Load{ContextTokens: 32768, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1}
	for b.Loop() {
		if _, err := New().Plan(m, load, engine.Hardware{}); err != nil {
			b.Fatal(err)
		}
	}
}
