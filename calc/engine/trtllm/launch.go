package trtllm

import (
	"fmt"
	"strings"

	"hwledger/calc/engine"
)

// Launch returns the command of trtllm-serve, and the configuration file for
// what it has no option for.
func (e trtllm) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := resolve(l.Model, l.Load, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	if !engine.Stored(l.Load.Weights) && (l.Model.Quant == nil || !strings.EqualFold(l.Model.Quant.Method, l.Load.Weights)) {
		return nil, engine.NotLoadable("TensorRT-LLM", l.Load.Weights)
	}
	id, _ := engine.Repository(l.Ref)
	a := engine.NewArgs("trtllm-serve", id)
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	a.Set("--max_batch_size", s.batch)
	a.Set("--max_num_tokens", s.tokens)
	a.Set("--max_seq_len", s.maxLen)
	for _, x := range []struct {
		flag string
		n    int64
	}{{"--tp_size", s.tp}, {"--pp_size", s.pp}, {"--ep_size", s.moeEP}} {
		if x.n > 1 {
			a.Set(x.flag, x.n)
		}
	}
	a.Set("--kv_cache_free_gpu_memory_fraction", s.fraction)
	a.Set("--config", "trtllm.yml")
	var b strings.Builder
	b.WriteString("kv_cache_config:\n")
	fmt.Fprintf(&b, "  free_gpu_memory_fraction: %g\n  tokens_per_block: %d\n", s.fraction, s.block)
	if t := l.Load.KVCacheType; t != "" && t != "auto" {
		fmt.Fprintf(&b, "  dtype: %q\n", t)
	}
	if s.maxTokens > 0 {
		fmt.Fprintf(&b, "  max_tokens: %d\n", s.maxTokens)
	}
	if s.host > 0 {
		fmt.Fprintf(&b, "  host_cache_size: %d\n", s.host)
	}
	if s.adp {
		b.WriteString("enable_attention_dp: true\n")
	}
	if s.graphs > 0 {
		fmt.Fprintf(&b, "cuda_graph_config:\n  max_batch_size: %d\n", s.graphBatch)
	} else {
		b.WriteString("cuda_graph_config: null\n")
	}
	return &engine.Command{
		Argv: a.Argv, Env: map[string]string{}, Files: map[string]string{"trtllm.yml": b.String()}, Image: "nvcr.io/nvidia/tensorrt-llm/release",
		Notes: []string{"trtllm-serve has no API key: keep it on this machine or put a proxy in front"},
	}, nil
}
