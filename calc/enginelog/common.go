package enginelog

// common are lines of drivers, environments and shells that logs of any engine
// may have around the engine's own: devices by name, and the command.
var common = []rule{
	on(`GPU \d+: ((?:NVIDIA|AMD|Tesla) [^(,|]+)`, func(r *reading, m []string) { r.device("", m[1], 0) }),
	on(`\|\s+\d+\s+((?:NVIDIA|Tesla|Quadro) [\w -]*?\w)\s+(?:On|Off|N/A|WDDM|TCC)\s`, func(r *reading, m []string) { r.device("", m[1], 0) }),
	on(`--(?:max-model-len|context-length|max-total-tokens|max_seq_len|max-seq-len)[= ](\d+)`, func(r *reading, m []string) { r.ContextTokens = count(m[1]) }),
	on(`--(?:tensor-parallel-size|tp-size|tp_size|num-shard|tp)[= ](\d+)`, func(r *reading, m []string) { r.TensorParallel = count(m[1]) }),
	on(`--(?:pipeline-parallel-size|pp-size|pp_size)[= ](\d+)`, func(r *reading, m []string) { r.Pipeline = count(m[1]) }),
	on(`--(?:gpu-memory-utilization|mem-fraction-static|cuda-memory-fraction)[= ]([\d.]+)`, func(r *reading, m []string) { r.Utilization = number(m[1]) }),
	on(`--(?:max-num-batched-tokens|chunked-prefill-size)[= ](\d+)`, func(r *reading, m []string) { r.BatchTokens = count(m[1]) }),
	on(`--max-num-seqs[= ](\d+)`, func(r *reading, m []string) { r.flag("max_num_seqs", count(m[1])) }),
	on(`--kv-cache-dtype[= ]([a-z0-9_]+)`, func(r *reading, m []string) { r.KVCacheType = m[1] }),
	on(`--quantization[= ]([a-z0-9_-]+)`, func(r *reading, m []string) { r.Quantization = m[1] }),
	on(`--enforce-eager\b`, func(r *reading, _ []string) { r.flag("enforce_eager", true) }),
	on(`(?:vllm serve|trtllm-serve(?: serve)?|--model-path[= ]|--model-id[= ])\s*'?([\w.-]+/[\w.-]+)`, func(r *reading, m []string) {
		if r.Model == "" {
			r.Model = m[1]
		}
	}),
}
