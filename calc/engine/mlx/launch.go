package mlx

import (
	"encoding/json"
	"strings"

	"hwledger/calc/engine"
)

// Launch returns the command of mlx-lm's server, or that of oMLX with its
// settings as JSON.
func (e mlx) Launch(l engine.Launch) (*engine.Command, error) {
	s, err := e.settingsFor(l.Model, l.Load, &engine.Usage{})
	if err != nil {
		return nil, err
	}
	if !engine.Stored(l.Load.Weights) && (l.Model.Quant == nil || !strings.HasPrefix(l.Model.Quant.Method, "mlx")) {
		return nil, engine.NotLoadable("MLX", l.Load.Weights)
	}
	if s.server == serverOMLX {
		return s.omlx(l)
	}
	id, _ := engine.Repository(l.Ref)
	a := engine.NewArgs("mlx_lm.server")
	a.Set("--model", id)
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	a.Set("--decode-concurrency", s.seqs)
	a.Set("--prompt-concurrency", s.prompts)
	a.Set("--prefill-step-size", s.step)
	if s.prompt > 0 {
		a.Set("--prompt-cache-bytes", int64(s.prompt))
	}
	c := &engine.Command{Argv: a.Argv, Env: map[string]string{}, Notes: []string{"the server has no option for the context: a request that is longer than planned takes more"}}
	if s.bits > 0 {
		c.Notes = append(c.Notes, "the server has no option for a quantized cache; mlx_lm.generate has --kv-bits")
	}
	return c, nil
}

// omlx is the command of oMLX. Its settings persist, so that everything that
// changes memory is said.
func (s *settings) omlx(l engine.Launch) (*engine.Command, error) {
	id, _ := engine.Repository(l.Ref)
	a := engine.NewArgs("omlx", "serve")
	a.Set("--model-dir", id)
	a.Set("--host", l.Host)
	a.Set("--port", l.Port)
	a.Set("--max-concurrent-requests", s.seqs)
	config := map[string]any{"model_dir": id, "host": l.Host, "port": l.Port, "max_concurrent_requests": s.seqs}
	for _, name := range []string{"max_process_memory", "hot_cache_max_size", "memory_guard_gb"} {
		if v, ok := l.Load.Flags[name]; ok {
			a.Set("--"+strings.ReplaceAll(name, "_", "-"), v)
			config[name] = v
		}
	}
	if s.ssd {
		a.Set("--paged-ssd-cache-dir", "omlx-cache")
		config["paged_ssd_cache_dir"] = "omlx-cache"
	}
	b, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, err
	}
	return &engine.Command{Argv: a.Argv, Env: map[string]string{}, Files: map[string]string{"omlx.json": string(b) + "\n"},
		Notes: []string{"oMLX keeps settings of earlier starts in its own settings.json; the options override them"}}, nil
}
