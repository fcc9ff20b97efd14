package enginelog

import (
	"fmt"

	"hwledger/calc/engine"
)

// sglangLog is how SGLang logs a start; its GB are 2³⁰ bytes and its weights a
// difference of free memory.
var sglangLog = format{
	engine: "sglang",
	marks:  []string{"sglang", "SGLang", "max_total_num_tokens", "mem_fraction_static", "mem-fraction-static", "Load weight end", "KV Cache is allocated"},
	rules: []rule{
		on(`server_args=ServerArgs\(`, func(r *reading, _ []string) {
			if len(r.Actual) > 0 || r.Failure != nil {
				r.restart()
			}
		}),
		on(`model_path='([^']+)'`, func(r *reading, m []string) { r.Model = m[1] }),
		on(`\btp_size=(\d+)`, func(r *reading, m []string) { r.TensorParallel = count(m[1]) }),
		on(`\bpp_size=(\d+)`, func(r *reading, m []string) { r.Pipeline = count(m[1]) }),
		on(`\bmem_fraction_static=([\d.]+)`, func(r *reading, m []string) { r.Utilization = number(m[1]) }),
		on(`\bkv_cache_dtype='([a-z0-9_]+)'`, func(r *reading, m []string) { r.KVCacheType = m[1] }),
		on(`\bquantization='([a-z0-9_-]+)'`, func(r *reading, m []string) { r.Quantization = m[1] }),
		on(`\bpage_size=(\d+)`, func(r *reading, m []string) { r.flag("page_size", count(m[1])) }),
		on(`\bchunked_prefill_size=(\d+)`, func(r *reading, m []string) { r.BatchTokens = count(m[1]) }),
		on(`\bcontext_length=(\d+)`, func(r *reading, m []string) { r.ContextTokens = count(m[1]) }),
		on(`\bdisable_cuda_graph=True`, func(r *reading, _ []string) { r.flag("disable_cuda_graph", true) }),
		on(`Load weight begin\. avail mem=([\d.]+) GB`, func(r *reading, m []string) {
			// The second weights that one rank loads are those of a draft model.
			r.draft = r.draft || r.rank == 0 && r.find("weights", "") != nil
			r.before, r.stage = gib(m[1]), "load"
		}),
		on(`Load weight end\..*?avail mem=([\d.]+) GB(?:, mem usage=([\d.]+) GB)?`, func(r *reading, m []string) {
			r.after = gib(m[1])
			used := max(0, r.before-r.after)
			if m[2] != "" {
				used = gib(m[2])
				r.before = r.after + used
			}
			r.set("weights", engine.Weights, "", used)
			r.stage = "run" // a pool that PyTorch cannot allocate is too large, not too small
		}),
		on(`KV Cache is allocated\..*#tokens: (\d+), K size: ([\d.]+) GB, V size: ([\d.]+) GB`, func(r *reading, m []string) {
			r.pool(m[1], gib(m[2])+gib(m[3]))
		}),
		on(`KV Cache is allocated\..*#tokens: (\d+), KV size: ([\d.]+) GB`, func(r *reading, m []string) { r.pool(m[1], gib(m[2])) }),
		on(`Mamba Cache is allocated\..*conv_state size: ([\d.]+)GB, ssm_state size: ([\d.]+)GB`, func(r *reading, m []string) {
			r.set("recurrent states", engine.State, "", gib(m[1])+gib(m[2]))
		}),
		on(`Capture (?:\w+ )*(?:cuda|CUDA) graph end\..*mem usage=([\d.]+) GB`, func(r *reading, m []string) { r.set("CUDA graphs", engine.Runtime, "", gib(m[1])) }),
		on(`max_total_num_tokens=(\d+).*context_len=(\d+)`, func(r *reading, m []string) {
			if !r.draft || r.CapacityTokens == 0 {
				r.CapacityTokens, r.ContextTokens = count(m[1]), count(m[2])
			}
		}),
		on(`The server is fired up and ready to roll`, started),
		on(`Not enough memory\. Please try to increase --mem-fraction-static(?:.*Current value: mem_fraction_static=([\d.]+))?`, func(r *reading, m []string) {
			if m[1] != "" {
				r.Utilization = number(m[1])
			}
			r.noPool()
		}),
	},
}

// pool adds one of a rank's pools: models with sliding windows have two.
func (r *reading) pool(tokens string, size engine.Bytes) {
	if a := r.find(r.named("KV cache pool"), ""); a != nil && a.rank < r.rank {
		return
	}
	if !r.draft {
		r.CapacityTokens = max(r.CapacityTokens, count(tokens))
	}
	r.add("KV cache pool", engine.KVCache, "", size)
}

// noPool says how far the weights are over what the fraction leaves them: the
// pool is what is free after loading less the share of what was free before it
// that the fraction does not cover (sglang model_executor/model_runner.py).
func (r *reading) noPool() {
	f := Failure{Kind: OutOfMemory, Stage: "cache",
		Cause: fmt.Sprintf("weights leave no room for a cache within mem_fraction_static %g of memory: raise it, or take a smaller model", r.Utilization)}
	if r.Utilization == 0 {
		f.Cause = "weights leave no room for a cache within mem_fraction_static: raise it, or take a smaller model"
	}
	if share := r.Utilization; r.before > 0 && share > 0 && share <= 1 {
		rest := float64(r.after) - float64(r.before)*(1-share)
		if rest < 0 {
			f.Short = engine.Bytes(-rest)
			f.Cause += fmt.Sprintf("; weights alone are %s more than it covers", f.Short)
		}
	}
	r.fail(f)
}
