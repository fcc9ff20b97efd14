package enginelog

import "hwledger/calc/engine"

// trtLog is how TensorRT-LLM logs; its GB are 2³⁰ bytes as its GiB are.
var trtLog = format{
	engine: "tensorrt-llm",
	marks:  []string{"[TRT-LLM]", "[TensorRT-LLM]", "TensorRT-LLM version", "tensorrt_llm", "paged KV cache"},
	rules: []rule{
		on(`TensorRT-LLM [Vv]ersion:?\s+(\d\S+)`, func(r *reading, m []string) { r.Version = m[1] }),
		on(`Loaded engine size: (\d+) MiB`, func(r *reading, m []string) {
			r.set("weights", engine.Weights, "", mib(m[1]))
			r.stage = "profile"
		}),
		on(`Memory used after loading model weights.*?([\d.]+) GiB`, func(r *reading, m []string) {
			r.set("weights", engine.Weights, "", gib(m[1]))
			r.stage = "profile"
		}),
		on(`Allocated ([\d.]+) ([KMG]i?B) for execution context memory`, func(r *reading, m []string) {
			r.set("execution context", engine.Workspace, "", sized(m[1], m[2]))
		}),
		on(`Allocated ([\d.]+) ([KMG]i?B) GPU memory for runtime buffers`, func(r *reading, m []string) {
			r.set("runtime buffers", engine.Runtime, "", sized(m[1], m[2]))
		}),
		on(`Allocated ([\d.]+) ([KMG]i?B) GPU memory for decoder`, func(r *reading, m []string) {
			r.set("decoder", engine.Runtime, "", sized(m[1], m[2]))
		}),
		on(`Memory usage when calculating max tokens in paged kv cache: total: ([\d.]+) GiB, available: ([\d.]+) GiB`, func(r *reading, m []string) {
			r.DeviceBytes, r.stage = gib(m[1]), "run"
		}),
		on(`Number of tokens per block: (\d+)`, func(r *reading, m []string) { r.flag("tokens_per_block", count(m[1])) }),
		on(`Allocated ([\d.]+) GiB for max tokens in paged KV cache \((\d+)\)`, func(r *reading, m []string) {
			r.CapacityTokens = count(m[2])
			r.set("KV cache pool", engine.KVCache, "", gib(m[1]))
		}),
		on(`\bmax_seq_len=(\d+), max_num_requests=(\d+), max_num_tokens=(\d+)`, func(r *reading, m []string) {
			r.ContextTokens, r.BatchTokens = count(m[1]), count(m[3])
		}),
		on(`free_gpu_memory_fraction[=:] ?(0?\.\d+|1(?:\.0+)?)`, func(r *reading, m []string) { r.Utilization = number(m[1]) }),
		on(`Engine loaded and ready to serve|Executor instance created|Application startup complete`, started),
	},
}
