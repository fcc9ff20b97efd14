package enginelog

import (
	"fmt"

	"hwledger/calc/engine"
)

// mlxLog is how mlx-lm prints its figures: its peak in units of 10⁹ bytes, its
// warning in units of 2²⁰.
var mlxLog = format{
	engine: "mlx",
	marks:  []string{"Peak memory:", "mlx_lm", "mlx-lm", "mlx::core", "[METAL]", "[metal::malloc]", "kIOGPUCommandBuffer", "model that requires"},
	rules: []rule{
		on(`Peak memory: ([\d.]+) GB`, func(r *reading, m []string) {
			r.set("peak", engine.Runtime, "", bounded(number(m[1])*1e9))
			started(r, nil)
		}),
		on(`Prompt: (\d+) tokens`, func(r *reading, m []string) { r.ContextTokens = count(m[1]) }),
		on(`model that requires (\d+) MB which is close to the maximum recommended size of (\d+) MB`, func(r *reading, m []string) {
			r.set("weights", engine.Weights, "", mib(m[1]))
			r.DeviceBytes = mib(m[2])
		}),
		on(`--model[= ](\S+)`, func(r *reading, m []string) { r.Model = m[1] }),
		on(`[Aa]ttempting to allocate (\d+) bytes which is greater than the maximum allowed buffer size of (\d+) bytes`, func(r *reading, m []string) {
			want, have := engine.Bytes(count(m[1])), engine.Bytes(count(m[2]))
			r.fail(Failure{Kind: OutOfMemory, Stage: r.now("run"), Short: max(0, want-have),
				Cause: fmt.Sprintf("one buffer of %s is more than the %s that Metal allows", want, have)})
		}),
	},
}
