package trtllm

import (
	"fmt"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// options are the flags that Launch writes, as options or in the
// configuration, and those that it cannot.
var options = map[string]engine.Option{
	"backend": {}, "context_parallel_size": {}, "cuda_graph_max_batch_size": {}, "enable_attention_dp": {}, "ep_size": {},
	"free_gpu_memory_fraction": {}, "host_cache_size": {}, "kv_cache_dtype": {}, "kv_cache_free_gpu_memory_fraction": {},
	"mamba_ssm_cache_dtype": {}, "max_attention_window": {}, "max_batch_size": {}, "max_gpu_total_bytes": {}, "max_num_tokens": {},
	"max_seq_len": {}, "max_tokens": {}, "moe_expert_parallel_size": {}, "moe_tensor_parallel_size": {}, "pp_partition": {},
	"speculative": {}, "tokens_per_block": {}, "use_cuda_graph": {}, "dtype": {},
}

// dtypes are what the configuration calls the types of weights.
var dtypes = engine.DTypes("bfloat16", "float16", "float32")

// cacheOptions are what the configuration calls the cache types.
var cacheOptions = map[string]string{"bf16": "bfloat16", "fp16": "float16", "f32": "float32", "e4m3": "fp8", "nvfp4": "nvfp4"}

// Launch returns the command of trtllm-serve, and the configuration file for
// what it has no option for.
func (e trtllm) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := resolve(l.Model, l.Load, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	if !quant.StoredAs(l.Model, l.Load.Weights) {
		return nil, engine.NotLoadable("TensorRT-LLM", l.Load.Weights)
	}
	id, revision := engine.Repository(l.Ref)
	a := engine.NewArgs("trtllm-serve", id)
	if revision != "" {
		a.Set("--revision", revision)
	}
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	if s.engine {
		a.Set("--backend", "tensorrt")
	} else {
		a.Set("--backend", "pytorch")
	}
	a.Set("--max_batch_size", s.batch)
	a.Set("--max_num_tokens", s.tokens)
	a.Set("--max_seq_len", s.maxLen)
	for _, x := range []struct {
		flag string
		n    int64
	}{{"--tp_size", s.tp}, {"--pp_size", s.pp}, {"--cp_size", s.cp}, {"--ep_size", s.moeEP}} {
		if x.n > 1 {
			a.Set(x.flag, x.n)
		}
	}
	a.Set("--kv_cache_free_gpu_memory_fraction", s.fraction)
	// Without it, a prompt of more than --max_num_tokens is refused.
	a.On("--enable_chunked_prefill", s.context > s.tokens)
	a.Set("--config", configFile)
	config, err := s.config(l)
	if err != nil {
		return nil, err
	}
	c := &engine.Command{
		Env: map[string]string{}, Files: map[string]string{configFile: config}, Devices: l.Hardware.Vendor(), Local: engine.LocalPath(l.Ref),
		Image: "nvcr.io/nvidia/tensorrt-llm/release:" + s.release.String(), // there is no tag for the latest
		Notes: []string{"trtllm-serve has no API key: keep it on this machine or put a proxy in front"},
	}
	if drafts, _ := l.Load.Flags.Bool("speculative", false); drafts && !s.mtp {
		c.Unsaid("speculative", "the checkpoint has no layers that predict further tokens (MTP), and no draft model is part of the plan")
	}
	c.Queued("--max_batch_size", s.seqs, s.batch)
	if s.engine {
		c.Notes = append(c.Notes, "the tensorrt backend serves an engine that was built with these sizes before")
	}
	if s.maxLen > s.context {
		c.Notes = append(c.Notes, fmt.Sprintf("requests of up to --max_seq_len %d are taken; sequences of %d tokens were planned", s.maxLen, s.context))
	}
	if s.dp > 1 {
		c.Notes = append(c.Notes, "start one such server for each of the replicas, on devices of its own")
	}
	if err := a.Flags(c, l.Load.Flags, options); err != nil {
		return nil, err
	}
	c.Argv = a.Argv
	return c, nil
}

// configFile is the name of the configuration beside the command.
const configFile = "trtllm.yml"

// config is the YAML configuration: fields of LlmArgs.
func (s *settings) config(l engine.Launch) (string, error) {
	var b strings.Builder
	field := func(indent, name string, value any) { fmt.Fprintf(&b, "%s%s: %v\n", indent, name, value) }
	count := func(indent, name string, n int64) {
		if n > 0 {
			field(indent, name, n)
		}
	}
	dtype, err := l.Load.Flags.String("dtype", "")
	if err != nil {
		return "", err
	}
	switch name, ok := dtypes[strings.ToLower(strings.TrimSpace(dtype))]; {
	case !ok:
		e := model.Errorf(model.InvalidArgument, "flags.dtype", "TensorRT-LLM does not take %q", dtype)
		e.Candidates = []string{"auto", "bfloat16", "float16", "float32"}
		return "", e.WithHint("use one of the candidates")
	case name != "":
		field("", "dtype", name)
	}
	b.WriteString("kv_cache_config:\n")
	field("  ", "free_gpu_memory_fraction", strconv.FormatFloat(s.fraction, 'f', -1, 64))
	field("  ", "tokens_per_block", s.block)
	given, err := l.Load.Flags.String("kv_cache_dtype", l.Load.KVCacheType)
	if err != nil {
		return "", err
	}
	if given != "" && given != "auto" {
		kv, err := engine.CacheOption("TensorRT-LLM", s.kv.Name, given, cacheOptions)
		if err != nil {
			return "", err
		}
		field("  ", "dtype", kv)
	}
	if l.Load.Flags["mamba_ssm_cache_dtype"] != nil {
		field("  ", "mamba_ssm_cache_dtype", stateNames[s.state.Name])
	}
	count("  ", "max_tokens", s.maxTokens)
	count("  ", "max_gpu_total_bytes", s.maxBytes)
	count("  ", "host_cache_size", s.host)
	if s.windows != nil {
		field("  ", "max_attention_window", flow(s.windows))
	}
	if s.adp {
		field("", "enable_attention_dp", true)
	}
	if s.moeTP > 1 && s.moeEP > 1 {
		field("", "moe_tensor_parallel_size", s.moeTP)
	}
	if s.partition != nil {
		field("", "pp_partition", flow(s.partition))
	}
	if s.mtp {
		fmt.Fprintf(&b, "speculative_config:\n  decoding_type: MTP\n  num_nextn_predict_layers: %d\n", len(l.Model.MTPLayers))
	}
	if s.graphs > 0 {
		fmt.Fprintf(&b, "cuda_graph_config:\n  max_batch_size: %d\n", s.graphBatch)
	} else {
		b.WriteString("cuda_graph_config: null\n")
	}
	return b.String(), nil
}

// stateNames are what the configuration calls the types of states.
var stateNames = map[string]string{"bf16": "bfloat16", "fp16": "float16", "f32": "float32"}

// flow is a list in one line of YAML.
func flow(list []int64) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = strconv.FormatInt(n, 10)
	}
	return "[" + strings.Join(words, ", ") + "]"
}
