package sidecar_test

import (
	"slices"
	"strings"
	"testing"

	"hwledger/sidecar"
	"hwledger/sidecar/engines"
)

// What engines print when they fail, in the forms of their own sources and of
// public issues, is understood, and the line that tells is shown.
func TestSignatures(t *testing.T) {
	byName := map[string]*sidecar.Engine{}
	for _, e := range engines.All(engines.Config{}) {
		byName[e.Name] = e
	}
	for _, c := range []struct{ engine, kind, line, log string }{
		{"llama-server", sidecar.OutOfMemory, "cudaMalloc failed", "load_tensors: offloading 32 repeating layers to GPU\n" +
			"ggml_backend_cuda_buffer_type_alloc_buffer: allocating 7605.33 MiB on device 0: cudaMalloc failed: out of memory\n" +
			"llama_model_load: error loading model: unable to allocate CUDA0 buffer\nllama_model_load_from_file_impl: failed to load model\n"},
		{"llama-server", sidecar.BadModel, "unknown model architecture", "llama_model_load: error loading model: error loading model architecture: unknown model architecture: 'novel'\n"},
		{"llama-server", sidecar.PortInUse, "couldn't bind", "start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080\n"},
		{"llama-server", sidecar.BadOption, "invalid argument", "error: invalid argument: --no-such\n"},
		{"llama-server", sidecar.Crashed, "GGML_ASSERT", "main: server is listening\nGGML_ASSERT(n_tokens > 0) failed\n"},
		// An engine that goes on with less has not failed for that.
		{"llama-server", sidecar.BadModel, "invalid magic", "ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 100\nretrying without pipeline parallelism\ngguf_init_from_file_impl: invalid magic characters\n"},
		{"vllm", sidecar.OutOfMemory, "4.54 GiB KV cache", "(EngineCore_0 pid=7) ERROR ValueError: To serve at least one request with the models's max seq len (131072), (4.54 GiB KV cache is needed, which is larger than the available KV cache memory (1.71 GiB).\n" +
			"RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n"},
		{"vllm", sidecar.OutOfMemory, "3.22/4.0 GiB", "ValueError: Free memory on device (3.22/4.0 GiB) on startup is less than desired GPU memory utilization (0.9, 3.6 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.\n"},
		{"vllm", sidecar.OutOfMemory, "No available memory", "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.\n"},
		{"vllm", sidecar.OutOfMemory, "29000", "ValueError: The model's max seq len (29000) is larger than the maximum number of tokens that can be stored in KV cache (23648).\n"},
		{"vllm", sidecar.PortInUse, "address already in use", "OSError: [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use\n"},
		{"vllm", sidecar.BadModel, "are not supported", "ValueError: Model architectures ['NovelForCausalLM'] are not supported for now.\n"},
		{"vllm", sidecar.BadOption, "unrecognized arguments", "vllm: error: unrecognized arguments: --novel\n"},
		{"sglang", sidecar.OutOfMemory, "increase --mem-fraction-static", "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.\n"},
		{"sglang", sidecar.OutOfMemory, "Tried to allocate", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.64 GiB\n"},
		{"tgi", sidecar.OutOfMemory, "prefill tokens", "RuntimeError: Not enough memory to handle 4096 prefill tokens. You need to decrease `--max-batch-prefill-tokens`\n"},
		{"mistralrs", sidecar.OutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY", "Error: DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")\n"},
		{"mlx_lm.server", sidecar.OutOfMemory, "Insufficient Memory", "[METAL] Command buffer execution failed: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)\n"},
		{"trtllm-serve", sidecar.OutOfMemory, "out of memory", "[TensorRT-LLM][ERROR] CUDA runtime error in cudaMalloc: out of memory\n"},
		{"ollama", sidecar.OutOfMemory, "system memory", "the daemon answers /api/generate with status 500: model requires more system memory (8.0 GiB) than is available (4.0 GiB)\n"},
		{"ollama", sidecar.BadModel, "not found", "the daemon answers /api/generate with status 404: model 'novel' not found\n"},
	} {
		e := byName[c.engine]
		if e == nil {
			t.Fatalf("there is no %s", c.engine)
		}
		f := sidecar.Diagnose(e, c.log, "it ended")
		if f.Kind != c.kind || !strings.Contains(strings.Join(f.Lines, "\n"), c.line) || f.Cause == "" {
			t.Errorf("%s: %+v, want %s with %q", c.engine, f, c.kind, c.line)
		}
	}
}

// Every adapter is complete, and passes no option that it refuses.
func TestEngines(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range engines.All(engines.Config{}) {
		if seen[e.Name] || e.Name == "" || e.Plans == "" {
			t.Errorf("%q: its name", e.Name)
		}
		seen[e.Name] = true
		switch {
		case e.Daemon != nil:
			if !strings.HasPrefix(e.Daemon.URL(), "http://127.0.0.1:") || !strings.HasSuffix(e.Daemon.URL(), "/v1") {
				t.Errorf("%s: %s", e.Name, e.Daemon.URL())
			}
			continue
		case len(e.Programs) == 0:
			t.Errorf("%s has no program", e.Name)
		case e.Talk == sidecar.Stdio:
			continue
		}
		if e.HostFlag == "" || e.PortFlag == "" || e.Health+e.Models == "" || len(e.HelpArgs) == 0 || len(e.Refused) == 0 {
			t.Errorf("%s is not complete", e.Name)
		}
		accepted := map[string]bool{}
		for _, a := range e.Args {
			accepted[a[0]] = true
		}
		lead := append(slices.Clone(e.Lead), "value")
		if _, err := e.WithOwnArgs(lead, accepted); err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
		if _, err := e.WithOwnArgs([]string{"--not-in-its-help"}, accepted); err == nil {
			t.Errorf("%s takes an option that it does not know", e.Name)
		}
		if args, err := e.WithOwnArgs(nil, accepted); err != nil || len(args) < len(e.Args) {
			t.Errorf("%s: %v %v", e.Name, args, err)
		}
		for _, r := range e.Refused {
			if _, err := e.WithOwnArgs([]string{r}, map[string]bool{r: true}); err == nil {
				t.Errorf("%s takes %s", e.Name, r)
			}
		}
	}
}

// What comes out of a log never is a panic, whatever it holds.
func FuzzDiagnose(f *testing.F) {
	f.Add("error loading model: \xff\nretrying without pipeline parallelism")
	f.Add("out of memory")
	all := engines.All(engines.Config{})
	f.Fuzz(func(t *testing.T, log string) {
		for _, e := range all {
			if d := sidecar.Diagnose(e, log, "ended"); d.Kind == "" || len(d.Lines) > 16 {
				t.Errorf("%s: %+v", e.Name, d)
			}
		}
	})
}
