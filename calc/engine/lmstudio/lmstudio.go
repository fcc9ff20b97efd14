// Package lmstudio plans for LM Studio, which runs GGUF files with its own
// build of llama.cpp and MLX repositories with its MLX runtime. It holds what
// LM Studio chooses; the memory rules are those of the two engines.
package lmstudio

import (
	"maps"
	"slices"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// Name is the engine's name on the public surface.
const Name = "lmstudio"

// studio is LM Studio over its runtimes.
type studio struct{ gguf, mlx engine.Engine }

// New returns LM Studio over its builds of llama.cpp and MLX.
func New(gguf, mlx engine.Engine) engine.Engine { return studio{gguf, mlx} }

// Name returns "lmstudio".
func (studio) Name() string { return Name }

// runtimeFlag chooses the runtime.
const runtimeFlag = "runtime"

// Flags lists the choice of runtime and the switches of both.
func (s studio) Flags() []string {
	out := append([]string{runtimeFlag}, s.gguf.Flags()...)
	for _, f := range s.mlx.Flags() {
		if f != "server" && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

// Preallocates is false: both runtimes take what the load needs.
func (studio) Preallocates() bool { return false }

// SplitsLayers reports that more devices hold more layers.
func (studio) SplitsLayers() bool { return true }

// Offloads reports that layers can stay on the host, with the llama.cpp
// runtime.
func (studio) Offloads() bool { return true }

// Alternatives lists those of the runtime that the model's format needs.
func (s studio) Alternatives(m *model.Model) (weights, cacheTypes []string) {
	e := s.gguf
	if isMLX(m) {
		e = s.mlx
	}
	if a, ok := e.(engine.Advisor); ok {
		return a.Alternatives(m)
	}
	return nil, nil
}

// Plan chooses the runtime and plans with its rules.
func (s studio) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	if err := load.Flags.Check(Name, s.Flags()); err != nil {
		return nil, err
	}
	e, why, err := s.choose(m, load)
	if err != nil {
		return nil, err
	}
	load.Flags = maps.Clone(load.Flags)
	delete(load.Flags, runtimeFlag)
	for name := range load.Flags {
		if !slices.Contains(e.Flags(), name) {
			return nil, model.Errorf(model.InvalidArgument, "flags."+name, "LM Studio's %s runtime has no such switch", runtimeOf(s, e)).
				WithHint("leave it out, or set flags.runtime to the other runtime")
		}
	}
	u, err := e.Plan(m, load, hw)
	if err != nil {
		return nil, err
	}
	u.Engine = Name
	u.Assume("flags.runtime", runtimeOf(s, e), why)
	if _, ok := load.Flags["swa_full"]; !ok && e == s.gguf {
		u.Assume("flags.swa_full", "true", "LM Studio's logs of 2025 say that sliding layers have caches of full size; newer builds may not")
	}
	u.Notes = append(u.Notes, "LM Studio shows an estimate of its own before it loads (lms load --estimate-only); users report it high for hybrid and sliding-window models")
	return u, nil
}

func runtimeOf(s studio, e engine.Engine) string {
	if e == s.mlx {
		return "mlx"
	}
	return "llama.cpp"
}

// choose returns the runtime by the flag, else by how the weights are stored.
func (s studio) choose(m *model.Model, load engine.Load) (engine.Engine, string, error) {
	want, err := load.Flags.String(runtimeFlag, "")
	if err != nil {
		return nil, "", err
	}
	switch strings.ToLower(want) {
	case "mlx", "mlx-llm":
		return s.mlx, "as given", nil
	case "llama.cpp", "gguf":
		return s.gguf, "as given", nil
	case "":
	default:
		bad := model.Errorf(model.InvalidArgument, "flags."+runtimeFlag, "LM Studio has no runtime %q", want)
		bad.Candidates = []string{"llama.cpp", "mlx"}
		return nil, "", bad.WithHint("use one of the candidates")
	}
	if isMLX(m) || strings.HasPrefix(strings.ToLower(load.Weights), "mlx") {
		return s.mlx, "the weights are MLX's", nil
	}
	return s.gguf, "LM Studio offers most models as GGUF files", nil
}

// isMLX reports a checkpoint that MLX stored.
func isMLX(m *model.Model) bool { return m.Quant != nil && strings.HasPrefix(m.Quant.Method, "mlx") }
