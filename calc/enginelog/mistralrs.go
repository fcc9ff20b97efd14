package enginelog

import (
	"fmt"

	"hwledger/calc/engine"
)

// mistralLog is how mistral.rs logs; its MB are 2²⁰ bytes.
var mistralLog = format{
	engine: "mistral.rs",
	marks:  []string{"mistralrs", "PagedAttention with block size", "PagedAttention KV cache"},
	rules: []rule{
		on("Loading model `([^`]+)` on", func(r *reading, m []string) { r.Model, r.stage = m[1], "load" }),
		on(`Allocating (\d+) MB for PagedAttention KV cache`, func(r *reading, m []string) {
			r.set("KV cache pool", engine.KVCache, "", mib(m[1]))
			r.stage = "run"
		}),
		on(`PagedAttention with block size (\d+) and (\d+) GPU blocks: available context length is (\d+)`, func(r *reading, m []string) {
			r.flag("pa_block_size", count(m[1]))
			r.CapacityTokens = count(m[3])
		}),
		on(`Num GPU blocks is 0`, func(r *reading, _ []string) {
			r.fail(Failure{Kind: OutOfMemory, Stage: "cache", Cause: "the memory that is left for PagedAttention does not hold one block"})
		}),
		on(`does not fit on the devices .*exceeds total capacity by (\d+)MB`, func(r *reading, m []string) {
			r.fail(Failure{Kind: OutOfMemory, Stage: "load", Short: mib(m[1]),
				Cause: fmt.Sprintf("weights and activations are %s more than the devices have", mib(m[1]))})
		}),
		on(`No more devices to map to`, func(r *reading, _ []string) {
			r.fail(Failure{Kind: OutOfMemory, Stage: "load", Cause: "the layers do not fit on the devices"})
		}),
		on(`Dummy run completed|Server listening on|Model loaded\.`, started),
	},
}
