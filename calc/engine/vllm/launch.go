package vllm

import (
	"encoding/json"
	"sort"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// switches are the options that stand for on/off flags, by flag.
var switches = map[string]struct{ on, off string }{
	"enforce_eager":                   {"--enforce-eager", ""},
	"disable_hybrid_kv_cache_manager": {"--disable-hybrid-kv-cache-manager", ""},
	"language_model_only":             {"--language-model-only", ""},
	"enable_prefix_caching":           {"--enable-prefix-caching", "--no-enable-prefix-caching"},
}

// options are the options that take a value, by flag.
var options = map[string]string{
	"block_size": "--block-size", "dtype": "--dtype", "kv_cache_memory_bytes": "--kv-cache-memory-bytes", "mamba_cache_mode": "--mamba-cache-mode",
	"mamba_ssm_cache_dtype": "--mamba-ssm-cache-dtype", "num_gpu_blocks_override": "--num-gpu-blocks-override", "runner": "--runner",
	"decode_context_parallel_size": "--decode-context-parallel-size", "prefill_context_parallel_size": "--prefill-context-parallel-size",
}

// elsewhere are flags that Launch writes in another form, or that no option
// sets.
var elsewhere = map[string]string{
	"max_model_len": "", "max_num_seqs": "", "max_num_batched_tokens": "", "speculative": "", "speculative_method": "", "num_speculative_tokens": "",
	"chunked_local_attention":      "whether chunked layers are bounded follows from the release",
	"max_num_encoder_input_tokens": "the encoder's budget follows from --max-num-batched-tokens",
}

// Launch returns the vllm serve command that makes the engine take what was
// planned.
func (e vllm) Launch(l engine.Launch) (*engine.Command, error) {
	u := &engine.Usage{}
	s, err := e.resolve(l.Model, l.Load, l.Hardware, u)
	if err != nil {
		return nil, err
	}
	id, revision := engine.Repository(l.Ref)
	a := engine.NewArgs("vllm", "serve", id)
	c := &engine.Command{Env: map[string]string{"VLLM_NO_USAGE_STATS": "1"}, Secrets: []string{"VLLM_API_KEY"}, Image: "vllm/vllm-openai"}
	if revision != "" {
		a.Set("--revision", revision)
	}
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	a.Set("--max-model-len", s.maxLen)
	a.Set("--max-num-seqs", s.maxSeqs)
	a.Set("--max-num-batched-tokens", s.batch)
	a.Set("--gpu-memory-utilization", s.util)
	for _, x := range []struct {
		flag string
		n    int64
	}{{"--tensor-parallel-size", s.tp}, {"--pipeline-parallel-size", s.pp}, {"--data-parallel-size", s.dp}} {
		if x.n > 1 {
			a.Set(x.flag, x.n)
		}
	}
	a.On("--enable-expert-parallel", s.ep)
	if t := l.Load.KVCacheType; t != "" && t != "auto" {
		a.Set("--kv-cache-dtype", t)
	}
	if err := weightArgs(a, l.Model, l.Load.Weights); err != nil {
		return nil, err
	}
	if err := s.flagArgs(a, l.Load.Flags, c); err != nil {
		return nil, err
	}
	c.Argv = a.Argv
	return c, nil
}

// weightArgs asks for weights that vLLM makes while it loads.
func weightArgs(a *engine.Args, m *model.Model, weights string) error {
	name := strings.ToLower(weights)
	switch {
	case engine.Stored(weights), m.Quant != nil && name == m.Quant.Method:
		return nil
	case dtypeBytes(name) > 0 && m.Quant == nil:
		a.Set("--dtype", map[string]string{"bf16": "bfloat16", "fp16": "float16", "f16": "float16", "fp32": "float32", "f32": "float32"}[name])
	case name == "fp8" && m.Quant == nil:
		a.Set("--quantization", "fp8")
	case (name == "nf4" || name == "bnb-int8") && m.Quant == nil:
		a.Set("--quantization", "bitsandbytes")
	default:
		return engine.NotLoadable("vLLM", weights)
	}
	return nil
}

// flagArgs writes the load's other flags, in order of their names.
func (s *settings) flagArgs(a *engine.Args, flags engine.Flags, c *engine.Command) error {
	names := make([]string, 0, len(flags))
	for n := range flags {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if x, ok := switches[n]; ok {
			on, err := flags.Bool(n, false)
			if err != nil {
				return err
			}
			a.On(x.on, on)
			a.On(x.off, !on && x.off != "")
			continue
		}
		if option, ok := options[n]; ok {
			a.Set(option, flags[n])
		} else if why := elsewhere[n]; why != "" {
			c.Notes = append(c.Notes, n+" has no option: "+why)
		}
	}
	if s.draft == 0 {
		return nil
	}
	method, err := flags.String("speculative_method", "")
	if err != nil {
		return err
	}
	if method == "" && s.mtp {
		method = "mtp"
	}
	if method == "" {
		c.Notes = append(c.Notes, "speculative decoding needs --speculative-config with the method and the draft model")
		return nil
	}
	config, err := json.Marshal(map[string]any{"method": method, "num_speculative_tokens": s.draft})
	if err != nil {
		return err
	}
	a.Set("--speculative-config", string(config))
	return nil
}
