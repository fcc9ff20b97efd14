package sglang

import (
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// Launch returns the command of SGLang's server with every option that changes
// memory.
func (e sglang) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := resolve(l.Model, l.Load, l.Hardware, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	c := &engine.Command{Env: map[string]string{}, Image: "lmsysorg/sglang"}
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
	if t := l.Load.KVCacheType; t != "" && t != "auto" {
		a.Set("--kv-cache-dtype", cacheOption(t))
	}
	if err := weightArgs(a, l.Model, l.Load.Weights); err != nil {
		return nil, err
	}
	if s.offload > 0 {
		a.Set("--cpu-offload-gb", s.offload>>30)
	}
	if s.hicache {
		a.On("--enable-hierarchical-cache", true)
		a.Set("--hicache-ratio", s.hicacheRatio)
	}
	if s.spec != "" {
		a.Set("--speculative-algorithm", s.spec)
		a.Int("--speculative-num-draft-tokens", s.draftTokens)
	}
	c.Argv = a.Argv
	c.Notes = append(c.Notes, "SGLang takes an API key on its command line only (--api-key), where other users of the machine can read it: put a proxy with a key in front where that matters")
	return c, nil
}

// cacheOption is what --kv-cache-dtype calls a cache type.
func cacheOption(name string) string {
	switch name {
	case "fp8":
		return "fp8_e4m3"
	case "fp4":
		return "fp4_e2m1"
	}
	return name
}

// weightArgs asks for weights that SGLang makes while it loads.
func weightArgs(a *engine.Args, m *model.Model, weights string) error {
	name := strings.ToLower(weights)
	switch {
	case engine.Stored(weights), m.Quant != nil && name == m.Quant.Method, m.Quant == nil && name == "bf16":
		return nil
	case name == "fp8" && m.Quant == nil:
		a.Set("--quantization", "fp8")
		return nil
	case name == "nf4" && m.Quant == nil:
		a.Set("--quantization", "bitsandbytes")
		return nil
	}
	return engine.NotLoadable("SGLang", weights)
}
