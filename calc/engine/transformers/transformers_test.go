package transformers

import (
	"errors"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

const llama = `{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":4096,"intermediate_size":14336,"num_attention_heads":32,
	"num_key_value_heads":8,"num_hidden_layers":32,"vocab_size":128256,"max_position_embeddings":8192,"torch_dtype":"bfloat16","tie_word_embeddings":false}`

const gemma3 = `{"architectures":["Gemma3ForCausalLM"],"model_type":"gemma3_text","hidden_size":1152,"intermediate_size":6912,"num_attention_heads":4,
	"num_key_value_heads":1,"head_dim":256,"num_hidden_layers":26,"sliding_window":512,"sliding_window_pattern":6,"vocab_size":262144,
	"max_position_embeddings":32768,"torch_dtype":"bfloat16"}`

func parse(t testing.TB, config string) *model.Model {
	t.Helper()
	m, err := hfconfig.Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func usage(t testing.TB, config string, l engine.Load, devices ...engine.Device) *engine.Usage {
	t.Helper()
	l.TensorParallel, l.PipelineParallel, l.DataParallel = 1, max(1, l.PipelineParallel), 1
	l.Sequences = max(1, l.Sequences)
	u, err := New().Plan(parse(t, config), l, engine.Hardware{Devices: devices})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func named(u *engine.Usage, name string) *engine.Term {
	for i := range u.Terms {
		if u.Terms[i].Name == name {
			return &u.Terms[i]
		}
	}
	return &engine.Term{}
}

func sum(u *engine.Usage, c engine.Category, host bool) (n int64) {
	for i := range u.Terms {
		if t := &u.Terms[i]; t.Category == c && (len(t.On) == 0) == host {
			n += int64(t.Bytes) * int64(max(1, len(t.On)))
		}
	}
	return n
}

// The logits of 8192 tokens of Llama 3 took 4.2 GB until generate() asked for
// the last token's alone.
func TestLogits(t *testing.T) {
	for _, c := range []struct {
		version string
		flags   engine.Flags
		want    int64
	}{
		{"4.44.2", nil, 4202692608},
		{"4.45.0", nil, 128256 * 6}, {"", nil, 128256 * 6},
		{"4.44.2", engine.Flags{"num_logits_to_keep": 1}, 128256 * 6},
		{"", engine.Flags{"logits_to_keep": 0}, 4202692608 / 2},
	} {
		flags := engine.Flags{"dtype": "bfloat16"}
		for k, v := range c.flags {
			flags[k] = v
		}
		u := usage(t, llama, engine.Load{Version: c.version, ContextTokens: 8192, Flags: flags})
		if got := int64(named(u, "logits").Bytes); got != c.want {
			t.Errorf("%q %v: %d B of logits, want %d", c.version, c.flags, got, c.want)
		}
	}
}

// Llama-3-8B has 16,060,522,496 bytes in bf16; before version 5 transformers
// loads twice that unless told otherwise. bitsandbytes leaves embedding, head
// and norms alone: 1.05 of 8.03 billion parameters.
func TestWeights(t *testing.T) {
	for _, c := range []struct {
		version, weights string
		flags            engine.Flags
		want             int64
	}{
		{"", "", nil, 16060522496},
		{"4.57.0", "", nil, 2 * 16060522496},
		{"4.57.0", "", engine.Flags{"torch_dtype": "auto"}, 16060522496},
		{"", "", engine.Flags{"load_in_4bit": true}, 6979321856*9/16 + 2*(8030261248-6979321856)},
		{"", "", engine.Flags{"load_in_4bit": "true", "bnb_4bit_use_double_quant": true, "bnb_4bit_quant_type": "nf4"}, 6979321856/2 + 6979321856/64 + 6979321856/64/256*4 + 2*(8030261248-6979321856)},
	} {
		u := usage(t, llama, engine.Load{Version: c.version, Weights: c.weights, ContextTokens: 100, Flags: c.flags})
		if got := sum(u, engine.Weights, false); got != c.want {
			t.Errorf("%q %v: %d B of weights, want %d", c.version, c.flags, got, c.want)
		}
	}
}

// Windows are dropped by dynamic caches since 4.56; static caches have them
// whole, and all of max_cache_len.
func TestWindows(t *testing.T) {
	const full, sliding, entry = 4, 22, 2 * 256 * 2
	for _, c := range []struct {
		version string
		flags   engine.Flags
		want    int64
	}{
		{"", nil, full*4096 + sliding*511},
		{"4.50.0", engine.Flags{"dtype": "bfloat16"}, (full + sliding) * 4096},
		{"", engine.Flags{"cache_implementation": "static"}, full*4096 + sliding*512},
		{"", engine.Flags{"cache_implementation": "static", "max_cache_len": 8192}, full*8192 + sliding*512},
		{"", engine.Flags{"cache_implementation": "hybrid"}, full*4096 + sliding*512},
		{"", engine.Flags{"use_cache": false}, 0},
	} {
		u := usage(t, gemma3, engine.Load{Version: c.version, ContextTokens: 4096, Flags: c.flags})
		if got := sum(u, engine.KVCache, false); got != c.want*entry {
			t.Errorf("%q %v: %d B of cache, want %d", c.version, c.flags, got, c.want*entry)
		}
	}
}

// A quantized cache holds 4.5 bits for an element of the prompt; what is
// generated waits in 16 bits, 127 tokens at most.
func TestQuantizedCache(t *testing.T) {
	for _, c := range []struct {
		kv        string
		generated int64
		want      int64
	}{
		{"int4", 0, 65536 * 32768 * 9 / 16},
		{"int2", 0, 65536 * 32768 * 5 / 16},
		{"int4", 100, 65536 * ((32768-100)*9/16 + 100*2)},
		{"int4", 127 * 3, 65536 * 32768 * 9 / 16},
	} {
		u := usage(t, llama, engine.Load{ContextTokens: 32768, KVCacheType: c.kv, Flags: engine.Flags{"max_new_tokens": c.generated}})
		if got := sum(u, engine.KVCache, false); got < c.want-65536 || got > c.want+65536 {
			t.Errorf("%s, %d generated: %d B, want %d", c.kv, c.generated, got, c.want)
		}
	}
}

// Eager attention makes scores of prompt × prompt for every head, sdpa none.
func TestAttention(t *testing.T) {
	eager := usage(t, llama, engine.Load{ContextTokens: 8192, Flags: engine.Flags{"attn_implementation": "eager"}})
	if got, want := int64(named(eager, "attention scores").Bytes), int64(32*8192*8192*8); got != want {
		t.Errorf("%d B of scores, want %d", got, want)
	}
	sdpa := usage(t, llama, engine.Load{ContextTokens: 8192})
	if got := named(sdpa, "attention scores").Bytes + named(sdpa, "repeated keys and values").Bytes; got != 0 {
		t.Errorf("sdpa makes %v", got)
	}
	// torch.cat holds one layer's keys twice.
	if got := int64(named(sdpa, "cache copy").Bytes); got != 8*128*8192*2 {
		t.Errorf("%d B to append a token", got)
	}
}

// Layers that device_map leaves in system memory lose nothing: device and host
// together hold the weights.
func TestOffload(t *testing.T) {
	n := int64(20)
	u := usage(t, llama, engine.Load{ContextTokens: 8192, GPULayers: &n})
	device, host := sum(u, engine.Weights, false), sum(u, engine.Weights, true)
	if device+host != 16060522496 || host != 12*218112000*2 {
		t.Errorf("%d B on the device and %d on the host", device, host)
	}
	if got := int64(named(u, "layer brought to the device").Bytes); got != 218112000*2 {
		t.Errorf("%d B for a layer on its way", got)
	}
	cpu := usage(t, llama, engine.Load{ContextTokens: 8192, Flags: engine.Flags{"device_map": "cpu"}})
	for i := range cpu.Terms {
		if len(cpu.Terms[i].On) > 0 {
			t.Errorf("%s is on a device", cpu.Terms[i].Name)
		}
	}
	off := usage(t, llama, engine.Load{ContextTokens: 8192, Flags: engine.Flags{"cache_implementation": "offloaded"}})
	if got := sum(off, engine.KVCache, true); got != 131072*8192 {
		t.Errorf("%d B of cache in system memory", got)
	}
	if got := sum(off, engine.KVCache, false); got != 2*4096*8192 {
		t.Errorf("%d B of cache on the device", got)
	}
}

// Several devices share the layers evenly.
func TestDeviceMap(t *testing.T) {
	d := engine.Device{Name: "card", Vendor: "nvidia", Kind: engine.Dedicated, Total: 24 << 30, Free: 24 << 30, Usable: 24 << 30}
	u := usage(t, llama, engine.Load{ContextTokens: 8192}, d, d)
	if u.Devices != 2 || sum(u, engine.Weights, false) != 16060522496 {
		t.Errorf("%d devices hold %d B", u.Devices, sum(u, engine.Weights, false))
	}
}

func TestMonotone(t *testing.T) {
	for _, config := range []string{llama, gemma3} {
		last := int64(0)
		for _, n := range []int64{1, 100, 511, 512, 513, 4096, 32768, 1 << 20} {
			one, two := usage(t, config, engine.Load{ContextTokens: n}), usage(t, config, engine.Load{ContextTokens: n, Sequences: 2})
			a, b := sum(one, engine.KVCache, false), sum(two, engine.KVCache, false)
			if a < last || b != 2*a {
				t.Errorf("%d tokens: %d B after %d, %d for two", n, a, last, b)
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

// The largest loads that are planned stay within int64.
func TestLargest(t *testing.T) {
	for _, l := range []engine.Load{
		{ContextTokens: maxTokens, Sequences: maxAll / maxTokens}, {ContextTokens: 1, Sequences: maxAll}, {ContextTokens: 1 << 13, Sequences: 1 << 13},
	} {
		l.Flags = engine.Flags{"attn_implementation": "eager", "logits_to_keep": 0}
		u := usage(t, llama, l)
		for i := range u.Terms {
			if term := &u.Terms[i]; term.Bytes < 0 || term.High < 0 {
				t.Errorf("%d × %d tokens: %s takes %d", l.Sequences, l.ContextTokens, term.Name, term.Bytes)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	negative := int64(-1)
	for _, c := range []struct {
		name, config string
		load         engine.Load
		field        string
	}{
		{"unknown switch", llama, engine.Load{Flags: engine.Flags{"n_ctx": 1}}, "flags.n_ctx"},
		{"4 and 8 bits", llama, engine.Load{Flags: engine.Flags{"load_in_4bit": true, "load_in_8bit": true}}, "flags.load_in_4bit"},
		{"quantized windows", gemma3, engine.Load{KVCacheType: "int4"}, "kv_cache_dtype"},
		{"fp8 cache", llama, engine.Load{KVCacheType: "fp8"}, "kv_cache_dtype"},
		{"unknown cache", llama, engine.Load{Flags: engine.Flags{"cache_implementation": "paged"}}, "flags.cache_implementation"},
		{"unknown attention", llama, engine.Load{Flags: engine.Flags{"attn_implementation": "fast"}}, "flags.attn_implementation"},
		{"unknown dtype", llama, engine.Load{Flags: engine.Flags{"dtype": "int3"}}, "flags.dtype"},
		{"unknown map", llama, engine.Load{Flags: engine.Flags{"device_map": "moon"}}, "flags.device_map"},
		{"experts alone", llama, engine.Load{CPUMoELayers: 3}, "cpu_moe_layers"},
		{"negative layers", llama, engine.Load{GPULayers: &negative}, "gpu_layers"},
		{"no release", llama, engine.Load{Version: "main"}, "engine_version"},
		{"too long", llama, engine.Load{ContextTokens: 1 << 34}, "context_tokens"},
	} {
		_, err := New().Plan(parse(t, c.config), c.load, engine.Hardware{})
		var e *model.Error
		if !errors.As(err, &e) || e.Field != c.field {
			t.Errorf("%s: %v, want an error on %s", c.name, err, c.field)
		}
	}
}

// A plan of a dense 8B model takes microseconds.
func BenchmarkPlan(b *testing.B) {
	m := parse(b, llama)
	load := engine.Load{ContextTokens: 8192, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1}
	for b.Loop() {
		if _, err := New().Plan(m, load, engine.Hardware{}); err != nil {
			b.Fatal(err)
		}
	}
}
