package enginelog

import "fmt"

// tgiLog is how TGI's launcher and router log, as text or as JSON. The
// launcher prints its arguments as Rust does: some values are on a line of
// their own.
var tgiLog = format{
	engine: "tgi",
	marks:  []string{"text_generation_launcher", "text_generation_router", "max-batch-total-tokens", "max batch total tokens"},
	rules: []rule{
		on(`model_id: "([^"]+)"|--model-id[= ](\S+)`, func(r *reading, m []string) { r.Model = m[1] + m[2] }),
		on(`\b(num_shard|max_total_tokens|max_batch_prefill_tokens): Some\(\s*(\d*)`, func(r *reading, m []string) {
			if r.open = m[1]; m[2] != "" {
				r.argument(m[2])
			}
		}),
		on(`^\s*(\d+),?\s*$`, func(r *reading, m []string) { r.argument(m[1]) }),
		on(`quantize: Some\(\s*(\w+)`, func(r *reading, m []string) { r.Quantization = m[1] }),
		on(`Warming up model`, begin("profile")),
		on(`[Ss]etting max batch total tokens to (\d+)`, func(r *reading, m []string) {
			r.CapacityTokens = count(m[1])
			started(r, nil)
		}),
		on(`KV-cache blocks: (\d+), size: (\d+)`, func(r *reading, m []string) { r.CapacityTokens = int64(bounded(number(m[1]) * number(m[2]))) }),
		on("Not enough memory to handle `max_total_tokens=(\\d+)", func(r *reading, m []string) {
			r.ContextTokens = count(m[1])
			r.fail(Failure{Kind: OutOfMemory, Stage: "cache", Cause: fmt.Sprintf("the cache does not hold one sequence of %s tokens: lower max-total-tokens", m[1])})
		}),
		on(`Not enough memory to handle (?:(\d+) )?.*prefill tokens`, func(r *reading, m []string) {
			r.fail(Failure{Kind: OutOfMemory, Stage: "profile", Cause: fmt.Sprintf("the warm-up prompt of %s tokens does not fit: lower max-batch-prefill-tokens", m[1])})
		}),
	},
}

// argument gives the open argument its value.
func (r *reading) argument(v string) {
	switch r.open {
	case "num_shard":
		r.TensorParallel = count(v)
	case "max_total_tokens":
		r.ContextTokens = count(v)
	case "max_batch_prefill_tokens":
		r.BatchTokens = count(v)
	}
	r.open = ""
}
