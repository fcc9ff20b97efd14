package llamacpp

import (
	"math"
	"testing"

	"hwledger/calc/engine"
)

const qwen35 = `{"architectures":["Qwen3_5ForCausalLM"],"model_type":"qwen3_5_text","hidden_size":2560,"intermediate_size":9216,"head_dim":256,
	"num_attention_heads":16,"num_key_value_heads":4,"num_hidden_layers":32,"full_attention_interval":4,"linear_conv_kernel_dim":4,
	"linear_key_head_dim":128,"linear_num_key_heads":16,"linear_num_value_heads":32,"linear_value_head_dim":128,"vocab_size":248320,
	"max_position_embeddings":262144,"tie_word_embeddings":true,"attn_output_gate":true,"torch_dtype":"bfloat16"}`

func sized(t *testing.T, config, version, vendor string, ctx, seqs int64, flags engine.Flags, name string, host bool) float64 {
	t.Helper()
	l := load(ctx, flags)
	l.Sequences, l.Version = seqs, version
	hw := engine.Hardware{Devices: []engine.Device{{Name: "device", Vendor: vendor, Free: 900 * engine.GiB, Usable: 900 * engine.GiB}}, Host: &engine.Device{}}
	u, err := New().Plan(configured(t, config), l, hw)
	if err != nil {
		t.Fatal(err)
	}
	n := 0.0
	for _, x := range u.Terms {
		if x.Name == name && (len(x.On) == 0) == host {
			n += float64(x.Bytes) / float64(engine.MiB)
		}
	}
	return n
}

// Unsloth measured Qwen3.5-4B at 262144 tokens in July 2026: 0.31 GiB of
// compute buffer with an f16 cache, 1.30 GiB with q8_0, rounded to 0.01 GiB.
// Before pull request 23907 the copy was not in the buffer.
func TestQuantizedCacheIsCopied(t *testing.T) {
	compute := func(version, vendor, kv string) float64 {
		return sized(t, qwen35, version, vendor, 262144, 1, engine.Flags{"cache_type_k": kv, "cache_type_v": kv}, "Compute buffer", false)
	}
	if got := compute("b9925", "nvidia", "f16"); math.Abs(got-0.31*1024) > 10 {
		t.Errorf("f16: %.0f MiB, measured 0.31 GiB", got)
	}
	if got := compute("b9925", "nvidia", "q8_0"); math.Abs(got-1.30*1024) > 20 {
		t.Errorf("q8_0: %.0f MiB, measured 1.30 GiB", got)
	}
	for _, c := range []struct{ version, vendor string }{{"b9450", "nvidia"}, {"b9925", "apple"}} {
		if got := compute(c.version, c.vendor, "q8_0"); got > 400 {
			t.Errorf("%s on %s: %.0f MiB, want no copy", c.version, c.vendor, got)
		}
	}
}

// DeepSeek-V3 under Ollama of January 2025 logged 9760 MiB for 2048 tokens
// (ollama issue 8447): 160 MiB a layer, keys of 192 and values of 128 for each
// of 128 heads.
func TestLatentAttentionByHeadBeforeItWasAbsorbed(t *testing.T) {
	if got := sized(t, deepseekV3, "b4400", "nvidia", 2048, 1, engine.Flags{"flash_attn": "off"}, "KV cache", false); got != 9760 {
		t.Errorf("b4400: %.2f MiB, logged 9760", got)
	}
	if got := sized(t, deepseekV3, "b9000", "nvidia", 2048, 1, engine.Flags{"flash_attn": "off"}, "KV cache", false); got > 140 {
		t.Errorf("b9000: %.2f MiB, want latent rows", got)
	}
}

// gpt-oss-20b without flash attention, August 2025: 640 cells of a window of
// 128 and a batch of 512, 15.00 MiB, and 111.00 in all.
func TestWindowIsPaddedAsTheCacheIs(t *testing.T) {
	flags := engine.Flags{"flash_attn": "off"}
	if got := sized(t, gptOSS, "b6266", "", 4096, 1, flags, "KV cache, sliding window", false); got != 15 {
		t.Errorf("window: %.2f MiB, logged 15.00", got)
	}
	if got := sized(t, gptOSS, "b8164", "", 4096, 1, flags, "KV cache, sliding window", false); got != 18 {
		t.Errorf("window: %.2f MiB at b8164, whose cells are padded to 256: want 18", got)
	}
}

// Llama-3.1-8B with 4 sequences under a build that knew no split caches: 560
// MiB of compute buffer and 24.01 on the host, as logged, without being told
// that the cache is unified.
func TestCachesWereUnified(t *testing.T) {
	flags := func() engine.Flags { return engine.Flags{"flash_attn": "off"} }
	if got := sized(t, llama8B, "b5000", "nvidia", 2048, 4, flags(), "Compute buffer", false); math.Abs(got-560) > 0.0051 {
		t.Errorf("%.2f MiB, logged 560.00", got)
	}
	if got := sized(t, llama8B, "b5000", "nvidia", 2048, 4, flags(), "Compute buffer", true); math.Abs(got-24.01) > 0.0051 {
		t.Errorf("%.2f MiB on the host, logged 24.01", got)
	}
}
