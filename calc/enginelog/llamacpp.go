package enginelog

import (
	"fmt"
	"slices"
	"strings"

	"hwledger/calc/engine"
)

// llamaLog is how llama.cpp, and Ollama that runs it, log a start. A start may
// load twice, once to see what fits; figures of a later pass take the place of
// those before.
var llamaLog = format{
	engine: "llama.cpp",
	marks:  []string{"llama_", "load_tensors:", "ggml_", "llm_load", "print_info:", "sched_reserve:", "llama-server", "buffer size ="},
	rules: []rule{
		on(`msg="starting llama|source=server\.go|ollama`, func(r *reading, _ []string) { r.Engine = "ollama" }),
		on(`\bbuild(?:_info)?:? b?(\d{4,6})\b`, func(r *reading, m []string) { r.Version = "b" + m[1] }),
		on(`loaded meta data with .* from (\S+\.gguf)`, func(r *reading, m []string) { r.Model, r.Actual = m[1], nil }),
		on(`general\.name\s+str\s+=\s+(.+)$`, func(r *reading, m []string) { r.Name = strings.TrimSpace(m[1]) }),
		on(`file type\s+=\s+([A-Z]\w*)(?: - (\S+))?`, func(r *reading, m []string) { r.Quantization = fileType(m[1], m[2]) }),
		on(`llama_\w+:\s+n_ctx\s+=\s+(\d+)`, func(r *reading, m []string) { r.Flags["n_ctx"] = count(m[1]) }),
		on(`\bn_seq_max\s+=\s+(\d+)`, func(r *reading, m []string) { r.Sequences = count(m[1]) }),
		on(`\bn_batch\s+=\s+(\d+)`, func(r *reading, m []string) { r.Flags["n_batch"] = count(m[1]) }),
		on(`\bn_ubatch\s+=\s+(\d+)`, func(r *reading, m []string) { r.BatchTokens = count(m[1]) }),
		on(`\bflash_attn\s+=\s+(enabled|disabled|auto|0|1)`, func(r *reading, m []string) {
			if m[1] != "auto" {
				r.Flags["flash_attn"] = m[1] == "enabled" || m[1] == "1"
			}
		}),
		on(`\bkv_unified\s+=\s+(true|false)`, func(r *reading, m []string) { r.Flags["kv_unified"] = m[1] == "true" }),
		on(`K \((\w+)\):.*V \((\w+)\):`, func(r *reading, m []string) {
			r.Flags["cache_type_k"], r.Flags["cache_type_v"] = m[1], m[2]
		}),
		on(`offloaded (\d+)/(\d+) layers to GPU`, func(r *reading, m []string) { n := count(m[1]); r.GPULayers = &n }),
		on(`using device (\S+)\s+\((.+?)\).*-\s+(\d+)\s+MiB free`, func(r *reading, m []string) {
			if d := (Device{m[1], m[2]}); !slices.Contains(r.Devices, d) {
				r.Devices = append(r.Devices, d)
			}
			if b := mib(m[3]); r.DeviceBytes == 0 || b < r.DeviceBytes {
				r.DeviceBytes = b
			}
		}),
		on(`(?:load_tensors|llm_load_tensors|create_tensors):.*?(\S+)\s+(?:model )?buffer size =\s*([\d.]+) MiB`, func(r *reading, m []string) {
			r.buffer("weights", engine.Weights, m[1], m[2])
		}),
		on(`(\S+)\s+KV buffer size =\s*([\d.]+) MiB`, func(r *reading, m []string) { r.buffer("KV cache", engine.KVCache, m[1], m[2]) }),
		on(`(\S+)\s+RS buffer size =\s*([\d.]+) MiB`, func(r *reading, m []string) { r.buffer("recurrent state", engine.State, m[1], m[2]) }),
		on(`(\S+)\s+compute buffer size =\s*([\d.]+) MiB`, func(r *reading, m []string) {
			r.set("compute buffer", engine.Workspace, m[1], mib(m[2]))
		}),
		on(`(\S+)\s+output buffer size =\s*([\d.]+) MiB`, func(r *reading, m []string) {
			r.set("output buffer", engine.Workspace, m[1], mib(m[2]))
		}),
		on(`(?:alloc_buffer|allocat\w+).*?([\d.]+) MiB on device (\d+): cudaMalloc failed`, func(r *reading, m []string) {
			r.fail(Failure{Kind: "out_of_memory", Stage: "load", Cause: fmt.Sprintf("a buffer of %s does not fit on device %s", mib(m[1]), m[2])})
		}),
		on(`(?i)unable to allocate (\S+) buffer|failed to allocate (?:buffer|compute)`, func(r *reading, m []string) {
			r.fail(Failure{Kind: "out_of_memory", Stage: "load", Cause: strings.TrimSpace(m[0])})
		}),
	},
}

// buffer adds one of several buffers of a kind: full and sliding layers have
// caches of their own. Figures of 0 are those of a pass that allocates nothing.
func (r *reading) buffer(name string, c engine.Category, on, size string) {
	if b := mib(size); b > 0 {
		r.add(name, c, on, b)
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
