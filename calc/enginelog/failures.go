package enginelog

import (
	"fmt"

	"hwledger/calc/engine"
)

// failures are lines that any engine may print, from its libraries.
var failures = []rule{
	on(`CUDA out of memory\. Tried to allocate ([\d.]+) ([GMK]i?B).*?(?:([\d.]+) ([GMK]i?B) is free|; ([\d.]+) ([GMK]i?B) free)`, func(r *reading, m []string) {
		want, free := sized(m[1], m[2]), engine.Bytes(0)
		if m[3] != "" {
			free = sized(m[3], m[4])
		} else {
			free = sized(m[5], m[6])
		}
		r.fail(Failure{Kind: "out_of_memory", Stage: "run", Short: max(want-free, 1),
			Cause: fmt.Sprintf("PyTorch asked for %s and %s were free", want, free)})
	}),
	on(`(?:CUDA|HIP|XPU) out of memory`, func(r *reading, _ []string) {
		r.fail(Failure{Kind: "out_of_memory", Stage: "run", Cause: "the device had no memory left"})
	}),
	on(`total capacity of ([\d.]+) ([GM]i?B)`, func(r *reading, m []string) { r.DeviceBytes = sized(m[1], m[2]) }),
	on(`(?i)address already in use|couldn't bind HTTP server socket`, func(r *reading, _ []string) {
		r.fail(Failure{Kind: "port_in_use", Stage: "start", Cause: "another process listens on the port"})
	}),
	on(`(?i)kIOGPUCommandBufferCallbackErrorOutOfMemory|Insufficient Memory`, func(r *reading, _ []string) {
		r.fail(Failure{Kind: "out_of_memory", Stage: "run", Cause: "Metal had no memory left for a command buffer"})
	}),
	on(`(?i)error loading model|unknown model architecture|Unrecognized model|does not appear to have a file named config\.json`, func(r *reading, m []string) {
		r.fail(Failure{Kind: "bad_model", Stage: "load", Cause: "the engine could not read the model: " + m[0]})
	}),
}

// Remedy says what to change after the failure, "" for none. The same words
// mean opposite things at different stages: a pool that is too small wants a
// larger share of the device, a device that ran out beside it a smaller one.
func (r *Report) Remedy() string {
	f := r.Failure
	if f == nil {
		return ""
	}
	share := map[string]string{"vllm": "gpu_memory_utilization", "sglang": "mem_fraction_static", "tgi": "cuda_memory_fraction", "tensorrt-llm": "free_gpu_memory_fraction"}[r.Engine]
	switch {
	case f.Kind == "port_in_use":
		return "take another port, or stop the process that has this one"
	case f.Kind == "bad_model":
		return "check the path and that this version of the engine knows the architecture"
	case f.Kind != "out_of_memory":
		return ""
	case r.byBuffer():
		return "leave layers in system memory (gpu_layers, cpu_moe_layers), shorten the context, or take a smaller quantization or cache type"
	case f.Stage == "start" && share != "":
		return "lower " + share + ", or free what another process holds"
	case f.Stage == "cache" && f.Fits > 0:
		return fmt.Sprintf("lower the context to %d tokens, raise %s, or use a smaller cache type", f.Fits, share)
	case f.Stage == "cache" && share != "":
		return "raise " + share + ", shorten the context, or use a smaller cache type or model"
	case share != "":
		return "lower " + share + ", the tokens of a step or the sequences: what runs beside the pool had too little"
	}
	return "shorten the context, or take a smaller quantization"
}
