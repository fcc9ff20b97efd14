package enginelog

import (
	"fmt"

	"hwledger/calc/engine"
)

// ollamaRules are the lines of Ollama's own, beside those of llama.cpp that it
// runs. Its engine prints one figure for each kind and device, several times
// while it looks for what fits: the last one is what it took.
var ollamaRules = []rule{
	on(`source=(?:server|sched|runner|device|ggml|routes|types)\.go|\bollama (?:runner|serve)\b|/\.?ollama/models/|llama(?:-server| runner) process has terminated`, func(r *reading, _ []string) { r.Engine = "ollama" }),
	on(`msg="(?:starting runner|starting llama server|starting llama-server)"`, func(r *reading, _ []string) {
		r.restart()
		r.GPULayers = nil
	}),
	on(`msg="Listening on .*\(version (\d[\w.-]*)\)"`, func(r *reading, m []string) { r.Version = m[1] }),
	on(`--model (\S+)`, func(r *reading, m []string) { r.Model = m[1] }),
	on(`\barchitecture=\S+ file_type=(\w+) name="?([^"=]*?)"? description=`, func(r *reading, m []string) {
		if m[1] != "unknown" {
			r.Quantization = m[1]
		}
		r.Name = m[2]
	}),
	on(`\bParallel:(\d+) BatchSize:(\d+) FlashAttention:(\w+) KvSize:(\d+) KvCacheType:(\w*)`, func(r *reading, m []string) {
		if n := count(m[4]); n > 0 {
			r.Sequences, r.BatchTokens = max(1, count(m[1])), count(m[2])
			r.ContextTokens = n / r.Sequences
			r.flag("flash_attn", m[3] == "Enabled" || m[3] == "true")
			if m[5] != "" {
				r.KVCacheType = m[5]
			}
		}
	}),
	on(`msg="inference compute" id=\S+ library=(?:CUDA|ROCm|Metal|Vulkan|cuda|rocm|metal|vulkan).* name=(\S+) description="?([^"]+?)"? libdirs=.*available="([\d.]+) ([KMGT]i?B)"`, func(r *reading, m []string) {
		r.device(m[1], m[2], sized(m[3], m[4]))
	}),
	on(`msg="gpu memory" id=\S+ library=\S+ available="([\d.]+) ([KMGT]i?B)"`, func(r *reading, m []string) {
		r.DeviceBytes, r.FreeBytes = sized(m[1], m[2]), sized(m[1], m[2])
	}),
	on(`msg="model weights" device=(\S+) size="([\d.]+) ([KMGT]?i?B)"`, func(r *reading, m []string) {
		r.set("weights", engine.Weights, m[1], sized(m[2], m[3]))
	}),
	on(`msg="kv cache" device=(\S+) size="([\d.]+) ([KMGT]?i?B)"`, func(r *reading, m []string) {
		r.set("KV cache", engine.KVCache, m[1], sized(m[2], m[3]))
	}),
	on(`msg="compute graph" device=(\S+) size="([\d.]+) ([KMGT]?i?B)"`, func(r *reading, m []string) {
		r.set("compute buffer", engine.Workspace, m[1], sized(m[2], m[3]))
	}),
	on(`model requires more system memory \(([\d.]+) ([KMGT]?i?B)\) than is available \(([\d.]+) ([KMGT]?i?B)\)`, func(r *reading, m []string) {
		r.Engine = "ollama"
		want, have := sized(m[1], m[2]), sized(m[3], m[4])
		r.fail(Failure{Kind: OutOfMemory, Stage: "start", Host: true, Short: max(0, want-have),
			Cause: fmt.Sprintf("the model needs %s of system memory and %s are available", want, have)})
	}),
}
