package calc_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// launched plans a load and returns its command.
func launched(t *testing.T, ref, name, hardware string, load engine.Load) (*engine.Command, error) {
	t.Helper()
	req := calc.Request{Model: resolve(t, ref), Engine: name, Load: load}
	if hardware != "" {
		req.Hardware = devices(t, hardware)
	}
	res, err := calc.Size(req)
	if err != nil {
		return nil, err
	}
	return calc.Launch(req, res, strings.TrimPrefix(ref, "catalog:"), calc.Endpoint{Host: "127.0.0.1", Port: 8000})
}

// holds reports whether want is in argv, word by word.
func holds(argv []string, want ...string) bool {
	for i := range argv {
		if len(argv)-i >= len(want) && slices.Equal(argv[i:i+len(want)], want) {
			return true
		}
	}
	return false
}

func noted(c *engine.Command, text string) bool {
	return slices.ContainsFunc(c.Notes, func(n string) bool { return strings.Contains(n, text) })
}

// TestLaunchUsesOrNamesSettings: each setting that is no engine's own name
// changes the command, is refused, or is named in a note, whether or not it
// changes the plan.
func TestLaunchUsesOrNamesSettings(t *testing.T) {
	n := int64(10)
	used, named := map[string]int{}, map[string]int{}
	for name := range launchOptions(t) {
		for _, hardware := range []string{"4x H100-80GB", "M3 Max 64GB", ""} {
			base := engine.Load{ContextTokens: 4096, Sequences: 2, TensorParallel: 1}
			was, err := launched(t, "catalog:Qwen/Qwen3-30B-A3B", name, hardware, base)
			if err != nil {
				continue
			}
			for what, set := range map[string]func(*engine.Load){
				"tensor_parallel":        func(l *engine.Load) { l.TensorParallel = 4 },
				"pipeline_parallel":      func(l *engine.Load) { l.PipelineParallel = 2 },
				"data_parallel":          func(l *engine.Load) { l.DataParallel = 2 },
				"expert_parallel":        func(l *engine.Load) { l.ExpertParallel = true },
				"batch_tokens":           func(l *engine.Load) { l.BatchTokens = 1000 },
				"gpu_memory_utilization": func(l *engine.Load) { l.MemoryUtilization = 0.61 },
				"cpu_moe_layers":         func(l *engine.Load) { l.CPUMoELayers = 3 },
				"gpu_layers":             func(l *engine.Load) { l.GPULayers = &n },
				"max_model_len":          func(l *engine.Load) { l.MaxModelLen = 5000 },
				"kv_cache_dtype":         func(l *engine.Load) { l.KVCacheType = "fp8" },
			} {
				load := base
				set(&load)
				c, err := launched(t, "catalog:Qwen/Qwen3-30B-A3B", name, hardware, load)
				switch {
				case err != nil:
				case !slices.Equal(c.Argv, was.Argv) || !maps.Equal(c.Env, was.Env) || !maps.Equal(c.Files, was.Files):
					used[what]++
				case slices.Equal(c.Notes, was.Notes):
					t.Errorf("%s on %q: %s is lost: %q %q", name, hardware, what, c.Argv, c.Notes)
				default:
					named[what]++
				}
			}
		}
	}
	for _, what := range []string{"tensor_parallel", "batch_tokens", "gpu_memory_utilization", "gpu_layers"} {
		if used[what] == 0 || named[what] == 0 {
			t.Errorf("%s was used by %d commands and named by %d", what, used[what], named[what])
		}
	}
}

// TestLaunchWords holds single commands: what must be in them, and what they
// must say.
func TestLaunchWords(t *testing.T) {
	const dense, mtp = "catalog:Qwen/Qwen3-8B", "catalog:deepseek-ai/DeepSeek-V3"
	flags := func(kv ...any) engine.Flags {
		f := engine.Flags{}
		for i := 0; i < len(kv); i += 2 {
			f[kv[i].(string)] = kv[i+1]
		}
		return f
	}
	for _, c := range []struct {
		what, ref, engine, hardware string
		load                        engine.Load
		words                       []string
		note                        string
	}{
		{"drafts of the checkpoint's own layers", mtp, "vllm", "8x H200", engine.Load{Flags: flags("speculative", true)}, []string{"--speculative-config", `{"method":"mtp","num_speculative_tokens":1}`}, ""},
		{"more sequences than run", dense, "vllm", "H100-80GB", engine.Load{Sequences: 2000, ContextTokens: 100}, []string{"--max-num-seqs", "1024"}, "2000 were planned"},
		{"V0 and bitsandbytes", dense, "vllm", "H100-80GB", engine.Load{Version: "0.6.3", Weights: "nf4"}, []string{"--quantization", "bitsandbytes", "--load-format", "bitsandbytes"}, ""},
		{"a type that is cast to", dense, "sglang", "H100-80GB", engine.Load{Weights: "fp16"}, []string{"--dtype", "float16"}, ""},
		{"a flag beside the type", dense, "sglang", "H100-80GB", engine.Load{Weights: "bf16", Flags: flags("dtype", "float32")}, []string{"--dtype", "float32"}, ""},
		{"bitsandbytes' own loader", dense, "sglang", "H100-80GB", engine.Load{Weights: "nf4"}, []string{"--load-format", "bitsandbytes", "--quantization", "bitsandbytes"}, ""},
		{"the ratio of windows", "catalog:openai/gpt-oss-20b", "sglang", "H100-80GB", engine.Load{Flags: flags("swa_full_tokens_ratio", 0.5, "mamba_ssm_dtype", "bf16")}, []string{"--mamba-ssm-dtype", "bfloat16", "--swa-full-tokens-ratio", "0.5"}, ""},
		{"prompts beyond a step", dense, "tensorrt-llm", "H100-80GB", engine.Load{ContextTokens: 20000}, []string{"--enable_chunked_prefill"}, ""},
		{"no layers to draft with", dense, "tensorrt-llm", "H100-80GB", engine.Load{Flags: flags("speculative", true)}, nil, "speculative has no option"},
		{"more sequences than run", dense, "mistral.rs", "H100-80GB", engine.Load{Sequences: 40}, []string{"--max-seqs", "32"}, "40 were planned"},
		{"prompts that are not kept", dense, "mlx", "M3 Max 64GB", engine.Load{}, []string{"--prompt-cache-size", "0"}, "flags.prompt_cache_bytes"},
		{"prompts that are kept", dense, "mlx", "M3 Max 64GB", engine.Load{Flags: flags("prompt_cache_bytes", "1GB")}, []string{"--prompt-cache-bytes", "1073741824"}, ""},
		{"a share of memory", dense, "mlx", "M3 Max 64GB", engine.Load{Flags: flags("server", "omlx", "max_process_memory", "50%")}, []string{"--memory-guard-gb", "32"}, ""},
		{"a share of memory that is not known", dense, "mlx", "", engine.Load{Flags: flags("server", "omlx", "max_process_memory", "50%")}, nil, "max_process_memory 50% has no option"},
		{"no limit", dense, "mlx", "M3 Max 64GB", engine.Load{Flags: flags("server", "omlx", "max_process_memory", "disabled")}, []string{"--memory-guard", "off"}, ""},
		{"no SSD cache", dense, "mlx", "M3 Max 64GB", engine.Load{Flags: flags("server", "omlx")}, []string{"--no-cache"}, ""},
		{"one device of several", dense, "llama.cpp", "RTX 4090", engine.Load{Weights: "Q4_K_M"}, []string{"-sm", "none"}, ""},
		{"8 bits", dense, "transformers", "H100-80GB", engine.Load{Weights: "bnb-int8"}, []string{"--quantization", "bnb-8bit", "--device", "cuda"}, ""},
		{"scales are quantized too", dense, "transformers", "H100-80GB", engine.Load{Weights: "nf4"}, []string{"--quantization", "bnb-4bit"}, "nf4-dq"},
		{"8 bits in 4.55", dense, "transformers", "H100-80GB", engine.Load{Version: "4.55.0", Weights: "bnb-int8"}, []string{"--load_in_8bit"}, ""},
		{"4 bits in 4.55", dense, "transformers", "H100-80GB", engine.Load{Version: "4.55.0", Weights: "nf4-dq"}, []string{"--load_in_4bit", "--bnb_4bit_quant_type", "nf4", "--use_bnb_nested_quant"}, ""},
		{"a type in 4.55", dense, "transformers", "H100-80GB", engine.Load{Version: "4.55.0", Weights: "fp16"}, []string{"--torch_dtype", "float16"}, ""},
		{"a release that may lack the option", dense, "vllm", "H100-80GB", engine.Load{Version: "0.8.5", Flags: flags("language_model_only", true)}, []string{"--language-model-only"}, "language_model_only is that of vLLM 0.19.0"},
		{"devices without an image", dense, "vllm", "M3 Max 64GB", engine.Load{}, nil, "apple devices"},
		{"drafts that are not counted", mtp, "sglang", "8x H200", engine.Load{Flags: flags("speculative_algorithm", "NEXTN")}, []string{"--speculative-algorithm", "NEXTN"}, "the plan has one"},
		{"Apple's device", dense, "transformers", "M3 Max 64GB", engine.Load{}, []string{"--device", "mps"}, ""},
	} {
		got, err := launched(t, c.ref, c.engine, c.hardware, c.load)
		if err != nil {
			t.Errorf("%s, %s: %v", c.engine, c.what, err)
			continue
		}
		if !inOrder(got.Argv, c.words) || c.note != "" && !noted(got, c.note) {
			t.Errorf("%s, %s: %q %q", c.engine, c.what, got.Argv, got.Notes)
		}
	}
}

// inOrder reports whether the words of want are in argv in their order.
func inOrder(argv, want []string) bool {
	for _, w := range argv {
		if len(want) > 0 && w == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// TestLaunchRefuses: what an engine would refuse when it starts, or would do
// otherwise than planned, is refused before.
func TestLaunchRefuses(t *testing.T) {
	const dense = "catalog:Qwen/Qwen3-8B"
	for _, c := range []struct {
		engine, field string
		load          engine.Load
	}{
		{"vllm", "flags.speculative_method", engine.Load{Flags: engine.Flags{"speculative_method": "mtp", "num_speculative_tokens": 2.0}}},
		{"vllm", "weights", engine.Load{Weights: "bnb-int8"}},
		{"sglang", "weights", engine.Load{Weights: "bnb-int8"}},
		{"sglang", "flags.hicache_size", engine.Load{Flags: engine.Flags{"hicache_size": 4.5, "enable_hierarchical_cache": true}}},
		{"tgi", "flags.dtype", engine.Load{Weights: "fp8", Flags: engine.Flags{"dtype": "float16"}}},
		{"tgi", "flags.dtype", engine.Load{Weights: "int8", Flags: engine.Flags{"dtype": "float16"}}},
		{"tensorrt-llm", "flags.dtype", engine.Load{Flags: engine.Flags{"dtype": "int3"}}},
		{"llama.cpp", "weights", engine.Load{Weights: "awq"}},
		{"llama.cpp", "weights", engine.Load{Weights: "fp8"}},
	} {
		got, err := launched(t, dense, c.engine, "H100-80GB", c.load)
		if e, ok := err.(*model.Error); !ok || e.Field != c.field || e.Hint == "" {
			t.Errorf("%s: %+v is not refused for %s: %v %v", c.engine, c.load, c.field, got, err)
		}
	}
	if c, err := launched(t, dense, "tgi", "H100-80GB", engine.Load{Weights: "nf4", Flags: engine.Flags{"dtype": "float16"}}); err != nil || !holds(c.Argv, "--dtype", "float16") {
		t.Errorf("TGI takes a dtype beside bitsandbytes: %v", err)
	}
}

// TestLaunchOllamaPlacement: Ollama's num_gpu counts layers as llama.cpp's -ngl
// does, the output as one of them, and devices are all used where they were
// planned for.
func TestLaunchOllamaPlacement(t *testing.T) {
	n, none := int64(20), int64(0)
	for _, c := range []struct {
		hardware string
		layers   *int64
		want     string
		spread   bool
	}{
		{"RTX 4090", nil, "num_gpu 37\n", false},
		{"RTX 4090", &n, "num_gpu 20\n", false},
		{"RTX 4090", &none, "num_gpu 0\n", false},
		{"2x RTX 4090", nil, "num_gpu 37\n", true},
	} {
		got, err := launched(t, "catalog:Qwen/Qwen3-8B", "ollama", c.hardware, engine.Load{Weights: "Q4_K_M", GPULayers: c.layers})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.Files["Modelfile"], "PARAMETER "+c.want) || (got.Env["OLLAMA_SCHED_SPREAD"] == "1") != c.spread {
			t.Errorf("%s: %q %v", c.hardware, got.Files["Modelfile"], got.Env)
		}
	}
}

// TestLaunchMistralImage: images are named by the compute capability and the
// release that was asked for.
func TestLaunchMistralImage(t *testing.T) {
	for _, c := range []struct{ hardware, version, image, note string }{
		{"H100-80GB", "", "cuda-sm90-latest", ""},
		{"RTX 4090", "0.9.1", "cuda-sm89-0.9.1", ""},
		{"", "", "cuda-sm80-latest", "compute capability"},
		{"RTX 4090", "0.8.0", "cuda-sm89-latest", "before 0.9"},
	} {
		got, err := launched(t, "catalog:Qwen/Qwen3-8B", "mistral.rs", c.hardware, engine.Load{Version: c.version})
		if err != nil {
			t.Fatal(err)
		}
		if got.Image != "ghcr.io/ericlbuehler/mistral.rs:"+c.image || c.note != "" && !noted(got, c.note) {
			t.Errorf("%s %s: %s %q", c.hardware, c.version, got.Image, got.Notes)
		}
	}
}
