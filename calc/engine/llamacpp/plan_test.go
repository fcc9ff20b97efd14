package llamacpp

import (
	"errors"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

// Published configurations, cut to what decides memory.
const (
	llama8B = `{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":4096,"intermediate_size":14336,
		"num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":128256,
		"max_position_embeddings":131072,"torch_dtype":"bfloat16","tie_word_embeddings":false,"rope_theta":500000.0,
		"rope_scaling":{"factor":8.0,"rope_type":"llama3","original_max_position_embeddings":8192}}`
	deepseekV3 = `{"architectures":["DeepseekV3ForCausalLM"],"model_type":"deepseek_v3","hidden_size":7168,"intermediate_size":18432,
		"moe_intermediate_size":2048,"num_hidden_layers":61,"num_attention_heads":128,"num_key_value_heads":128,"vocab_size":129280,
		"n_routed_experts":256,"n_shared_experts":1,"num_experts_per_tok":8,"first_k_dense_replace":3,"moe_layer_freq":1,
		"q_lora_rank":1536,"kv_lora_rank":512,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128,
		"max_position_embeddings":163840,"torch_dtype":"bfloat16","num_nextn_predict_layers":1,"topk_method":"noaux_tc",
		"scoring_func":"sigmoid","norm_topk_prob":true}`
)

func configured(tb testing.TB, config string) *model.Model {
	tb.Helper()
	m, err := hfconfig.Parse([]byte(config))
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func load(ctx int64, flags engine.Flags) engine.Load {
	return engine.Load{ContextTokens: ctx, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1, Flags: flags}
}

var oneGPU = engine.Hardware{
	Devices: []engine.Device{{Name: "RTX 4090", Vendor: "nvidia", Kind: engine.Dedicated, Total: 24 * engine.GiB, Free: 24 * engine.GiB, Usable: 24 * engine.GiB}},
	Host:    &engine.Device{Name: "host", Total: 64 * engine.GiB, Free: 64 * engine.GiB, Usable: 64 * engine.GiB},
}

func total(u *engine.Usage, c engine.Category) engine.Bytes {
	var n engine.Bytes
	for i := range u.Terms {
		if u.Terms[i].Category == c {
			n += u.Terms[i].Bytes
		}
	}
	return n
}

// The figures are those that real engines logged: llama.cpp for the model's
// f16 cache, vectors V078 and V079 for quantized ones, and the 0.7.0 build's
// 576-element latent rows.
func TestCacheFromConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		config string
		ctx    int64
		flags  engine.Flags
		want   engine.Bytes
	}{
		{"f16", llama8B, 8192, nil, 1073741824},
		{"q8_0", llama8B, 32768, engine.Flags{"cache_type_k": "q8_0", "cache_type_v": "q8_0"}, 2281701376},
		{"q4_0", llama8B, 32768, engine.Flags{"cache_type_k": "q4_0", "cache_type_v": "q4_0"}, 1207959552},
		{"latent", deepseekV3, 4096, nil, 287834112},
	} {
		u, err := New().Plan(configured(t, c.config), load(c.ctx, c.flags), oneGPU)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := total(u, engine.KVCache); got != c.want {
			t.Errorf("%s: cache %d, want %d", c.name, got, c.want)
		}
		if u.Cache.CapacityTokens != c.ctx {
			t.Errorf("%s: capacity %d, want %d", c.name, u.Cache.CapacityTokens, c.ctx)
		}
	}
}

// Before latent values became views of the keys, the same model kept both:
// 1098 + 976 MiB at 16384 tokens in a user's log.
func TestLatentValuesOfOldBuilds(t *testing.T) {
	l := load(16384, nil)
	l.Version = "b7000"
	u, err := New().Plan(configured(t, deepseekV3), l, oneGPU)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := total(u, engine.KVCache)/engine.MiB, engine.Bytes(1098+976); got != want {
		t.Errorf("cache %d MiB, want %d", got, want)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		config string
		flags  engine.Flags
		field  string
	}{
		{"quantized values need flash attention", llama8B, engine.Flags{"cache_type_v": "q8_0", "flash_attn": "off"}, "flags.cache_type_v"},
		{"latent attention needs equal types", deepseekV3, engine.Flags{"cache_type_k": "q8_0"}, "flags.cache_type_v"},
		{"no such type", llama8B, engine.Flags{"cache_type_k": "q4_k"}, "flags.cache_type_k"},
		{"no such flag", llama8B, engine.Flags{"enforce_eager": true}, "flags.enforce_eager"},
		{"too many sequences", llama8B, engine.Flags{"n_parallel": 257}, "flags.n_parallel"},
		{"not a split", llama8B, engine.Flags{"tensor_split": "a,b"}, "flags.tensor_split"},
		{"fewer rows than sequences", llama8B, engine.Flags{"n_parallel": 4, "n_outputs_max": 1}, "flags.n_outputs_max"},
		{"not a mode", llama8B, engine.Flags{"split_mode": "tensor"}, "flags.split_mode"},
	} {
		_, err := New().Plan(configured(t, c.config), load(4096, c.flags), oneGPU)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != model.InvalidArgument || e.Field != c.field {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestUnknownArchitectureIsRefused(t *testing.T) {
	m := *configured(t, llama8B)
	m.Arch = ""
	var e *model.Error
	if _, err := New().Plan(&m, load(4096, nil), oneGPU); !errors.As(err, &e) || e.Code != model.UnsupportedArchitecture {
		t.Errorf("got %v", err)
	}
}

// FuzzPlan feeds what a caller can type: nothing may panic, and no size may be
// negative.
func FuzzPlan(f *testing.F) {
	f.Add("b8999", "3,1", `blk\.\d+\.ffn=CPU`, "q8_0", int64(8192), int64(4), int64(512), int64(20))
	f.Add("v0.5.0", "1/2;3", "[=CPU", "iq4_nl", int64(1)<<40, int64(300), int64(-1), int64(-5))
	m := configured(f, llama8B)
	two := oneGPU
	two.Devices = append(two.Devices, two.Devices[0])
	f.Fuzz(func(t *testing.T, version, split, override, cache string, ctx, seqs, ub, ngl int64) {
		l := load(max(1, ctx), engine.Flags{"tensor_split": split, "override_tensor": override, "n_ubatch": ub})
		l.Version, l.KVCacheType, l.Sequences, l.GPULayers = version, cache, max(1, seqs), &ngl
		u, err := New().Plan(m, l, two)
		if err != nil {
			var e *model.Error
			if !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		for _, x := range u.Terms {
			if x.Bytes < 0 || x.High < 0 {
				t.Fatalf("%s: %d", x.Name, x.Bytes)
			}
		}
	})
}

// Offloading layer by layer: the output goes first, layer 0 last, and nothing
// is lost on the way.
func TestLayersMove(t *testing.T) {
	m := configured(t, llama8B)
	full, err := New().Plan(m, load(4096, nil), oneGPU)
	if err != nil {
		t.Fatal(err)
	}
	for ngl := int64(0); ngl <= 33; ngl++ {
		l := load(4096, nil)
		l.GPULayers = &ngl
		u, err := New().Plan(m, l, oneGPU)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := total(u, engine.KVCache), total(full, engine.KVCache); got != want {
			t.Errorf("ngl %d: cache %d in all, want %d", ngl, got, want)
		}
		var on engine.Bytes
		for _, x := range u.Terms {
			if x.Category == engine.KVCache && len(x.On) == 1 {
				on += x.Bytes
			}
		}
		if want := engine.Bytes(max(0, ngl-1)) * 16 * engine.MiB; on != want {
			t.Errorf("ngl %d: cache on the device %d, want %d", ngl, on, want)
		}
	}
}

// A plan must come back quickly enough to be searched over.
func BenchmarkPlanDense8B(b *testing.B) {
	m := configured(b, llama8B)
	l := load(8192, nil)
	e := New()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Plan(m, l, oneGPU); err != nil {
			b.Fatal(err)
		}
	}
}
