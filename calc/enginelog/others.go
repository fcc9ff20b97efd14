package enginelog

import (
	"fmt"

	"hwledger/calc/engine"
)

// tgiLog is how TGI's launcher and router log.
var tgiLog = format{
	engine: "tgi",
	marks:  []string{"text_generation_launcher", "text_generation_router", "max-batch-total-tokens"},
	rules: []rule{
		on(`model_id: "([^"]+)"`, func(r *reading, m []string) { r.Model = m[1] }),
		on(`num_shard: Some\(\s*(\d+)`, func(r *reading, m []string) { r.TensorParallel = count(m[1]) }),
		on(`max_total_tokens: Some\(\s*(\d+)`, func(r *reading, m []string) { r.ContextTokens = count(m[1]) }),
		on(`[Ss]etting max batch total tokens to (\d+)`, func(r *reading, m []string) { r.CapacityTokens = count(m[1]) }),
		on(`Not enough memory to handle (?:(\d+) )?.*prefill tokens`, func(r *reading, m []string) {
			r.fail(Failure{Kind: "out_of_memory", Stage: "profile", Cause: fmt.Sprintf("the warm-up prompt of %s tokens does not fit: lower max-batch-prefill-tokens", m[1])})
		}),
	},
}

// trtLog is how TensorRT-LLM logs.
var trtLog = format{
	engine: "tensorrt-llm",
	marks:  []string{"[TRT-LLM]", "[TensorRT-LLM]", "TensorRT-LLM version", "[MemUsageChange]"},
	rules: []rule{
		on(`TensorRT-LLM version:? (\d\S+)`, func(r *reading, m []string) { r.Version = m[1] }),
		on(`Number of tokens per block: (\d+)`, func(r *reading, m []string) { r.Flags["tokens_per_block"] = count(m[1]) }),
		on(`Allocated ([\d.]+) GiB for max tokens in paged KV cache \((\d+)\)`, func(r *reading, m []string) {
			r.CapacityTokens = count(m[2])
			r.set("KV cache pool", engine.KVCache, "", gib(m[1]))
		}),
		on(`Memory used after loading model weights.*?([\d.]+) GiB`, func(r *reading, m []string) { r.set("weights", engine.Weights, "", gib(m[1])) }),
	},
}

// mistralLog is how mistral.rs logs.
var mistralLog = format{
	engine: "mistral.rs",
	marks:  []string{"mistralrs", "PagedAttention with block size", "PagedAttention KV cache"},
	rules: []rule{
		on(`Allocating (\d+) MB for PagedAttention KV cache`, func(r *reading, m []string) { r.set("KV cache pool", engine.KVCache, "", mib(m[1])) }),
		on(`PagedAttention with block size (\d+) and (\d+) GPU blocks: available context length is (\d+)`, func(r *reading, m []string) {
			r.Flags["pa_block_size"], r.CapacityTokens = count(m[1]), count(m[3])
		}),
	},
}

// mlxLog is how mlx-lm prints its figures, in units of 10⁹ bytes.
var mlxLog = format{
	engine: "mlx",
	marks:  []string{"Peak memory:", "mlx_lm", "mlx-lm", "[METAL]", "kIOGPUCommandBuffer"},
	rules: []rule{
		on(`Peak memory: ([\d.]+) GB`, func(r *reading, m []string) { r.set("peak", engine.Runtime, "", engine.Bytes(number(m[1])*1e9)) }),
		on(`Prompt: (\d+) tokens`, func(r *reading, m []string) { r.ContextTokens = count(m[1]) }),
		on(`wired limit|model requires ([\d.]+) MB`, func(r *reading, m []string) { r.set("weights", engine.Weights, "", mib(m[1])) }),
	},
}
