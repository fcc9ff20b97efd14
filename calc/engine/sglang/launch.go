package sglang

import (
	"maps"
	"slices"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// options are the options of the flags.
var options = map[string]engine.Option{
	"disable_hybrid_swa_memory":       {On: "--disable-hybrid-swa-memory"},
	"dtype":                           {Name: "--dtype", Words: engine.DTypes("bfloat16", "float16", "float32")},
	"ep_num_redundant_experts":        {Name: "--ep-num-redundant-experts"},
	"hicache_size":                    {Name: "--hicache-size"},
	"mamba_full_memory_ratio":         {Name: "--mamba-full-memory-ratio"},
	"mamba_scheduler_strategy":        {Name: "--mamba-scheduler-strategy", Words: engine.Same("auto", "no_buffer", "extra_buffer")},
	"mamba_ssm_dtype":                 {Name: "--mamba-ssm-dtype", Words: engine.DTypes("bfloat16", "float16", "float32")},
	"max_mamba_cache_size":            {Name: "--max-mamba-cache-size"},
	"max_prefill_tokens":              {Name: "--max-prefill-tokens"},
	"moe_a2a_backend":                 {Name: "--moe-a2a-backend", Words: engine.Same("none", "deepep", "mooncake", "nixl", "mori", "flashinfer", "ascend_fuseep")},
	"moe_dense_tp_size":               {Name: "--moe-dense-tp-size"},
	"piecewise_cuda_graph_max_tokens": {Name: "--piecewise-cuda-graph-max-tokens"},
	"swa_eviction_interval":           {Env: "SGLANG_SWA_EVICTION_INTERVAL"},
	"swa_full_tokens_ratio":           {Name: "--swa-full-tokens-ratio"},
	// Launch writes these, resolved.
	"chunked_prefill_size": {}, "cpu_offload_gb": {}, "cuda_graph_max_bs": {}, "disable_cuda_graph": {}, "disable_overlap_schedule": {},
	"disable_radix_cache": {}, "enable_dp_attention": {}, "enable_dp_lm_head": {}, "enable_hierarchical_cache": {}, "ep_size": {},
	"hicache_ratio": {}, "max_running_requests": {}, "max_total_tokens": {}, "mem_fraction_static": {}, "page_size": {},
	"speculative_algorithm": {}, "speculative_num_draft_tokens": {},
}

// cacheOptions are what --kv-cache-dtype calls the cache types.
var cacheOptions = map[string]string{"bf16": "bf16", "e4m3": "fp8_e4m3", "e5m2": "fp8_e5m2", "fp4": "fp4_e2m1", "nvfp4": "fp4_e2m1", "mxfp8": "mxfp8"}

// Launch returns the command of SGLang's server with every option that changes
// memory.
func (e sglang) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := resolve(l.Model, l.Load, l.Hardware, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	c := &engine.Command{Env: map[string]string{}, Image: image(l.Load.Version), Devices: l.Hardware.Vendor(), Local: engine.LocalPath(l.Ref)}
	if c.Devices != "nvidia" {
		c.Notes = append(c.Notes, c.Image+" is built for NVIDIA's devices: choose the tag that is built for those of "+c.Devices)
	}
	a := engine.NewArgs("python3", "-m", "sglang.launch_server")
	id, revision := engine.Repository(l.Ref)
	a.Set("--model-path", id)
	if revision != "" {
		a.Set("--revision", revision)
	}
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	a.Set("--context-length", s.context)
	a.Set("--mem-fraction-static", s.fraction)
	a.Set("--chunked-prefill-size", s.chunk)
	a.Set("--page-size", s.page)
	if s.graphBatch == 0 {
		a.On("--disable-cuda-graph", true)
	} else {
		a.Set("--cuda-graph-max-bs", s.graphBatch)
	}
	for _, x := range []struct {
		flag string
		n    int64
	}{{"--tp-size", s.tp}, {"--pp-size", s.pp}, {"--dp-size", s.dp}, {"--ep-size", s.ep}} {
		if x.n > 1 {
			a.Set(x.flag, x.n)
		}
	}
	a.On("--enable-dp-attention", s.dpAttention)
	a.On("--enable-dp-lm-head", s.dpHead)
	a.Int("--max-running-requests", s.maxRunning)
	a.Int("--max-total-tokens", s.maxTokens)
	a.On("--disable-radix-cache", !s.radix)
	a.On("--disable-overlap-schedule", !s.overlap)
	if given := l.Load.KVCacheType; given != "" && given != "auto" {
		name, err := engine.CacheOption("SGLang", s.types.KV.Name, given, cacheOptions)
		if err != nil {
			return nil, err
		}
		a.Set("--kv-cache-dtype", name)
	}
	if err := weightArgs(a, l.Model, l.Load); err != nil {
		return nil, err
	}
	if s.offload%int64(engine.GiB) != 0 {
		return nil, model.Errorf(model.InvalidArgument, "flags.cpu_offload_gb", "SGLang takes whole GiB").WithHint("round it")
	}
	a.Int("--cpu-offload-gb", s.offload/int64(engine.GiB))
	if s.hicacheBytes%1e9 != 0 {
		return nil, model.Errorf(model.InvalidArgument, "flags.hicache_size", "SGLang takes whole GB").WithHint("round it")
	}
	if s.hicache {
		a.On("--enable-hierarchical-cache", true)
		if s.hicacheBytes == 0 {
			a.Set("--hicache-ratio", s.hicacheRatio)
		}
	}
	if err := s.speculativeArgs(a, c); err != nil {
		return nil, err
	}
	if err := a.Flags(c, l.Load.Flags, options); err != nil {
		return nil, err
	}
	c.Argv = a.Argv
	c.Queued("--max-running-requests", s.seqs, ceilDiv(s.maxRunning, s.dp))
	c.Notes = append(c.Notes, "SGLang takes an API key on its command line only (--api-key), where other users of the machine can read it: put a proxy with a key in front where that matters")
	return c, nil
}

// image is the container image of the release that was asked for.
func image(version string) string {
	if _, known := parseVersion(version); known && version != "" {
		return "lmsysorg/sglang:v" + strings.TrimPrefix(version, "v")
	}
	return "lmsysorg/sglang:latest"
}

// drafts are the algorithms of speculative decoding, true for those that run a
// draft model.
var drafts = map[string]bool{"EAGLE": true, "EAGLE3": true, "NEXTN": true, "STANDALONE": true, "NGRAM": false}

// speculativeArgs asks for the drafting of tokens. SGLang takes a number of
// draft tokens only together with steps and branches; one branch drafts a token
// less than are verified.
func (s *settings) speculativeArgs(a *engine.Args, c *engine.Command) error {
	if s.spec == "" {
		return nil
	}
	drafted, ok := drafts[s.spec]
	if !ok {
		e := model.Errorf(model.InvalidArgument, "flags.speculative_algorithm", "SGLang has no algorithm %q", s.spec)
		e.Candidates = slices.Sorted(maps.Keys(drafts))
		return e.WithHint("use one of the candidates")
	}
	a.Set("--speculative-algorithm", s.spec)
	if drafted && s.draftTokens > 1 {
		a.Set("--speculative-num-steps", s.draftTokens-1)
		a.Set("--speculative-eagle-topk", 1)
	}
	if !drafted || s.draftTokens > 1 {
		a.Int("--speculative-num-draft-tokens", s.draftTokens)
	}
	if drafted && s.draftTokens < 2 {
		c.Notes = append(c.Notes, "SGLang chooses how many tokens "+s.spec+" drafts where speculative_num_draft_tokens is not given; the plan has one")
	}
	if drafted && !s.mtp {
		c.Notes = append(c.Notes, s.spec+" needs --speculative-draft-model-path, which is no part of the plan")
	}
	return nil
}

// weightArgs asks for weights that SGLang makes while it loads.
func weightArgs(a *engine.Args, m *model.Model, l engine.Load) error {
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
	case m.Format == model.FormatGGUF:
	case name == "fp8" && m.Quant == nil:
		a.Set("--quantization", "fp8")
		return nil
	case name == "nf4" && m.Quant == nil:
		a.Set("--load-format", "bitsandbytes")
		a.Set("--quantization", "bitsandbytes")
		return nil
	}
	return engine.NotLoadable("SGLang", l.Weights)
}
