package enginelog

import (
	"strings"

	"hwledger/calc/engine"
)

// llamaLog is how llama.cpp, and Ollama that runs it, log a start. A start may
// load twice, once to see what fits; figures of a later pass take the place of
// those before.
var llamaLog = format{
	engine: "llama.cpp",
	marks: []string{
		"llama_", "load_tensors:", "ggml_", "llm_load", "print_info:", "sched_reserve:", "llama-server", "buffer size =", "gguf_init",
		"error while handling argument", "error: invalid argument: -",
		"source=server.go", "source=sched.go", "source=device.go", "source=ggml.go", "ollama", "model requires more system memory",
	},
	rules: append(llamaSettings, append(llamaMemory, append(llamaFailures, ollamaRules...)...)...),
}

var llamaSettings = []rule{
	on(`\bbuild(?:_info)?:? b?(\d{4,6})\b`, func(r *reading, m []string) { r.Version = "b" + m[1] }),
	on(`load_model: loading model '([^']+)'`, func(r *reading, m []string) { r.Model = m[1] }),
	on(`loading draft model|creating (?:MTP )?draft context`, func(r *reading, _ []string) { r.draft = true }),
	on(`loaded meta data with .* from (\S.*\.gguf|\S+sha256-[0-9a-f]+|\S+) \(version`, func(r *reading, m []string) { r.loads(m[1]) }),
	on(`general\.name\s+(?:str\s+)?=\s+(.+)$`, func(r *reading, m []string) {
		if !r.draft {
			r.Name = strings.TrimSpace(m[1])
		}
	}),
	on(`file type\s+=\s+(?:\(guessed\) )?(?:all )?([A-Z]\w*)(?: - (\S+))?`, func(r *reading, m []string) {
		if !r.draft {
			r.Quantization = fileType(m[1], m[2])
		}
	}),
	on(`constructing llama_context`, func(r *reading, _ []string) {
		if !r.draft { // an earlier context was one to see what fits
			r.forget(engine.KVCache, engine.State, engine.Workspace)
		}
		r.stage = "cache"
	}),
	on(`llama_(?:context|new_context_with_model|init_from_model):\s+n_(ctx|ctx_seq|ctx_per_seq|seq_max|batch|ubatch|rs_seq)\s+=\s+(\d+)`, func(r *reading, m []string) {
		if !r.draft {
			r.context(m[1], count(m[2]))
		}
	}),
	on(`Flash Attention (enabled|disabled)|Flash Attention was auto, set to (enabled|disabled)|\bflash_attn\s+=\s+(enabled|disabled|0|1)`, func(r *reading, m []string) {
		v := m[1] + m[2] + m[3]
		r.flag("flash_attn", v == "enabled" || v == "1")
	}),
	on(`\bkv_unified\s+=\s+(true|false)`, func(r *reading, m []string) { r.flag("kv_unified", m[1] == "true") }),
	on(`full-size SWA cache`, func(r *reading, _ []string) { r.flag("swa_full", true) }),
	on(`K \((\w+)\):.*V \((\w+)\):`, func(r *reading, m []string) {
		if !r.draft {
			r.flag("cache_type_k", m[1])
			r.flag("cache_type_v", m[2])
		}
	}),
	on(`offloaded (\d+)/(\d+) layers to GPU`, func(r *reading, m []string) {
		if !r.draft {
			n := count(m[1])
			r.GPULayers = &n
		}
	}),
	on(`using device (\S+)\s+\((.+?)\).*-\s+(\d+)\s+MiB free`, func(r *reading, m []string) { r.device(m[1], m[2], mib(m[3])) }),
	on(`  - ((?:CUDA|ROCm|HIP|Vulkan|SYCL|MTL|Metal)\d*)\s*: (.+) \((\d+) MiB, (\d+) MiB free\)`, func(r *reading, m []string) {
		r.device(m[1], m[2], mib(m[4]))
	}),
}

// loads notes that a model file is read: once more for a second pass, or the
// file of a draft model after it was announced.
func (r *reading) loads(path string) {
	switch {
	case r.draft && path != r.Model:
		return
	case !r.draft:
		r.restart()
	}
	r.Model, r.stage = path, "load"
}

// context keeps a number of llama.cpp's context.
func (r *reading) context(name string, n int64) {
	switch name {
	case "ctx_seq", "ctx_per_seq":
		r.ContextTokens = n
	case "seq_max":
		r.Sequences = n
	case "ubatch":
		r.BatchTokens = n
	default:
		r.flag("n_"+name, n)
	}
}

var llamaMemory = []rule{
	on(`(?:load_tensors|llm_load_tensors|create_tensors):.*?(\S+)\s+(?:model )?buffer size\s*=\s*([\d.]+) MiB`, func(r *reading, m []string) {
		r.buffer("weights", engine.Weights, m[1], m[2])
	}),
	on(`(\S+)\s+KV buffer size\s*=\s*([\d.]+) MiB`, func(r *reading, m []string) { r.buffer("KV cache", engine.KVCache, m[1], m[2]) }),
	on(`(\S+)\s+RS buffer size\s*=\s*([\d.]+) MiB`, func(r *reading, m []string) { r.buffer("recurrent state", engine.State, m[1], m[2]) }),
	on(`(\S+)\s+compute buffer size\s*(?:=|of)\s*([\d.]+) MiB`, func(r *reading, m []string) {
		r.set("compute buffer", engine.Workspace, m[1], mib(m[2]))
	}),
	on(`(\S+)\s+output buffer size\s*=\s*([\d.]+) MiB`, func(r *reading, m []string) {
		r.set("output buffer", engine.Workspace, m[1], mib(m[2]))
	}),
	on(`: model loaded$|all slots are idle|llama runner started in|server is listening on`, started),
}

// buffer adds one of several buffers of a kind: full and sliding layers have
// caches of their own. Figures of 0 are those of a pass that allocates nothing;
// weights that the processor repacked are a second copy.
func (r *reading) buffer(name string, c engine.Category, on, size string) {
	if b := mib(size); b > 0 && on != "CPU_REPACK" {
		r.add(name, c, on, b)
	}
}

var llamaFailures = []rule{
	on(`allocating ([\d.]+) MiB on device (\d+): \w+ failed`, func(r *reading, m []string) { r.refused("device "+m[2], mib(m[1])) }),
	on(`failed to allocate (\S+) buffer of size (\d+)`, func(r *reading, m []string) { r.refused(m[1], engine.Bytes(count(m[2]))) }),
	on(`Device memory allocation of size (\d+) failed`, func(r *reading, m []string) { r.refused("Vulkan0", engine.Bytes(count(m[1]))) }),
	on(`ggml_metal.*failed to allocate buffer, size =\s*([\d.]+) MiB`, func(r *reading, m []string) { r.refused("Metal", mib(m[1])) }),
	on(`insufficient memory \(attempted to allocate\s+([\d.]+) MB\)`, func(r *reading, m []string) { r.refused("CPU", mib(m[1])) }),
	on(`unable to allocate (\S+) buffer`, func(r *reading, m []string) { r.memoryFor("load", m[1]) }),
	on(`failed to allocate buffer for kv cache`, func(r *reading, _ []string) { r.memoryFor("cache", "") }),
	on(`failed to allocate compute`, func(r *reading, _ []string) { r.memoryFor("profile", "") }),
	on(`retrying without pipeline parallelism|retrying once`, func(r *reading, _ []string) { r.Failure, r.wanted = nil, allocation{} }),
}

// refused notes a buffer that could not be had. Layers below each other say
// the same of one buffer; the last names the device.
func (r *reading) refused(on string, b engine.Bytes) {
	r.wanted = allocation{on, b}
	r.fail(Failure{Kind: OutOfMemory, Stage: r.now("load"), Cause: "a buffer could not be allocated"})
}

// memoryFor notes what the refused buffer was for.
func (r *reading) memoryFor(stage, on string) {
	cause := map[string]string{"load": "the weights do not fit", "cache": "the cache does not fit", "profile": "the compute buffers do not fit"}[stage]
	if on != "" {
		cause += " on " + on
	}
	r.fail(Failure{Kind: OutOfMemory, Stage: stage, Cause: cause})
	if r.Failure.Kind == OutOfMemory {
		r.Failure.Stage = stage
	}
}

// fileType turns "Q4_K - Medium" into Q4_K_M.
func fileType(base, size string) string {
	switch size {
	case "Small":
		return base + "_S"
	case "Medium":
		return base + "_M"
	case "Large":
		return base + "_L"
	}
	return base
}
