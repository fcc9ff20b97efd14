package calc

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// Endpoint is where a server that is to be started listens.
type Endpoint struct {
	Host string
	Port int
}

// Launch returns the command that starts the engine as res was planned for
// req; ref is what the engine loads. It returns InvalidArgument for an engine
// that is no program, such as "ideal", and for a load that the engine's options
// cannot express.
func Launch(req Request, res *Result, ref string, at Endpoint) (*engine.Command, error) {
	if err := plainWords(ref, at.Host, res.Load); err != nil {
		return nil, err
	}
	if (strings.HasPrefix(ref, "https://") || strings.HasPrefix(ref, "http://")) && res.Engine != "llama.cpp" {
		return nil, model.Errorf(model.InvalidArgument, "model", "%s does not load a model from an address", res.Engine).
			WithHint("download the file and give its path, or name the repository as org/name")
	}
	for _, e := range engines {
		if e.Name() != res.Engine {
			continue
		}
		l, ok := e.(engine.Launcher)
		if !ok {
			return nil, model.Errorf(model.InvalidArgument, "engine", "%s is no program that can be started", res.Engine).
				WithHint("name an engine, such as vllm or llama.cpp")
		}
		x := engine.Launch{Model: req.Model, Ref: ref, Load: res.Load, Hardware: req.Hardware, Host: at.Host, Port: at.Port}
		c, err := l.Launch(x)
		if err != nil {
			return nil, err
		}
		unused(l, x, req.Load, c)
		return c, nil
	}
	return nil, model.Errorf(model.InvalidArgument, "engine", "there are no rules for %q", res.Engine)
}

// unused notes in c each setting of the caller's that the command does not
// depend on: an engine that has no use for a setting does not refuse it.
func unused(l engine.Launcher, x engine.Launch, given engine.Load, c *engine.Command) {
	for _, f := range []struct {
		set    bool
		what   string
		change func(*engine.Load)
	}{
		{given.TensorParallel > 1, fmt.Sprint("tensor_parallel ", given.TensorParallel), func(l *engine.Load) { l.TensorParallel = 1 }},
		{given.PipelineParallel > 1, fmt.Sprint("pipeline_parallel ", given.PipelineParallel), func(l *engine.Load) { l.PipelineParallel = 1 }},
		{given.DataParallel > 1, fmt.Sprint("data_parallel ", given.DataParallel), func(l *engine.Load) { l.DataParallel = 1 }},
		{given.ExpertParallel, "expert_parallel", func(l *engine.Load) { l.ExpertParallel = false }},
		{given.BatchTokens > 0, fmt.Sprint("batch_tokens ", given.BatchTokens), func(l *engine.Load) { l.BatchTokens *= 2 }},
		{given.MemoryUtilization > 0, fmt.Sprint("gpu_memory_utilization ", given.MemoryUtilization), func(l *engine.Load) { l.MemoryUtilization /= 2 }},
		{given.CPUMoELayers > 0, fmt.Sprint("cpu_moe_layers ", given.CPUMoELayers), func(l *engine.Load) { l.CPUMoELayers = 0 }},
		{given.GPULayers != nil, "gpu_layers", func(l *engine.Load) {
			var n int64
			if *l.GPULayers == 0 {
				n = 1
			}
			l.GPULayers = &n
		}},
		{given.MaxModelLen > 0, fmt.Sprint("max_model_len ", given.MaxModelLen), func(l *engine.Load) { l.MaxModelLen *= 2 }},
	} {
		if !f.set {
			continue
		}
		other := x
		f.change(&other.Load)
		if got, err := l.Launch(other); err == nil && same(c, got) {
			c.Notes = append(c.Notes, f.what+" makes no difference to this command")
		}
	}
}

// same reports whether two commands say the same, but for notes that one has
// beyond those of the other.
func same(c, other *engine.Command) bool {
	n := min(len(c.Notes), len(other.Notes))
	return slices.Equal(c.Argv, other.Argv) && maps.Equal(c.Env, other.Env) && maps.Equal(c.Files, other.Files) && slices.Equal(c.Notes[:n], other.Notes)
}

// plainWords refuses texts that an engine would read as something else than
// the value they stand for: an option, or several lines.
func plainWords(ref, host string, l engine.Load) error {
	texts := map[string]string{"model": ref, "host": host, "weights": l.Weights, "kv_cache_dtype": l.KVCacheType}
	for name, v := range l.Flags {
		if s, ok := v.(string); ok {
			texts["flags."+name] = s
		}
	}
	for _, field := range slices.Sorted(maps.Keys(texts)) {
		s := texts[field]
		// What follows the prefix of a reference, begins its revision or is
		// its file's name may come to stand alone.
		dashed := strings.HasPrefix(s, "-") || strings.Contains(s, ":-") || strings.Contains(s, "@-") || strings.Contains(s, "/-")
		if dashed || strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) {
			return model.Errorf(model.InvalidArgument, field, "%q cannot stand on a command line", s).
				WithHint("give a value that does not begin with - and has no control characters; reach a file that is named so by a link")
		}
	}
	return nil
}
