package enginelog

import (
	"errors"
	"math"
	"strings"
	"testing"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

func parse(t *testing.T, log string) *Report {
	t.Helper()
	r, err := Parse(log)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(b engine.Bytes, gib float64) bool {
	return math.Abs(float64(b)/float64(engine.GiB)-gib) < 1e-6
}

// The figures are those of vLLM pull request 10511, Llama 3 8B on an H100.
func TestVLLM(t *testing.T) {
	r := parse(t, `INFO 11-21 10:00:00 llm_engine.py:249] Initializing an LLM engine (v0.6.4.post1) with config: model='meta-llama/Meta-Llama-3-8B', max_seq_len=8192, tensor_parallel_size=1, quantization=None, kv_cache_dtype=auto
INFO worker.py:232] the current vLLM instance can use total_gpu_memory (79.22GiB) x gpu_memory_utilization (0.90) = 71.30GiB
INFO worker.py:232] model weights take 14.96GiB; non_torch_memory takes 1.79GiB; PyTorch activation peak memory takes 1.26GiB; the rest of the memory reserved for KV Cache is 53.29GiB.
`)
	if r.Engine != "vllm" || r.Version != "0.6.4.post1" || r.Model != "meta-llama/Meta-Llama-3-8B" || r.Quantization != "" ||
		r.ContextTokens != 8192 || r.TensorParallel != 1 || r.Utilization != 0.9 || !near(r.DeviceBytes, 79.22) || r.Failure != nil {
		t.Errorf("%+v", r)
	}
	want := map[string]float64{"weights": 14.96, "memory outside PyTorch": 1.79, "activation": 1.26, "KV cache pool": 53.29}
	for _, a := range r.Actual {
		if !near(a.Bytes, want[a.Name]) || a.Line != 3 {
			t.Errorf("%+v", a)
		}
		delete(want, a.Name)
	}
	if len(want) > 0 {
		t.Errorf("not read: %v", want)
	}
}

// Messages as engines print them. Figures are those of public issues where the
// case names one; 34736 is the estimate in vLLM issue 34076.
func TestFailures(t *testing.T) {
	for _, tc := range []struct {
		name, log   string
		kind, stage string
		short       float64 // GiB
		fits        int64
	}{
		{"vLLM issue 27508", "vllm ValueError: To serve at least one request with the models's max seq len (131072), (4.54 GiB KV cache is needed, which is larger than the available KV cache memory (1.71 GiB).", "out_of_memory", "cache", 2.83, 0},
		{"vLLM, with an estimate", "vllm: To serve at least one request with the models's max seq len (65536), (8.00 GiB KV cache is needed, which is larger than the available KV cache memory (4.24 GiB). Based on the available memory, the estimated maximum model length is 34736.", "out_of_memory", "cache", 3.76, 34736},
		{"vLLM, another process", "vllm: Free memory on device (3.22/4.0 GiB) on startup is less than desired GPU memory utilization (0.9, 3.6 GiB).", "out_of_memory", "start", 0.38, 0},
		{"vLLM before 0.10", "vllm: The model's max seq len (29000) is larger than the maximum number of tokens that can be stored in KV cache (23648).", "out_of_memory", "cache", 0, 23648},
		{"vLLM, nothing left", "vllm: No available memory for the cache blocks. Try increasing gpu_memory_utilization", "out_of_memory", "cache", 0, 0},
		{"SGLang at start", "sglang: Not enough memory. Please try to increase --mem-fraction-static.", "out_of_memory", "cache", 0, 0},
		{"SGLang while running", "sglang: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB of which 1.50 GiB is free.", "out_of_memory", "run", 0.5, 0},
		{"llama.cpp", "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 0: cudaMalloc failed: out of memory", "out_of_memory", "load", 0, 0},
		{"llama.cpp port", "llama-server: main: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080", "port_in_use", "start", 0, 0},
		{"MLX", "mlx_lm: [METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)", "out_of_memory", "run", 0, 0},
	} {
		r := parse(t, "first line\n"+tc.log)
		f := r.Failure
		if f == nil || f.Kind != tc.kind || f.Stage != tc.stage || math.Abs(float64(f.Short)/float64(engine.GiB)-tc.short) > 1e-6 || f.Fits != tc.fits || f.Line != 2 {
			t.Errorf("%s: %+v", tc.name, f)
		}
		if r.Remedy() == "" {
			t.Errorf("%s: no remedy", tc.name)
		}
	}
	start := parse(t, "sglang: Not enough memory. Please try to increase --mem-fraction-static.").Remedy()
	run := parse(t, "sglang: CUDA out of memory.").Remedy()
	if start[:5] != "raise" || run[:5] != "lower" {
		t.Errorf("SGLang wants a larger fraction at its start and a smaller one later: %q, %q", start, run)
	}
}

// Qwen3-235B on 16 ranks, as in testdata/observations/sglang.jsonl.
func TestSGLang(t *testing.T) {
	r := parse(t, `server_args=ServerArgs(model_path='Qwen/Qwen3-235B-A22B', tp_size=16, mem_fraction_static=0.8, kv_cache_dtype='auto', page_size=128)
[TP0] Load weight end. type=Qwen3MoeForCausalLM, dtype=torch.bfloat16, avail mem=32.30 GB, mem usage=27.62 GB.
[TP0] KV Cache is allocated. #tokens: 441600, K size: 9.90 GB, V size: 9.90 GB
`)
	if r.Engine != "sglang" || r.CapacityTokens != 441600 || len(r.Actual) != 2 || !near(r.Actual[0].Bytes, 27.62) || !near(r.Actual[1].Bytes, 19.8) || r.TensorParallel != 16 {
		t.Errorf("%+v", r)
	}
}

// A second pass takes the place of the first, and caches of two kinds add up.
func TestLlamaBuffers(t *testing.T) {
	r := parse(t, `llama_model_loader: loaded meta data with 38 key-value pairs and 459 tensors from /models/gpt-oss-20b.gguf (version GGUF V3 (latest))
llama_model_load_from_file_impl: using device CUDA0 (NVIDIA GeForce RTX 4090) (0000:01:00.0) - 23677 MiB free
llama_model_load_from_file_impl: using device CUDA1 (NVIDIA GeForce RTX 3090) (0000:02:00.0) - 23000 MiB free
print_info: file type   = Q4_K - Medium
load_tensors: offloaded 25/25 layers to GPU
load_tensors:        CUDA0 model buffer size =  1000.00 MiB
llama_model_loader: loaded meta data with 38 key-value pairs and 459 tensors from /models/gpt-oss-20b.gguf (version GGUF V3 (latest))
load_tensors:   CPU_Mapped model buffer size =   500.00 MiB
load_tensors:        CUDA0 model buffer size = 10000.00 MiB
llama_context: n_seq_max     = 4
llama_context: n_ctx         = 32768
llama_kv_cache:      CUDA0 KV buffer size =   768.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =    18.00 MiB
`)
	got := map[string]engine.Bytes{}
	for _, a := range r.Actual {
		got[a.Name+" "+a.On] = a.Bytes / engine.MiB
	}
	if len(r.Devices) != 2 || r.Devices[1] != (Device{"CUDA1", "NVIDIA GeForce RTX 3090", 23000 * engine.MiB}) || r.DeviceBytes != 23000*engine.MiB {
		t.Errorf("devices %v of %s", r.Devices, r.DeviceBytes)
	}
	if r.Quantization != "Q4_K_M" || *r.GPULayers != 25 || r.ContextTokens != 8192 || r.Sequences != 4 ||
		got["weights CUDA0"] != 10000 || got["weights CPU_Mapped"] != 500 || got["KV cache CUDA0"] != 786 || len(got) != 3 {
		t.Errorf("%v %+v", got, r)
	}
}

func TestRefusals(t *testing.T) {
	for _, log := range []string{"", "hello", string(make([]byte, MaxLog+1))} {
		var e *model.Error
		if _, err := Parse(log); !errors.As(err, &e) || e.Code != model.InvalidArgument || e.Hint == "" {
			t.Errorf("%.10q: %v", log, err)
		}
	}
}

// A log is foreign: whatever is in it, and whichever engine it is read as, no
// figure is negative and none is lost to a panic.
func FuzzParse(f *testing.F) {
	for _, e := range excerpts(f) {
		f.Add(strings.Join(e.Log, "\n"))
	}
	f.Add("load_tensors: CUDA0 model buffer size = 10000.00 MiB\n\x1b[0mllama_context: n_ctx = 0\nn_seq_max = 99999999999999999999")
	f.Add("mlx_lm Peak memory: 1e999 GB")
	f.Add("num_shard: Some(\n    4,\n)\nOutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 23.69 GiB total capacity; 94.19 MiB free)")
	f.Fuzz(func(t *testing.T, log string) {
		if _, err := Parse(log); err != nil && len(log) < MaxLog && detect(log) != nil {
			t.Error(err)
		}
		for _, format := range formats {
			r := format.parse(log)
			sound(t, r)
			r.Remedy()
			r.Hardware(r.Load(engine.Load{}))
		}
	})
}

func sound(t *testing.T, r *Report) {
	t.Helper()
	for _, a := range r.Actual {
		if a.Bytes < 0 || a.Line < 1 || a.Name == "" {
			t.Errorf("%+v", a)
		}
	}
	if r.ContextTokens < 0 || r.DeviceBytes < 0 || r.FreeBytes < 0 || r.CapacityTokens < 0 || r.Utilization < 0 {
		t.Errorf("%+v", r)
	}
	if f := r.Failure; f != nil && (f.Kind == "" || f.Stage == "" || f.Cause == "" || f.Short < 0 || f.Line < 1) {
		t.Errorf("%+v", f)
	}
}

// BenchmarkParse reads the longest log there may be, most of which says
// nothing of memory.
func BenchmarkParse(b *testing.B) {
	log := strings.Repeat("(EngineCore_DP0 pid=1234) INFO 11-21 10:00:00 [gpu_model_runner.py:2653] vllm is doing something that is of no interest here\n", MaxLog/128)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if _, err := Parse(log); err != nil {
			b.Fatal(err)
		}
	}
}
