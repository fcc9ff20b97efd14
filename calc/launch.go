package calc

import (
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
		return l.Launch(engine.Launch{Model: req.Model, Ref: ref, Load: res.Load, Hardware: req.Hardware, Host: at.Host, Port: at.Port})
	}
	return nil, model.Errorf(model.InvalidArgument, "engine", "there are no rules for %q", res.Engine)
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
