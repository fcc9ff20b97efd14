package llamacpp

import (
	"bytes"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
)

// TestOllamaReleases: each release is planned by the llama.cpp that it has
// inside, and before 0.30 by which of its engines runs the model.
func TestOllamaReleases(t *testing.T) {
	for release, want := range map[string]string{
		"": "b10488", "latest": "b10488", "0.0.0": "b10488", "0.32.15": "b10488", "0.33.0-rc1": "b10488", "1.0": "b10488",
		"0.32.14": "b9493", "0.30.4": "b9493", "0.30.3": "b9452", "v0.30.0": "b9452",
		"0.24.0": "b7000", "0.17.4": "b7000", "0.13.2": "b7000", "0.13.1": "b5900", "0.11.5": "b5900", "0.11.4": "b5130", "0.6.7": "b5130", "0.6.6": "b5129", "0.1.2": "b5129",
	} {
		in, err := insideOllama(release)
		if err != nil || in.version != want || in.runner != (want < "b9" && want != "b10488") {
			t.Errorf("%q: %v: %+v, want %s", release, err, in, want)
		}
	}
	for _, release := range []string{"x", "0", "0.1.2.3", "0.-1", "0.1.x", "."} {
		if in, err := insideOllama(release); err == nil {
			t.Errorf("%q is %+v", release, in)
		}
	}
	for release, want := range map[string]bool{"0.12.5": false, "0.12.6": true, "0.17.4": true, "0.30.0": false, "": false} {
		in, err := insideOllama(release)
		if err != nil || in.own("qwen3") != want || in.own("llama") {
			t.Errorf("%q: %v: qwen3 in an engine of its own: %v", release, err, in.own("qwen3"))
		}
	}
}

// TestOllamaMeasured plans what Ollama 0.17.4 logged on a processor: of
// llama.cpp's runner with two decimals of a MiB, of its own engine in bytes.
func TestOllamaMeasured(t *testing.T) {
	const (
		llama = `{"arch":"llama","L":3,"d":256,"ff":512,"h":8,"kv":4,"vocab":4096,"ctx":8192}`
		gemma = `{"arch":"gemma3","L":7,"d":256,"ff":512,"h":8,"kv":4,"hd":64,"vocab":4096,"ctx":32768,"win":512,"tied":true}`
		oss   = `{"arch":"gpt-oss","L":4,"d":256,"ff":256,"ffe":256,"h":8,"kv":4,"hd":64,"vocab":4096,"ctx":32768,"win":128,"E":8,"k":2}`
		mib   = float64(engine.MiB)
	)
	for name, c := range map[string]struct {
		shape          string
		load           engine.Load
		cache, compute float64
	}{
		"plain":               {llama, engine.Load{ContextTokens: 2048}, 3 * mib, 8.5 * mib},
		"three sequences":     {llama, engine.Load{ContextTokens: 700, Sequences: 3}, 3.38 * mib, 9 * mib},
		"short context":       {llama, engine.Load{ContextTokens: 256, Sequences: 4}, 1.5 * mib, 5.01 * mib},
		"quantized cache":     {llama, engine.Load{ContextTokens: 2048, KVCacheType: "q8_0"}, 1.59 * mib, 8.5 * mib},
		"no flash attention":  {llama, engine.Load{ContextTokens: 2048, Flags: engine.Flags{"flash_attn": false}}, 3 * mib, 38.51 * mib},
		"small batch":         {llama, engine.Load{ContextTokens: 2048, BatchTokens: 128}, 3 * mib, 2.12 * mib},
		"large batch":         {llama, engine.Load{ContextTokens: 4096, BatchTokens: 1024}, 6 * mib, 28.03 * mib},
		"longer than trained": {llama, engine.Load{ContextTokens: 10000}, 12 * mib, 26.01 * mib},
		"sliding windows": {`{"arch":"gemma2","L":4,"d":256,"ff":512,"h":8,"kv":4,"hd":64,"vocab":4096,"ctx":8192,"win":512,"tied":true,"extra":{"attn_logit_softcapping":50.0,"final_logit_softcapping":30.0}}`,
			engine.Load{ContextTokens: 4096}, 16 * mib, 23.02 * mib},
		"own engine": {`{"arch":"qwen3","L":3,"d":256,"ff":512,"h":8,"kv":4,"hd":64,"vocab":4096,"ctx":8192}`, engine.Load{ContextTokens: 2048}, 6291456, 6291456},
		"experts": {`{"arch":"qwen3moe","L":3,"d":256,"ff":512,"h":8,"kv":4,"hd":64,"vocab":4096,"ctx":8192,"E":8,"k":2,"ffe":128}`,
			engine.Load{ContextTokens: 8192}, 25165824, 12582912},
		"windows": {gemma, engine.Load{ContextTokens: 8192}, 14680064, 12582912}, "two of them": {gemma, engine.Load{ContextTokens: 8192, Sequences: 2}, 27787264, 21757952},
		"gpt-oss": {oss, engine.Load{ContextTokens: 8192}, 26214400, 18350080}, "two of gpt-oss": {oss, engine.Load{ContextTokens: 8192, Sequences: 2}, 51380224, 30932992},
	} {
		f, err := ggufgen.Build([]byte(c.shape))
		if err != nil {
			t.Fatal(err)
		}
		h, err := gguf.Parse(bytes.NewReader(f.Header()), -1)
		if err != nil {
			t.Fatal(err)
		}
		var m *model.Model
		if m, err = h.Model(); err != nil {
			t.Fatal(err)
		}
		c.load.Version = "0.17.4"
		c.load.Sequences = max(c.load.Sequences, 1)
		u, err := Ollama().Plan(m, c.load, engine.Hardware{Host: &engine.Device{}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := map[engine.Category]float64{}
		for _, x := range u.Terms {
			if x.Name != "Output buffer" {
				got[x.Category] += float64(x.Bytes)
			}
		}
		for what, d := range map[string]float64{"cache": got[engine.KVCache] - c.cache, "compute buffer": got[engine.Workspace] - c.compute} {
			if d > 0.0051*mib || -d > 0.0051*mib {
				t.Errorf("%s: the %s is %.0f bytes off", name, what, d)
			}
		}
	}
}
