package lmstudio

import (
	"fmt"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/quant"
)

// options are the flags that Launch writes. The others are settings of the
// model in LM Studio itself.
var options = map[string]engine.Option{"runtime": {}, "n_ctx": {}, "n_parallel": {}}

// Launch returns the command that loads the model into LM Studio's server,
// which is a daemon of its own.
func (s studio) Launch(l engine.Launch) (*engine.Command, error) {
	e, _, err := s.choose(l.Model, l.Load)
	if err != nil {
		return nil, err
	}
	if !quant.StoredAs(l.Model, l.Load.Weights) {
		return nil, engine.NotLoadable("LM Studio", l.Load.Weights)
	}
	slots, err := l.Load.Flags.Int("n_parallel", l.Load.Sequences)
	if err != nil {
		return nil, err
	}
	tokens, err := l.Load.Flags.Int("n_ctx", l.Load.ContextTokens*l.Load.Sequences)
	if err != nil {
		return nil, err
	}
	a := engine.NewArgs("lms", "load", strings.TrimPrefix(l.Ref, "lmstudio:"))
	a.Set("-c", tokens)
	a.Set("--parallel", slots)
	gpu := "max"
	if n := l.Load.GPULayers; n != nil {
		gpu = "off"
		if all := int64(len(l.Model.Layers)) + 1; *n > 0 {
			gpu = share(*n, all)
		}
	}
	a.Set("--gpu", gpu)
	a.On("-y", true)
	c := &engine.Command{Env: map[string]string{}, Notes: []string{
		"the server is started before: lms daemon up, then lms server start --port " + strconv.Itoa(l.Port) + " --bind " + l.Host,
		"lms load --estimate-only prints LM Studio's own estimate for the same options",
		"LM Studio's " + runtimeOf(s, e) + " runtime was planned",
	}}
	if gpu != "max" && gpu != "off" {
		c.Notes = append(c.Notes, fmt.Sprintf("--gpu takes a part of the layers, of which LM Studio makes a count: %d were planned on the device", *l.Load.GPULayers))
	}
	const why = "it is a setting of the model in LM Studio (My Models, or load in its SDK)"
	if t := l.Load.KVCacheType; t != "" && t != "auto" {
		c.Unsaid("kv_cache_dtype "+t, why)
	}
	if l.Load.BatchTokens > 0 {
		c.Unsaid("batch_tokens "+strconv.FormatInt(l.Load.BatchTokens, 10), why)
	}
	if l.Load.CPUMoELayers > 0 {
		c.Unsaid("cpu_moe_layers "+strconv.FormatInt(l.Load.CPUMoELayers, 10), why)
	}
	if err := a.Flags(c, l.Load.Flags, options); err != nil {
		return nil, err
	}
	c.Argv = a.Argv
	return c, nil
}

// share is the part of the layers on the device, as lms takes it.
func share(n, all int64) string {
	return strconv.FormatFloat(min(1, float64(n)/float64(all)), 'f', 2, 64)
}
