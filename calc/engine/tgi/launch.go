package tgi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// options are the options of the flags.
var options = map[string]engine.Option{
	"cuda_graphs":             {Name: "--cuda-graphs", List: true},
	"dtype":                   {Name: "--dtype", Words: engine.DTypes("bfloat16", "float16")},
	"enable_prefill_logprobs": {On: "--enable-prefill-logprobs"},
	"max_batch_size":          {Name: "--max-batch-size"},
	// Launch writes these, resolved.
	"TGI_WIGGLE_ROOM": {}, "attention": {}, "cuda_memory_fraction": {}, "kv_cache_dtype": {}, "max_batch_prefill_tokens": {},
	"max_batch_total_tokens": {}, "max_input_tokens": {}, "max_total_tokens": {}, "num_shard": {}, "quantize": {}, "speculate": {},
}

// cacheOptions are what --kv-cache-dtype calls the cache types.
var cacheOptions = map[string]string{"bf16": "", "fp16": "", "e4m3": "fp8_e4m3fn", "e5m2": "fp8_e5m2"}

// Launch returns the command of TGI's launcher with every option that changes
// memory.
func (e tgi) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := resolve(l.Model, l.Load, l.Hardware, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	id, revision := engine.Repository(l.Ref)
	a := engine.NewArgs("text-generation-launcher")
	a.Set("--model-id", id)
	if revision != "" {
		a.Set("--revision", revision)
	}
	a.Set("--hostname", l.Host)
	a.Set("--port", l.Port)
	a.Set("--num-shard", s.tp)
	if err := s.lengthArgs(a); err != nil {
		return nil, err
	}
	a.Int("--max-batch-total-tokens", s.maxBatch)
	a.Set("--max-concurrent-requests", max(s.seqs, 1))
	a.Set("--cuda-memory-fraction", s.fraction)
	given, err := l.Load.Flags.String("kv_cache_dtype", l.Load.KVCacheType)
	if err != nil {
		return nil, err
	}
	if kv, err := engine.CacheOption("TGI", s.kv.Name, given, cacheOptions); err != nil {
		return nil, err
	} else if kv != "" {
		a.Set("--kv-cache-dtype", kv)
	}
	if n := s.speculate; n > 0 {
		a.Set("--speculate", n)
	}
	if err := weightArgs(a, l.Model, l.Load); err != nil {
		return nil, err
	}
	c := &engine.Command{
		Image: "ghcr.io/huggingface/text-generation-inference:" + s.release.String(), Secrets: []string{"API_KEY"},
		Devices: l.Hardware.Vendor(), Store: "/data", Local: engine.LocalPath(l.Ref),
		Env:   map[string]string{"TGI_WIGGLE_ROOM": strconv.FormatFloat(s.room, 'f', -1, 64)},
		Notes: []string{"TGI is in maintenance mode: its own README recommends other engines"},
	}
	switch c.Devices {
	case "amd":
		c.Image += "-rocm"
	case "intel":
		c.Image += "-intel-xpu"
	}
	if s.maxTotal == 0 {
		c.Notes = append(c.Notes, fmt.Sprintf("max_total_tokens was not planned: TGI takes as long requests as its pool holds; %d × %d were planned", s.seqs, s.context))
	}
	if err := a.Flags(c, l.Load.Flags, options); err != nil {
		return nil, err
	}
	if err := oneType(a.Argv, l.Model); err != nil {
		return nil, err
	}
	c.Argv = a.Argv
	if s.dp > 1 {
		c.Notes = append(c.Notes, "start one such server for each of the replicas, on devices of its own")
	}
	if s.attention != "" {
		c.Env["ATTENTION"] = s.attention
	}
	return c, nil
}

// lengthArgs writes the token limits of requests and of a prefill. Where
// prompts are not chunked the launcher takes no prefill that is shorter than a
// prompt. (launcher/src/main.rs)
func (s *settings) lengthArgs(a *engine.Args) error {
	chunks := s.release.AtLeast(wiggleOfTotal) && s.attention != "paged"
	if s.prefill < s.maxInput && !chunks {
		return model.Errorf(model.InvalidArgument, "batch_tokens", "a prefill of %d tokens does not hold a prompt of max_input_tokens (%d), and this TGI does not chunk prompts", s.prefill, s.maxInput).
			WithHint("raise batch_tokens (max_batch_prefill_tokens) to %d, or lower max_input_tokens", s.maxInput)
	}
	a.Int("--max-total-tokens", s.maxTotal)
	a.Int("--max-input-tokens", s.maxInput)
	a.Set("--max-batch-prefill-tokens", s.prefill)
	return nil
}

// oneType refuses --dtype for weights that are quantized, but for those of
// bitsandbytes, as the server does. (server/text_generation_server/cli.py)
func oneType(argv []string, m *model.Model) error {
	at, dtype := slices.Index(argv, "--quantize"), slices.Contains(argv, "--dtype")
	given := at >= 0 && !strings.HasPrefix(argv[at+1], "bitsandbytes")
	stored := at < 0 && m.Quant != nil && !byBitsAndBytes(m)
	if dtype && (given || stored) {
		return model.Errorf(model.InvalidArgument, "flags.dtype", "TGI takes no dtype for quantized weights").WithHint("leave flags.dtype out")
	}
	return nil
}

// weightArgs asks for weights that TGI makes while it loads.
func weightArgs(a *engine.Args, m *model.Model, l engine.Load) error {
	if q, _ := l.Flags.String("quantize", ""); q != "" {
		a.Set("--quantize", strings.ToLower(strings.TrimSpace(q)))
		return nil
	}
	name := strings.ToLower(l.Weights)
	if dtype := engine.DTypes("bfloat16", "float16")[name]; dtype != "" && dtype != "auto" && m.Quant == nil {
		if l.Flags["dtype"] == nil {
			a.Set("--dtype", dtype)
		}
		return nil
	}
	if quant.StoredAs(m, name) {
		return nil
	}
	made, ok := map[string]string{"fp8": "fp8", "nf4": "bitsandbytes-nf4", "bnb-int8": "bitsandbytes", "int8": "eetq"}[name]
	if !ok || m.Quant != nil {
		return engine.NotLoadable("TGI", l.Weights)
	}
	a.Set("--quantize", made)
	return nil
}
