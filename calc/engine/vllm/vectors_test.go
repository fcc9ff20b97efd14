package vllm

import (
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

func deepseek(indexer bool) *model.Model {
	x := &model.MLA{Heads: 128, QLoRARank: 1536, KVLoRARank: 512, NopeDim: 128, RopeDim: 64, ValDim: 128}
	if indexer {
		x.Indexer = &model.Indexer{Heads: 64, HeadDim: 128, TopK: 2048}
	}
	return &model.Model{Layers: layers(61, x), Causal: true, Hidden: 7168, Vocab: 129280}
}

func llama8B() *model.Model {
	return &model.Model{Layers: layers(32, gqa(32, 8, 128, 0)), Causal: true, Hidden: 4096, Vocab: 128256}
}

func gemma27B() *model.Model {
	m := &model.Model{Causal: true, Hidden: 5376, Vocab: 262208}
	for i := range 62 {
		w := int64(1024)
		if (i+1)%6 == 0 {
			w = 0
		}
		m.Layers = append(m.Layers, layers(1, gqa(32, 16, 128, w))...)
	}
	return m
}

func gptoss() *model.Model {
	m := &model.Model{Causal: true, Hidden: 2880, Vocab: 201088}
	for i := range 24 {
		m.Layers = append(m.Layers, layers(1, gqa(64, 8, 64, int64(128*((i+1)%2))))...)
	}
	return m
}

func scout() *model.Model {
	m := &model.Model{Causal: true, Hidden: 5120, Vocab: 202048}
	for i := range 48 {
		x := gqa(40, 8, 128, 8192)
		x.Chunked = true
		if (i+1)%4 == 0 {
			x = gqa(40, 8, 128, 0)
		}
		m.Layers = append(m.Layers, layers(1, x)...)
	}
	return m
}

// hybrid returns a model of 3 gated delta net layers to 1 full layer.
func hybrid(n int, keys, values, kv int64, state string) *model.Model {
	m := &model.Model{Causal: true, Hidden: 2048, Vocab: 151936, StateType: state}
	for i := range n {
		var x model.Mixer = &model.GatedDelta{KeyHeads: keys, ValueHeads: values, KeyDim: 128, ValueDim: 128, Conv: 4}
		if (i+1)%4 == 0 {
			x = gqa(16, kv, 256, 0)
		}
		m.Layers = append(m.Layers, layers(1, x)...)
	}
	return m
}

func whisper() *model.Model {
	m := &model.Model{Causal: true, EncDec: true, Hidden: 1280, Vocab: 51866, EncoderTokens: 1500}
	cross := gqa(20, 20, 64, 0)
	cross.Cross = true
	m.Layers = layers(32, cross)
	return m
}

// The rows are vectors of the reference set, by id; bytes are of one
// sequence of the given length on one rank unless seqs says otherwise.
func TestCacheVectors(t *testing.T) {
	falconMamba := &model.Model{Causal: true, Hidden: 4096, Vocab: 65024, Layers: layers(64, &model.Mamba1{Inner: 8192, StateSize: 16, Conv: 4, DtRank: 256})}
	type flags = engine.Flags
	for _, v := range []struct {
		id          string
		m           *model.Model
		kv          string
		tp          int64
		tokens      int64
		seqs        int64
		flags       flags
		want        int64
		engineSince string
	}{
		{"V029", deepseek(false), "bf16", 8, 32768, 1, nil, 2302672896, ""},
		{"V032", deepseek(false), "bf16", 8, 131072, 1, flags{"decode_context_parallel_size": 8}, 1151336448, ""},
		{"V034", deepseek(true), "fp8_ds_mla", 1, 131072, 1, nil, 6300368896, ""},
		{"V053", falconMamba, "bf16", 1, 4096, 32, flags{"mamba_cache_mode": "none"}, 637534208, ""},
		{"V063", hybrid(64, 16, 48, 4, "float32"), "bf16", 1, 131072, 1, flags{"mamba_cache_mode": "none"}, 8786018304, ""},
		{"V064", hybrid(48, 16, 32, 2, ""), "bf16", 1, 32768, 1, flags{"mamba_cache_mode": "none"}, 855638016, ""},
		{"V065", hybrid(48, 16, 32, 2, ""), "bf16", 1, 32768, 1, flags{"mamba_cache_mode": "align"}, 895746048, ""},
		{"V071", llama8B(), "bf16", 1, 1000, 3, nil, 396361728, ""},
		{"V073", gemma27B(), "bf16", 1, 32768, 1, flags{"max_num_batched_tokens": 8192}, 7222067200, ""},
		{"V074", gemma27B(), "bf16", 1, 32768, 1, flags{"disable_hybrid_kv_cache_manager": true}, 16642998272, ""},
		{"V075", gptoss(), "bf16", 1, 131072, 1, flags{"max_num_batched_tokens": 8192}, 3426091008, ""},
		{"V076", scout(), "bf16", 1, 131072, 1, flags{"max_num_batched_tokens": 8192}, 8858370048, ""},
		{"V077", whisper(), "fp16", 1, 448, 1, flags{"max_num_encoder_input_tokens": 1500}, 246415360, ""},
		{"V077", whisper(), "fp16", 1, 448, 1, nil, 246415360, ""}, // the length is the model's own by default
		{"V080", llama8B(), "int8_per_token_head", 1, 32768, 1, nil, 2214592512, ""},
		{"V081", llama8B(), "nvfp4", 1, 32768, 1, nil, 1207959552, ""},
		{"V084", llama8B(), "turboquant_4bit", 1, 32768, 1, nil, 1124073472, ""},
		{"V085", llama8B(), "turboquant_3bit_nc", 1, 32768, 1, nil, 855638016, ""},
	} {
		t.Run(v.id, func(t *testing.T) {
			u, err := New().Plan(v.m, engine.Load{
				ContextTokens: v.tokens, Sequences: v.seqs, KVCacheType: v.kv, Flags: v.flags,
				TensorParallel: v.tp, PipelineParallel: 1, DataParallel: 1,
			}, engine.Hardware{})
			if err != nil {
				t.Fatal(err)
			}
			var got int64
			for _, x := range u.Terms {
				if x.Category == engine.KVCache || x.Category == engine.State {
					got += int64(x.Bytes)
				}
			}
			if got != v.want {
				t.Errorf("cache = %d, want %d", got, v.want)
			}
		})
	}
}

// V072: blocks of a 50 GiB pool; V102 to V104: blocks that vLLM logged for
// hybrids; V058: a state whose groups are replicated up to the ranks.
func TestCountVectors(t *testing.T) {
	u, err := New().Plan(llama8B(), engine.Load{
		Version: "0.19.0", ContextTokens: 8192, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1,
		Flags: engine.Flags{"kv_cache_memory_bytes": 50 << 30},
	}, engine.Hardware{})
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Cache.CapacityTokens / 16; got != 25600 {
		t.Errorf("V072: %d blocks, want 25600", got)
	}
	for id, v := range map[string][3]int64{
		"V102": {1097728, 2048, 544}, "V103": {1085440, 2048, 544}, "V104": {3207168, 4096, 784},
	} {
		if got := alignBlock(16, v[1], v[0]); got != v[2] {
			t.Errorf("%s: block of %d, want %d", id, got, v[2])
		}
	}
	granite := &model.Mamba2{Heads: 128, HeadDim: 64, Groups: 1, StateSize: 128, Conv: 4}
	s := &settings{tp: 4, modelSize: 2, stateSize: 4}
	if got := 36 * s.statePage(granite, granite.AppendStores(nil, 4)); got != 38246400 {
		t.Errorf("V058: %d bytes, want 38246400", got)
	}
}

func TestVersions(t *testing.T) {
	for s, want := range map[string]string{
		"0.19.0": "0.19.0", "v0.8.5.post1": "0.8.5", "0.11.2.dev690+g67475a6e8.d20251209": "0.11.2",
		"0.6.x (PR #10511)": "0.6.0", "0.29.1rc1.dev17": "0.29.1", "0.13.0+faa43dbf.nv26.01": "0.13.0",
		"0.1.dev1+gda1daf40b": newest.String(), "": newest.String(), "latest": newest.String(), "1.0": newest.String(),
	} {
		if got, _ := parseVersion(s); got.String() != want {
			t.Errorf("parseVersion(%q) = %s, want %s", s, got, want)
		}
	}
}

func BenchmarkPlanDense(b *testing.B) {
	m := llama8B()
	for i := range m.Layers {
		m.Layers[i].FFN = model.FFN{Width: 14336, Gated: true}
	}
	m.Build(func(dst []model.Tensor) []model.Tensor {
		return append(dst, model.Matrix("token_embd.weight", 128256, 4096).As(model.Embedding).With(model.ByVocab))
	}, func(dst []model.Tensor, _ *model.Layer) []model.Tensor { return dst })
	load := engine.Load{ContextTokens: 8192, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1}
	hw := engine.Hardware{Devices: []engine.Device{{Name: "H100", Total: 79 * engine.GiB, Free: 79 * engine.GiB, Usable: 79 * engine.GiB}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New().Plan(m, load, hw); err != nil {
			b.Fatal(err)
		}
	}
}
