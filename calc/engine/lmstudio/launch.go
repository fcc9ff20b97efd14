package lmstudio

import (
	"strconv"
	"strings"

	"hwledger/calc/engine"
)

// Launch returns the command that loads the model into LM Studio's server,
// which is a daemon of its own.
func (s studio) Launch(l engine.Launch) (*engine.Command, error) {
	if !engine.Stored(l.Load.Weights) {
		return nil, engine.NotLoadable("LM Studio", l.Load.Weights)
	}
	a := engine.NewArgs("lms", "load", strings.TrimPrefix(l.Ref, "lmstudio:"))
	a.Set("-c", l.Load.ContextTokens*l.Load.Sequences)
	a.Set("--parallel", l.Load.Sequences)
	gpu := "max"
	if n := l.Load.GPULayers; n != nil {
		gpu = "off"
		if all := int64(len(l.Model.Layers)) + 1; *n > 0 {
			gpu = share(*n, all)
		}
	}
	a.Set("--gpu", gpu)
	a.On("-y", true)
	return &engine.Command{Argv: a.Argv, Env: map[string]string{},
		Notes: []string{
			"the server is started before: lms daemon up, then lms server start --bind " + l.Host,
			"lms load --estimate-only prints LM Studio's own estimate for the same options",
		}}, nil
}

// share is the part of the layers on the device, as lms takes it.
func share(n, all int64) string {
	return strconv.FormatFloat(min(1, float64(n)/float64(all)), 'f', 2, 64)
}
