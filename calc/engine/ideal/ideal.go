// Package ideal plans for an engine without overhead: stored weights, and a
// cache that holds exactly the tokens there are. It is the floor that real
// engines are measured against (MATH of attention and state kinds only, no
// pages, no padding, no workspace).
package ideal

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
)

// New returns the ideal engine.
func New() engine.Engine { return ideal{} }

// Name is the engine's name on the public surface.
const Name = "ideal"

type ideal struct{}

var flags = []string{"mamba_ssm_cache_dtype", "speculative"}

// Name returns "ideal".
func (ideal) Name() string { return Name }

// Flags lists the state type and whether MTP layers are loaded.
func (ideal) Flags() []string { return flags }

// Preallocates is false: memory is taken as tokens come.
func (ideal) Preallocates() bool { return false }

// Plan sizes weights, cache and state on each rank.
func (e ideal) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	if err := load.Flags.Check(e.Name(), flags); err != nil {
		return nil, err
	}
	stored, err := shard.Stored(m, load.Weights)
	if err != nil {
		return nil, err
	}
	types, err := shard.CacheTypes(m, load)
	if err != nil {
		return nil, err
	}
	mtp, err := load.Flags.Bool("speculative", false)
	if err != nil {
		return nil, err
	}
	if m.Role == model.RolePipeline {
		return e.pipeline(m, stored, load, hw)
	}
	ranks, err := shard.Ranks(m, load)
	if err != nil {
		return nil, err
	}
	u := e.usage(shard.Devices(load), hw)
	w := shard.Weights{Stored: stored, ExpertParallel: load.ExpertParallel, MTP: mtp}
	for _, r := range ranks {
		u.Terms = append(u.Terms, w.Term(m, r))
		u.Terms = append(u.Terms, cacheTerms(types, m, load, r)...)
	}
	u.Cache = summary(types, m, load)
	u.LayerWeights, u.LayerCache = w.ByLayer(m), types.ByLayer(m, load)
	u.Stored = stored
	return u, nil
}

// usage starts an answer for a number of devices.
func (e ideal) usage(devices int, hw engine.Hardware) *engine.Usage {
	return &engine.Usage{Engine: e.Name(), Devices: devices, Budgets: shard.Budgets(devices, hw)}
}
