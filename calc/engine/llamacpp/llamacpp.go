// Package llamacpp holds llama.cpp's memory rules: what its context, caches,
// graph allocator and tensor placement take, by version. Ollama, which starts
// llama.cpp with other defaults, is a variant.
//
// The rules were read from llama.cpp v0.5.0 and checked against the sizes that
// v0.5.0 and 0.7.0 reported (testdata/llamacpp).
package llamacpp

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// llama is llama.cpp started by one of its programs.
type llama struct {
	name string
	// The program's defaults.
	batch            int64
	unified, swaFull bool
	// slots are those that the program opens by itself, whose sequences share
	// the context; 0 for one for each sequence.
	slots int64
	// oneBatch: the batch is evaluated whole, so that there is one number for
	// both.
	oneBatch bool
	// trained: no context is longer than the model was trained for.
	trained bool
	// inside finds the llama.cpp in a release of the program; nil when
	// Load.Version is llama.cpp's own.
	inside func(release string) (inside, error)
}

// New returns llama.cpp as llama-server starts it with a given number of
// slots (-np): each has its share of the cache.
func New() engine.Engine { return &llama{name: "llama.cpp", batch: 2048} }

// Name returns the engine's name on the public surface.
func (e *llama) Name() string { return e.name }

// Preallocates reports false: llama.cpp takes what the load needs.
func (*llama) Preallocates() bool { return false }

// SplitsLayers reports that more devices hold more layers, not more
// tensor-parallel ranks.
func (*llama) SplitsLayers() bool { return true }

// Offloads reports that layers and experts can stay on the host.
func (*llama) Offloads() bool { return true }

// Alternatives lists the mixes and cache types worth trying, best first.
func (*llama) Alternatives(*model.Model) (weights, cacheTypes []string) {
	return []string{"Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"}, []string{"q8_0", "q4_0"}
}

// Plan sizes the load. It returns *model.Error when llama.cpp would refuse the
// model or a setting.
func (e *llama) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	u := &engine.Usage{Engine: e.name}
	if err := supported(m); err != nil {
		return nil, err
	}
	s, err := e.settingsFor(m, load, hw, u)
	if err != nil {
		return nil, err
	}
	u.Version = s.rules.version
	if e.inside != nil {
		u.Version = load.Version
	} else if load.Version == "" {
		u.Assume("engine_version", s.rules.version, "the newest known")
	}
	if err := refuseStart(m, s); err != nil {
		return nil, err
	}
	if err := s.fillCache(m); err != nil {
		return nil, err
	}
	p := &planner{e: e, m: m, s: s, load: load, hw: hw, u: u}
	if err := p.plan(); err != nil {
		return nil, err
	}
	return u, nil
}

// supported refuses models that llama.cpp has no architecture for.
func supported(m *model.Model) error {
	if m.Arch == "" {
		return model.Errorf(model.UnsupportedArchitecture, "model_type", "llama.cpp has no architecture for %q", m.Type).
			WithHint("plan with another engine, or from a GGUF file")
	}
	if len(m.Layers) == 0 || m.Hidden <= 0 || m.Vocab < 0 {
		return model.Errorf(model.UnsupportedArchitecture, "num_hidden_layers", "the description has no layers")
	}
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if x.Kind() == model.KindRGLRU {
				return model.Errorf(model.UnsupportedArchitecture, "model_type", "llama.cpp has no %s layers", x.Kind())
			}
		}
	}
	return nil
}

// refuseStart refuses settings on which the engine is known to abort.
func refuseStart(m *model.Model, s *settings) error {
	if s.nOutputs < s.nSeq {
		return model.Errorf(model.InvalidArgument, "flags.n_outputs_max", "llama.cpp aborts with fewer logits rows (%d) than sequences (%d)", s.nOutputs, s.nSeq).
			WithHint("set n_outputs_max to %d or more, or to 0 for the whole batch", s.nSeq)
	}
	q := quirksOf(m.Arch)
	if !q.diagOneSeq || s.nUBatch%s.nSeq == 0 {
		return nil
	}
	return model.Errorf(model.InvalidArgument, "sequences", "llama.cpp aborts on %s when n_ubatch (%d) is not a multiple of the sequences (%d)", m.Arch, s.nUBatch, s.nSeq).
		WithHint("make n_ubatch a multiple of %d", s.nSeq)
}
