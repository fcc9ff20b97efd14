package transformers

import (
	"fmt"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// The releases at which the command of the server changed.
const (
	// serves: transformers serve was added.
	serves release = 4_053_000
	// dtypeOption: --dtype; before, --torch_dtype.
	dtypeOption release = 4_056_000
	// quantizes: --quantization names what bitsandbytes makes; before, there
	// were the options of its configuration.
	quantizes release = 5_000_000
	// positional: the model to load is an argument; before, --force-model.
	positional release = 5_005_000
)

// perRequest says that a setting comes with each request.
const perRequest = "it is part of a request's generation_config"

// options are the options of transformers serve for the flags.
var options = map[string]engine.Option{
	"attn_implementation": {Name: "--attn-implementation", Words: engine.Same("sdpa", "eager", "flash_attention_2", "flash_attention_3", "flex_attention")},
	"device_map":          {Name: "--device", Words: engine.Same("auto", "balanced", "balanced_low_0", "sequential", "cpu", "cuda", "cuda:0", "mps", "xpu")},

	"cache_implementation": {Why: perRequest}, "logits_to_keep": {Why: perRequest}, "max_cache_len": {Why: perRequest}, "max_new_tokens": {Why: perRequest},
	"nbits": {Why: perRequest}, "num_beams": {Why: perRequest}, "num_logits_to_keep": {Why: perRequest}, "num_return_sequences": {Why: perRequest},
	"prefill_chunk_size": {Why: perRequest}, "q_group_size": {Why: perRequest}, "residual_length": {Why: perRequest}, "use_cache": {Why: perRequest},
	// Launch writes these, resolved.
	"dtype": {}, "torch_dtype": {}, "load_in_4bit": {}, "load_in_8bit": {}, "bnb_4bit_quant_type": {}, "bnb_4bit_use_double_quant": {},
}

// Launch returns the command of transformers serve. It returns InvalidArgument
// for releases that have no server.
func (e hf) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := settingsFor(l.Model, l.Load, l.Hardware, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	if s.version < serves {
		return nil, model.Errorf(model.InvalidArgument, "engine_version", "transformers has no server before 4.53").
			WithHint("leave engine_version out, or name vllm, which serves the same checkpoints")
	}
	id, revision := engine.Repository(l.Ref)
	if revision != "" {
		id += "@" + revision
	}
	a := engine.NewArgs("transformers", "serve")
	if s.version >= positional {
		a.Argv = append(a.Argv, id)
	} else {
		a.Set("--force-model", id)
	}
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	c := &engine.Command{Env: map[string]string{}, Notes: []string{
		"transformers serve has no API key: keep it on this machine or put a proxy in front",
	}}
	c.Unbounded(s.seqs, s.context)
	if err := s.weightArgs(a, c, l.Model, l.Load); err != nil {
		return nil, err
	}
	if s.seqs > 1 {
		c.Notes = append(c.Notes, "requests are served one after the other, each with a cache of its own; --continuous-batching serves them together from a cache of pages, which has other rules")
	}
	if l.Load.TensorParallel > 1 {
		c.Unsaid(fmt.Sprintf("tensor_parallel %d", l.Load.TensorParallel), "tp_plan is an argument of from_pretrained under torchrun")
	}
	if l.Load.BatchTokens > 0 {
		c.Unsaid(fmt.Sprintf("batch_tokens %d", l.Load.BatchTokens), perRequest+" (prefill_chunk_size)")
	}
	if s.layersOnDevice != nil && l.Load.Flags["device_map"] == nil {
		c.Unsaid(fmt.Sprintf("gpu_layers %d", *s.layersOnDevice), "device_map by layer is an argument of from_pretrained")
	}
	if t := l.Load.KVCacheType; t != "" && t != "auto" {
		c.Unsaid("kv_cache_dtype "+t, perRequest)
	}
	if l.Load.Flags["device_map"] == nil {
		s.deviceArgs(a, c, l.Hardware)
	}
	if err := a.Flags(c, l.Load.Flags, options); err != nil {
		return nil, err
	}
	c.Argv = a.Argv
	return c, nil
}

// deviceArgs says where the model is: the default is all visible devices, and
// was the processor in the first releases.
func (s *settings) deviceArgs(a *engine.Args, c *engine.Command, hw engine.Hardware) {
	one := map[string]string{"nvidia": "cuda", "amd": "cuda", "apple": "mps", "intel": "xpu", "cpu": "cpu"}[hw.Vendor()]
	switch {
	case s.stages > 1 || s.layersOnDevice != nil || one == "":
		a.Set("--device", "auto")
		c.Notes = append(c.Notes, fmt.Sprintf("layers are spread over the visible devices: %d were planned", s.stages))
	default:
		a.Set("--device", one)
	}
}

// bitsAndBytes asks for what bitsandbytes makes.
func (s *settings) bitsAndBytes(a *engine.Args, c *engine.Command, name string, l engine.Load) {
	kind, _ := l.Flags.String("bnb_4bit_quant_type", "nf4")
	switch {
	case s.version < quantizes && name == "bnb-int8":
		a.On("--load_in_8bit", true)
	case s.version < quantizes:
		a.On("--load_in_4bit", true)
		a.Set("--bnb_4bit_quant_type", strings.ToLower(kind))
		a.On("--use_bnb_nested_quant", name == "nf4-dq")
	case name == "bnb-int8":
		a.Set("--quantization", "bnb-8bit")
	default:
		a.Set("--quantization", "bnb-4bit")
		if !strings.EqualFold(kind, "nf4") {
			c.Unsaid("bnb_4bit_quant_type "+kind, "the server makes nf4, which has the same size")
		}
		if name != "nf4-dq" {
			c.Notes = append(c.Notes, "--quantization bnb-4bit quantizes the scales too: weights take less than was planned; weights nf4-dq plans for it")
		}
	}
}

// weightArgs asks for the run-time type and for what bitsandbytes makes.
func (s *settings) weightArgs(a *engine.Args, c *engine.Command, m *model.Model, l engine.Load) error {
	name := s.scheme
	if name == "" {
		name = strings.ToLower(l.Weights)
	}
	dtypes := engine.DTypes("bfloat16", "float16", "float32")
	option := "--dtype"
	if s.version < dtypeOption {
		option = "--torch_dtype"
	}
	switch dtype := dtypes[name]; {
	case dtype != "" && dtype != "auto" && m.Quant == nil:
		a.Set(option, dtype)
		return nil
	case s.dtype != "":
		a.Set(option, dtypes[s.dtype])
	}
	switch {
	case name == "nf4", name == "nf4-dq", name == "bnb-int8":
		if m.Quant != nil {
			return engine.NotLoadable("transformers", name)
		}
		s.bitsAndBytes(a, c, name, l)
	case !quant.StoredAs(m, name):
		return engine.NotLoadable("transformers", l.Weights)
	}
	return nil
}
