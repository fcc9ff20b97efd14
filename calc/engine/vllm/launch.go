package vllm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// options are the options of the flags.
var options = map[string]engine.Option{
	"enforce_eager":                   {On: "--enforce-eager"},
	"disable_hybrid_kv_cache_manager": {On: "--disable-hybrid-kv-cache-manager"},
	"language_model_only":             {On: "--language-model-only"},
	"enable_prefix_caching":           {On: "--enable-prefix-caching", Off: "--no-enable-prefix-caching"},
	"block_size":                      {Name: "--block-size"},
	"dtype":                           {Name: "--dtype", Words: engine.DTypes("bfloat16", "float16", "float32")},
	"kv_cache_memory_bytes":           {Name: "--kv-cache-memory-bytes"},
	"mamba_cache_mode":                {Name: "--mamba-cache-mode", Words: engine.Same("none", "align", "all")},
	"mamba_ssm_cache_dtype":           {Name: "--mamba-ssm-cache-dtype", Words: engine.DTypes("bfloat16", "float16", "float32")},
	"num_gpu_blocks_override":         {Name: "--num-gpu-blocks-override"},
	"runner":                          {Name: "--runner", Words: engine.Same("auto", "generate", "pooling")},
	"decode_context_parallel_size":    {Name: "--decode-context-parallel-size"},
	"prefill_context_parallel_size":   {Name: "--prefill-context-parallel-size"},
	"chunked_local_attention":         {Why: "whether chunked layers are bounded follows from the release"},
	"max_num_encoder_input_tokens":    {Why: "the encoder's budget follows from --max-num-batched-tokens"},
	// Launch writes these, resolved.
	"max_model_len": {}, "max_num_seqs": {}, "max_num_batched_tokens": {},
	"speculative": {}, "speculative_method": {}, "num_speculative_tokens": {},
}

// cacheOptions are what --kv-cache-dtype calls the cache types.
var cacheOptions = map[string]string{
	"auto": "", "bf16": "bfloat16", "fp16": "float16", "e4m3": "fp8_e4m3", "e5m2": "fp8_e5m2", "nvfp4": "nvfp4",
	"int8_per_token_head": "int8_per_token_head", "fp8_per_token_head": "fp8_per_token_head", "int4_per_token_head": "int4_per_token_head",
	"turboquant_k8v4": "turboquant_k8v4", "turboquant_4bit_nc": "turboquant_4bit_nc",
	"turboquant_k3v4_nc": "turboquant_k3v4_nc", "turboquant_3bit_nc": "turboquant_3bit_nc",
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
	c := &engine.Command{Env: map[string]string{"VLLM_NO_USAGE_STATS": "1"}, Secrets: []string{"VLLM_API_KEY"}, Devices: l.Hardware.Vendor(), Local: engine.LocalPath(l.Ref)}
	c.Image = image(c.Devices, l.Load.Version)
	if !slices.Contains([]string{"nvidia", "amd", "intel"}, c.Devices) {
		c.Notes = append(c.Notes, "vLLM's own builds for "+c.Devices+" devices are installed otherwise, and its image is for those of NVIDIA")
	}
	s.recentOptions(c, l.Load.Flags)
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
	if given := l.Load.KVCacheType; given != "" && given != "auto" {
		name, err := engine.CacheOption("vLLM", s.kv.Name, given, cacheOptions)
		if err != nil {
			return nil, err
		}
		a.Set("--kv-cache-dtype", name)
	}
	if err := s.weightArgs(a, l.Model, l.Load); err != nil {
		return nil, err
	}
	if err := a.Flags(c, l.Load.Flags, options); err != nil {
		return nil, err
	}
	if err := s.speculativeArgs(a, l.Load.Flags, c); err != nil {
		return nil, err
	}
	c.Queued("--max-num-seqs", s.seqs, s.maxSeqs)
	c.Argv = a.Argv
	return c, nil
}

// listed is the release whose options were read.
var listed = version{0, 19, 0}

// recentOptions notes options that an older release may not have yet: it would
// refuse to start. The first releases have all but these.
func (s *settings) recentOptions(c *engine.Command, flags engine.Flags) {
	if s.version.atLeast(listed) {
		return
	}
	for _, name := range []string{
		"decode_context_parallel_size", "disable_hybrid_kv_cache_manager", "kv_cache_memory_bytes", "language_model_only",
		"mamba_cache_mode", "mamba_ssm_cache_dtype", "prefill_context_parallel_size", "runner",
	} {
		if flags[name] != nil {
			c.Notes = append(c.Notes, fmt.Sprintf("the option of %s is that of vLLM %s: vllm serve --help of %s says whether it has it", name, listed, s.version))
		}
	}
}

// image is the container image for a vendor's devices, of the release that was
// asked for.
func image(vendor, version string) string {
	name := "vllm/vllm-openai" + map[string]string{"amd": "-rocm", "intel": "-xpu"}[vendor]
	if _, known := parseVersion(version); known && version != "" {
		return name + ":v" + strings.TrimPrefix(version, "v")
	}
	return name + ":latest"
}

// weightArgs asks for weights that vLLM makes while it loads.
func (s *settings) weightArgs(a *engine.Args, m *model.Model, l engine.Load) error {
	name := strings.ToLower(l.Weights)
	dtype := engine.DTypes("bfloat16", "float16", "float32")[name]
	switch {
	case dtype != "" && m.Quant == nil && m.Format != model.FormatGGUF:
		if l.Flags["dtype"] == nil {
			a.Set("--dtype", dtype)
		}
		return nil
	case quant.StoredAs(m, name):
		return nil
	case m.Quant != nil || m.Format == model.FormatGGUF:
	case name == "fp8":
		a.Set("--quantization", "fp8")
		return nil
	case name == "nf4":
		a.Set("--quantization", "bitsandbytes")
		if s.v0 { // which did not take it from the quantization
			a.Set("--load-format", "bitsandbytes")
		}
		return nil
	}
	return engine.NotLoadable("vLLM", l.Weights)
}

// methods are the ways of drafting tokens that need no draft model beside
// the checkpoint.
var methods = []string{"mtp", "ngram", "suffix"}

// speculativeArgs asks for the drafting of tokens.
func (s *settings) speculativeArgs(a *engine.Args, flags engine.Flags, c *engine.Command) error {
	if s.draft == 0 {
		return nil
	}
	method, err := flags.String("speculative_method", "")
	if err != nil {
		return err
	}
	if method = strings.ToLower(method); s.mtp {
		method = "mtp" // "deepseek_mtp" and the like are names of older releases
	}
	if method == "mtp" && !s.mtp {
		return model.Errorf(model.InvalidArgument, "flags.speculative_method", "the checkpoint has no layers that predict further tokens (MTP)").
			WithHint("use ngram or suffix, which need none, or leave it out")
	}
	if !slices.Contains(methods, method) {
		c.Notes = append(c.Notes, "speculative decoding needs --speculative-config with the draft model, which is no part of the plan")
		return nil
	}
	config, err := json.Marshal(map[string]any{"method": method, "num_speculative_tokens": s.draft})
	if err != nil {
		return err
	}
	a.Set("--speculative-config", string(config))
	return nil
}
