package enginelog

import "fmt"

// shares are the engines' names of the share of a device that their pool and
// weights may have.
var shares = map[string]string{"vllm": "gpu_memory_utilization", "sglang": "mem_fraction_static", "tgi": "cuda_memory_fraction", "tensorrt-llm": "free_gpu_memory_fraction"}

// Remedy says what to change after the failure, "" without one. The same words
// mean opposite things at different stages: a pool that is too small wants a
// larger share of the device, a device that ran out beside it a smaller one.
func (r *Report) Remedy() string {
	f := r.Failure
	if f == nil {
		return ""
	}
	switch {
	case f.Kind == PortInUse:
		return "take another port, or stop the process that has this one"
	case f.Kind == BadModel:
		return "check the path and that this version of the engine knows the architecture"
	case f.Kind == DoesNotStart:
		return "correct what the engine's own message names, and check that this version of it has the options that it was given"
	case f.Host:
		return "free system memory, or take a smaller quantization or a shorter context"
	case r.byBuffer():
		return r.remedyBuffer()
	case shares[r.Engine] != "":
		return r.remedyPool(shares[r.Engine])
	}
	return "shorten the context, or take a smaller quantization"
}

// remedyBuffer is for engines whose layers can stay in system memory.
func (r *Report) remedyBuffer() string {
	layers := "leave layers in system memory (gpu_layers, cpu_moe_layers)"
	switch r.Failure.Stage {
	case "cache":
		return "shorten the context, serve fewer sequences, take a smaller cache type (q8_0), or " + layers
	case "profile":
		return "lower n_ubatch, turn flash attention on, or " + layers
	}
	return layers + ", or take a smaller quantization"
}

// remedyPool is for engines that take a pool up front.
func (r *Report) remedyPool(share string) string {
	f := r.Failure
	switch {
	case f.Stage == "start":
		return "lower " + share + ", or free what another process holds"
	case f.Stage == "load":
		return "take a smaller quantization or more devices: the weights alone do not fit"
	case f.Stage == "cache" && f.Fits > 0:
		return fmt.Sprintf("lower the context to %d tokens, raise %s, or use a smaller cache type", f.Fits, share)
	case f.Stage == "cache":
		return "raise " + share + ", shorten the context, or use a smaller cache type or model"
	case f.Stage == "profile":
		return "lower the tokens of a step (batch_tokens) or the sequences: the largest step did not fit beside the weights"
	}
	return "lower " + share + ", the tokens of a step or the sequences: what runs beside the pool had too little"
}
