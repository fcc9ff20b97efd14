package enginelog

import (
	"fmt"

	"hwledger/calc/engine"
)

// vllmLog is how vLLM logs a start, releases 0.4 to 0.29. Figures are those of
// one rank.
var vllmLog = format{
	engine: "vllm",
	marks:  []string{"vllm", "vLLM", "# GPU blocks:", "# cuda blocks:", "GPU KV cache size:", "Available KV cache memory", "Model loading took"},
	rules:  append(vllmSettings, append(vllmMemory, vllmFailures...)...),
}

var vllmSettings = []rule{
	on(`vLLM API server version|Initializing an? (?:V1 )?LLM engine`, func(r *reading, _ []string) {
		if len(r.Actual) > 0 || r.Failure != nil {
			r.restart()
		}
		r.stage = "load"
	}),
	on(`(?:LLM engine|API server version) \(?v?(\d+\.\d+[^\s),]*)`, func(r *reading, m []string) { r.Version = m[1] }),
	on(`\bmodel(?:_tag)?['"]?[=:] ?'([^']+)'`, func(r *reading, m []string) { r.Model = m[1] }),
	on(`\bmax_(?:seq|model)_len['"]?[=:] ?(\d+)`, func(r *reading, m []string) { r.ContextTokens = count(m[1]) }),
	on(`\btensor_parallel_size['"]?[=:] ?(\d+)`, func(r *reading, m []string) { r.TensorParallel = count(m[1]) }),
	on(`\bpipeline_parallel_size['"]?[=:] ?(\d+)`, func(r *reading, m []string) { r.Pipeline = count(m[1]) }),
	on(`\bquantization['"]?[=:] ?['"]?([a-z0-9_-]+)`, func(r *reading, m []string) { r.Quantization = m[1] }),
	on(`\bkv_cache_dtype['"]?[=:] ?['"]?([a-z0-9_]+)`, func(r *reading, m []string) { r.KVCacheType = m[1] }),
	on(`\benforce_eager['"]?[=:] ?True`, func(r *reading, _ []string) { r.flag("enforce_eager", true) }),
	on(`max_num_seqs['"]?[=:]\s*(\d+)`, func(r *reading, m []string) { r.flag("max_num_seqs", count(m[1])) }),
	on(`max_num_batched_tokens['"]?[=:]\s*(\d+)`, func(r *reading, m []string) { r.BatchTokens = count(m[1]) }),
	on(`Chunked prefill is enabled with max_num_batched_tokens=(\d+)`, func(r *reading, m []string) { r.BatchTokens = count(m[1]) }),
	on(`gpu_memory_utilization['"]?[=:(]\s*\(?([\d.]+)`, func(r *reading, m []string) { r.Utilization = number(m[1]) }),
	on(`total_gpu_memory \(([\d.]+)GiB\) x gpu_memory_utilization \(([\d.]+)\)`, func(r *reading, m []string) {
		r.DeviceBytes, r.Utilization = gib(m[1]), number(m[2])
	}),
	on(`\btotal_(?:gpu_)?memory=([\d.]+) ?GiB`, func(r *reading, m []string) { r.DeviceBytes = gib(m[1]) }),
	on(`Free memory on device (?:\S+ )?\(([\d.]+)/([\d.]+) GiB\) on startup\. Desired GPU memory utilization is \(([\d.]+),`, func(r *reading, m []string) {
		r.FreeBytes, r.DeviceBytes, r.Utilization = gib(m[1]), gib(m[2]), number(m[3])
	}),
}

var vllmMemory = []rule{
	on(`Starting to load model`, begin("load")),
	on(`(?:Model loading|[Ll]oading model weights) took ([\d.]+) ?G`, func(r *reading, m []string) {
		r.set("weights", engine.Weights, "", gib(m[1]))
		r.stage = "profile"
	}),
	on(`model weights take ([\d.]+) ?GiB`, func(r *reading, m []string) { r.set("weights", engine.Weights, "", gib(m[1])) }),
	on(`non_torch_memory takes ([\d.]+) ?GiB`, func(r *reading, m []string) { r.set("memory outside PyTorch", engine.Runtime, "", gib(m[1])) }),
	on(`activation peak memory takes ([\d.]+) ?GiB`, func(r *reading, m []string) { r.set("activation", engine.Workspace, "", gib(m[1])) }),
	on(`(?:reserved for KV Cache is|Available KV cache memory:|\bkv_cache_size=) ?([\d.]+) ?GiB`, func(r *reading, m []string) {
		r.set("KV cache pool", engine.KVCache, "", gib(m[1]))
		r.stage = "run" // what fails from here on fails beside the pool
	}),
	on(`# (?:GPU|cuda) blocks: (\d+)`, func(r *reading, m []string) { r.CapacityTokens = count(m[1]) * vllmBlock }),
	on(`GPU KV cache size: ([\d,]+) tokens`, func(r *reading, m []string) { r.CapacityTokens = count(m[1]) }),
	on(`Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x`, func(r *reading, m []string) {
		r.ContextTokens, r.Concurrency = count(m[1]), number(m[2])
	}),
	on(`Graph capturing finished.*took ([\d.]+) GiB`, func(r *reading, m []string) { r.set("CUDA graphs", engine.Runtime, "", gib(m[1])) }),
	on(`Actual usage is (?:([\d.]+) GiB for weight, )?.*?([\d.]+) GiB for peak activation,(?: ([\d.]+) GiB for non-torch memory,)? and ([\d.]+) GiB for CUDAGraph`, func(r *reading, m []string) {
		if m[1] != "" { // newer releases count weights together with what is outside PyTorch
			r.setNew("weights", engine.Weights, gib(m[1]))
		}
		if m[3] != "" {
			r.set("memory outside PyTorch", engine.Runtime, "", gib(m[3]))
		}
		r.set("activation", engine.Workspace, "", gib(m[2]))
		r.setNew("CUDA graphs", engine.Runtime, gib(m[4]))
	}),
	on(`Application startup complete|init engine \(profile, create kv cache, warmup model\) took`, started),
}

// vllmBlock is the tokens of a block of the releases that log blocks, when
// nothing else was asked for.
const vllmBlock = 16

var vllmFailures = []rule{
	on(`Free memory on device (?:\S+ )?\(([\d.]+)/([\d.]+) GiB\) on startup is less than desired GPU memory utilization \(([\d.]+), ([\d.]+) GiB\)`, func(r *reading, m []string) {
		r.FreeBytes, r.DeviceBytes, r.Utilization = gib(m[1]), gib(m[2]), number(m[3])
		r.fail(Failure{Kind: OutOfMemory, Stage: "start", Short: max(0, gib(m[4])-gib(m[1])),
			Cause: fmt.Sprintf("%s of the device were free at the start, gpu_memory_utilization asks for %s: another process holds memory", gib(m[1]), gib(m[4]))})
	}),
	on(`Available KV cache memory: -([\d.]+) GiB`, func(r *reading, m []string) {
		r.fail(Failure{Kind: OutOfMemory, Stage: "cache", Short: gib(m[1]),
			Cause: fmt.Sprintf("weights and activations are %s more than gpu_memory_utilization allows, before any cache", gib(m[1]))})
	}),
	on(`No available memory for the cache blocks`, func(r *reading, _ []string) {
		r.fail(Failure{Kind: OutOfMemory, Stage: "cache", Cause: "weights and activations leave nothing of the budget for the cache"})
	}),
	on(`max seq len \((\d+)\), \(?([\d.]+) Gi?B KV cache is ?needed, which is larger than the available KV [Cc]ache memory \(([\d.]+) Gi?B\)`, func(r *reading, m []string) {
		r.ContextTokens = count(m[1])
		r.fail(Failure{Kind: OutOfMemory, Stage: "cache", Short: max(0, gib(m[2])-gib(m[3])),
			Cause: fmt.Sprintf("one request of %s tokens needs %s of cache and %s are left", m[1], gib(m[2]), gib(m[3]))})
	}),
	on(`estimated maximum model length is (\d+)`, func(r *reading, m []string) {
		if r.Failure != nil {
			r.Failure.Fits = count(m[1])
		}
	}),
	on(`max seq len \((\d+)\) is larger than the maximum number of tokens that can be stored in KV cache \((\d+)\)`, func(r *reading, m []string) {
		r.ContextTokens = count(m[1])
		r.fail(Failure{Kind: OutOfMemory, Stage: "cache", Fits: count(m[2]), Cause: fmt.Sprintf("the cache holds %s tokens, one request may have %s", m[2], m[1])})
	}),
}
