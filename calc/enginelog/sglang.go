package enginelog

import (
	"fmt"

	"hwledger/calc/engine"
)

// sglangLog is how SGLang logs a start; its GB are 2³⁰ bytes and its weights a
// difference of free memory.
var sglangLog = format{
	engine: "sglang",
	marks:  []string{"sglang", "max_total_num_tokens", "mem_fraction_static", "Load weight end", "KV Cache is allocated"},
	rules: []rule{
		on(`model_path='([^']+)'`, func(r *reading, m []string) { r.Model = m[1] }),
		on(`\btp_size=(\d+)`, func(r *reading, m []string) { r.TensorParallel = count(m[1]) }),
		on(`\bmem_fraction_static=([\d.]+)`, func(r *reading, m []string) { r.Utilization = number(m[1]) }),
		on(`\bkv_cache_dtype='([a-z0-9_]+)'`, func(r *reading, m []string) { r.KVCacheType = m[1] }),
		on(`\bquantization='([a-z0-9_-]+)'`, func(r *reading, m []string) { r.Quantization = m[1] }),
		on(`\bpage_size=(\d+)`, func(r *reading, m []string) { r.Flags["page_size"] = count(m[1]) }),
		on(`\bchunked_prefill_size=(\d+)`, func(r *reading, m []string) { r.BatchTokens = count(m[1]) }),
		on(`Load weight end\..*mem usage=([\d.]+) GB`, func(r *reading, m []string) { r.set("weights", engine.Weights, "", gib(m[1])) }),
		on(`KV Cache is allocated\..*#tokens: (\d+), K size: ([\d.]+) GB, V size: ([\d.]+) GB`, func(r *reading, m []string) {
			r.CapacityTokens = count(m[1])
			r.set("KV cache pool", engine.KVCache, "", gib(m[2])+gib(m[3]))
		}),
		on(`KV Cache is allocated\..*#tokens: (\d+), KV size: ([\d.]+) GB`, func(r *reading, m []string) {
			r.CapacityTokens = count(m[1])
			r.set("KV cache pool", engine.KVCache, "", gib(m[2]))
		}),
		on(`Mamba Cache is allocated\..*conv_state size: ([\d.]+)GB, ssm_state size: ([\d.]+)GB`, func(r *reading, m []string) {
			r.set("recurrent states", engine.State, "", gib(m[1])+gib(m[2]))
		}),
		on(`Capture cuda graph end\..*mem usage=([\d.]+) GB`, func(r *reading, m []string) { r.set("CUDA graphs", engine.Runtime, "", gib(m[1])) }),
		on(`max_total_num_tokens=(\d+).*context_len=(\d+)`, func(r *reading, m []string) { r.CapacityTokens, r.ContextTokens = count(m[1]), count(m[2]) }),
		on(`Not enough memory\. Please try to increase --mem-fraction-static`, func(r *reading, _ []string) {
			r.fail(Failure{Kind: "out_of_memory", Stage: "cache", Cause: fmt.Sprintf("weights leave no room for a cache within mem_fraction_static %g of memory: raise it, or take a smaller model", r.Utilization)})
		}),
	},
}
