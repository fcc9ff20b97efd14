package calc

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/ideal"
	"hwledger/calc/model"
)

// runnable refuses what no engine loads on its own, and pipelines for all
// engines but those that say they run them.
func runnable(m *model.Model, e engine.Engine) error {
	refuse := func(format string, args ...any) *model.Error {
		return model.Errorf(model.UnsupportedArchitecture, "model", format, args...)
	}
	switch m.Role {
	case model.RoleProjector:
		return refuse("this is a vision or audio projector (mmproj), which runs beside a language model and not on its own").
			WithHint("plan the language model's file; lookup_model on this one says what it adds")
	case model.RoleAdapter:
		return refuse("this is an adapter (LoRA) whose base model could not be described").
			WithHint("plan the base model that lookup_model names; an adapter adds no more than its own bytes to it")
	case model.RoleDraft:
		if e.Name() != ideal.Name {
			return refuse("this is a draft model of speculative decoding, which %s runs inside a target model", e.Name()).
				WithHint("plan the target model; engine \"ideal\" gives the draft's own weights and cache")
		}
	case model.RolePipeline:
		if p, ok := e.(interface{ Pipelines() bool }); !ok || !p.Pipelines() {
			return refuse("%s is a diffusion pipeline, which %s does not run: it has no decoder layers", m.Architecture, e.Name()).
				WithHint("use engine \"ideal\", which gives the weights of each part")
		}
	}
	return nil
}
