package mlx

import (
	"encoding/json"
	"fmt"
	"path"
	"strconv"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// serverOptions are the options of mlx-lm's server for the flags.
var serverOptions = map[string]engine.Option{
	"max_tokens":         {Name: "--max-tokens"},
	"kv_bits":            {Why: "the server's cache is not quantized; mlx_lm.generate has --kv-bits"},
	"kv_group_size":      {Why: "the server's cache is not quantized; mlx_lm.generate has --kv-group-size"},
	"quantized_kv_start": {Why: "the server's cache is not quantized; mlx_lm.generate has --quantized-kv-start"},
	"max_kv_size":        {Why: "the server does not bound the cache; mlx_lm.generate has --max-kv-size"},
	// Launch writes these, resolved.
	"decode_concurrency": {}, "prompt_concurrency": {}, "prefill_step_size": {}, "prompt_cache_bytes": {}, "server": {},
}

// omlxOptions are those of oMLX.
var omlxOptions = map[string]engine.Option{
	// Launch writes these, resolved.
	"hot_cache_max_size": {}, "max_concurrent_requests": {}, "max_process_memory": {}, "memory_guard_gb": {}, "no_cache": {}, "paged_ssd_cache": {}, "server": {},
}

// Launch returns the command of mlx-lm's server, or that of oMLX with its
// settings as JSON.
func (e mlx) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := e.settingsFor(l.Model, l.Load, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	if !quant.StoredAs(l.Model, l.Load.Weights) {
		return nil, engine.NotLoadable("MLX", l.Load.Weights)
	}
	if s.server == serverOMLX {
		return s.omlx(l)
	}
	id, revision := engine.Repository(l.Ref)
	a := engine.NewArgs("mlx_lm.server")
	a.Set("--model", id)
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	a.Set("--decode-concurrency", s.seqs)
	a.Set("--prompt-concurrency", s.prompts)
	a.Set("--prefill-step-size", s.step)
	c := &engine.Command{Env: map[string]string{}}
	if s.prompt > 0 {
		a.Set("--prompt-cache-bytes", int64(s.prompt))
	} else { // by default it keeps the caches of ten requests, of any size
		a.Set("--prompt-cache-size", 0)
		c.Notes = append(c.Notes, "caches of earlier prompts are not kept, because none were planned: flags.prompt_cache_bytes plans for them")
	}
	if revision != "" {
		c.Unsaid("the revision "+revision, "the default branch is loaded; a directory with that revision can be given instead")
	}
	c.Unbounded(s.seqs, s.context)
	if s.bits > 0 && l.Load.Flags["kv_bits"] == nil {
		c.Unsaid("kv_cache_dtype", serverOptions["kv_bits"].Why)
	}
	if n := max(1, l.Load.TensorParallel) * max(1, l.Load.PipelineParallel) * max(1, l.Load.DataParallel); n > 1 {
		c.Notes = append(c.Notes, fmt.Sprintf("%d machines were planned: mlx.launch starts them with a list of hosts", n))
		a.On("--pipeline", l.Load.PipelineParallel > 1)
	}
	if err := a.Flags(c, l.Load.Flags, serverOptions); err != nil {
		return nil, err
	}
	c.Argv = a.Argv
	return c, nil
}

// omlx is the command of oMLX, and its settings.json. Its settings persist, so
// that everything that changes memory is said.
func (s *settings) omlx(l engine.Launch) (*engine.Command, error) {
	if max(l.Load.TensorParallel, l.Load.PipelineParallel, l.Load.DataParallel) > 1 {
		return nil, model.Errorf(model.InvalidArgument, "tensor_parallel", "oMLX serves from one machine").
			WithHint("leave tensor_parallel, pipeline_parallel and data_parallel out, or flags.server")
	}
	id, revision := engine.Repository(l.Ref)
	a := engine.NewArgs("omlx", "serve")
	settings := map[string]any{"version": "1.0", "server": map[string]any{"host": l.Host, "port": l.Port}, "scheduler": map[string]any{"max_concurrent_requests": s.seqs}}
	c := &engine.Command{Env: map[string]string{}, Notes: []string{
		"settings of earlier starts are in ~/.omlx/settings.json: the options override them, and the file here has the same",
	}}
	c.Unbounded(s.seqs, s.context)
	if revision != "" {
		c.Unsaid("the revision "+revision, "oMLX serves what is in the cache")
	}
	if l.Load.BatchTokens > 0 {
		c.Unsaid(fmt.Sprintf("batch_tokens %d", l.Load.BatchTokens), "oMLX chooses its prompt steps itself")
	}
	if dir := engine.LocalPath(id); dir != "" {
		a.Set("--model-dir", path.Dir(dir))
		settings["model"] = map[string]any{"model_dirs": []string{path.Dir(dir)}}
		c.Notes = append(c.Notes, "oMLX serves the directories below --model-dir, of which this model is "+path.Base(dir))
	} else {
		c.Notes = append(c.Notes, "oMLX serves "+id+" once it is in the Hugging Face cache or below its --model-dir")
	}
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	a.Set("--max-concurrent-requests", s.seqs)
	cache := map[string]any{"enabled": s.ssd}
	memory := map[string]any{}
	if s.hot > 0 {
		a.Set("--hot-cache-max-size", mb(s.hot))
		cache["hot_cache_max_size"] = mb(s.hot)
	}
	switch {
	case s.ssd:
		a.Set("--paged-ssd-cache-dir", "omlx-cache")
		cache["ssd_cache_dir"] = "omlx-cache"
	case s.hot == 0: // earlier settings may have it on
		a.On("--no-cache", true)
	}
	limit := s.limit
	if s.limitShare > 0 { // the guard takes bytes only
		if limit = 0; len(l.Hardware.Devices) > 0 {
			limit = engine.Bytes(float64(l.Hardware.Devices[0].Total) * s.limitShare)
		} else {
			c.Unsaid(fmt.Sprintf("max_process_memory %v", l.Load.Flags["max_process_memory"]), "--memory-guard-gb takes GB: name the hardware, or give memory_guard_gb")
		}
	}
	switch {
	case limit > 0:
		gb := float64(limit) / float64(engine.GiB)
		a.Set("--memory-guard-gb", gb)
		memory["memory_guard_tier"], memory["memory_guard_custom_ceiling_gb"] = "custom", gb
	case l.Load.Flags["max_process_memory"] == "disabled":
		a.Set("--memory-guard", "off")
	}
	if s.bits > 0 && l.Load.Flags["kv_bits"] == nil {
		c.Unsaid("kv_cache_dtype", "it is a setting of the model in oMLX's administration")
	}
	if err := a.Flags(c, l.Load.Flags, omlxOptions); err != nil {
		return nil, err
	}
	c.Argv = a.Argv
	settings["cache"], settings["memory"] = cache, memory
	b, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return nil, err
	}
	c.Files = map[string]string{"settings.json": string(b) + "\n"}
	return c, nil
}

// mb is a size as oMLX reads it, in whole MiB.
func mb(n engine.Bytes) string { return strconv.FormatInt(int64(n/engine.MiB), 10) + "MB" }
