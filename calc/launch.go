package calc

import (
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
