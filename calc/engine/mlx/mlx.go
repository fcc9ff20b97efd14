// Package mlx holds the memory rules of MLX's language-model servers: mlx-lm,
// oMLX and LM Studio's MLX runtime. They share weights, caches and kernels
// and differ in what they load, batch and refuse.
//
// Rules are from mlx-lm (models/cache.py, generate.py, server.py) and MLX's
// Metal attention; they were checked against peaks that users measured and
// against what LM Studio's runtime prints (testdata/observations/mlx.jsonl).
package mlx

import (
	"fmt"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// mlx is MLX behind one of its servers.
type mlx struct {
	name string
	// server is the one planned for when the load names none.
	server string
}

// New returns MLX under mlx-lm, or under oMLX by the flag server.
func New() engine.Engine { return mlx{name: "mlx", server: serverLM} }

// LMStudio returns the MLX runtime of LM Studio.
func LMStudio() engine.Engine { return mlx{name: "lmstudio", server: serverLMStudio} }

// Name returns the engine's name on the public surface.
func (e mlx) Name() string { return e.name }

// Flags lists the switches by the servers' own names.
func (mlx) Flags() []string { return flags }

// Preallocates is false: caches grow with tokens.
func (mlx) Preallocates() bool { return false }

// Alternatives lists MLX's quantizations with fewer bits than the checkpoint
// has, and its quantized caches.
func (mlx) Alternatives(m *model.Model) (weights, cacheTypes []string) {
	now, err := quant.AsStored(m)
	if err != nil {
		return nil, nil
	}
	for _, name := range [...]string{"mlx-8bit", "mlx-6bit", "mlx-5bit", "mlx-4bit", "mlx-3bit"} {
		// Fewer by half a bit: headers do not say their bits and list all.
		if s, err := quant.Parse(name); err == nil && (now.Bits() == 0 || s.Bits() < now.Bits()-0.5) {
			weights = append(weights, name)
		}
	}
	return weights, []string{"mlx-8bit", "mlx-4bit"}
}

// Offloads is false: there is one memory, and nothing smaller to move to.
func (mlx) Offloads() bool { return false }

// Plan sizes the load. It returns *model.Error for a model or a setting that
// the server refuses.
func (e mlx) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	u := &engine.Usage{Engine: e.name, Devices: shard.Devices(load)}
	s, err := e.settingsFor(m, load, u)
	if err != nil {
		return nil, err
	}
	if err := supported(m); err != nil {
		return nil, err
	}
	stored, err := s.stored(m, load.Weights, u)
	if err != nil {
		return nil, err
	}
	ranks, err := shard.Ranks(m, load)
	if err != nil {
		return nil, err
	}
	w := shard.Weights{Stored: stored, NoTowers: !s.towers, ExpertParallel: load.ExpertParallel}
	for _, r := range ranks {
		p := &planner{settings: s, m: m, r: r, layers: r.LayersOf(m)}
		p.now = p.sequence(m, p.layers, r.TP, s.context, s.generated)
		u.Terms = append(u.Terms, w.Term(m, r))
		u.Terms = append(u.Terms, p.cacheTerms()...)
		u.Terms = append(u.Terms, hw.Correct(e.name, &load, p.workTerms())...)
		u.Terms = append(u.Terms, hw.Correct(e.name, &load, p.runtimeTerms())...)
		u.Cache = p.fullest(u.Cache)
	}
	u.LayerWeights, u.LayerCache = w.ByLayer(m), s.byLayer(m, load)
	for _, d := range hw.Devices[:min(u.Devices, len(hw.Devices))] {
		u.Budgets = append(u.Budgets, s.budget(d))
	}
	s.capacity(m, u, hw)
	s.notes(m, u, hw)
	return u, nil
}

// supported refuses what the servers have no code for.
func supported(m *model.Model) error {
	switch {
	case m.Format == model.FormatGGUF:
		return model.Errorf(model.InvalidArgument, "engine", "MLX's servers do not run GGUF files").
			WithHint("name the model's MLX or Hugging Face repository, or plan with llama.cpp")
	case m.EncDec:
		return model.Errorf(model.UnsupportedArchitecture, "model_type", "mlx-lm runs decoders only, and %q has an encoder", m.Type).
			WithHint("plan with transformers")
	case len(m.Layers) == 0 || m.Hidden <= 0:
		return model.Errorf(model.UnsupportedArchitecture, "num_hidden_layers", "the description has no layers")
	}
	return nil
}

// stored returns the weights' sizes as MLX keeps them. Block-scaled fp8 is
// widened to bf16 as it is loaded.
func (s *settings) stored(m *model.Model, name string, u *engine.Usage) ([]quant.Stored, error) {
	scheme, err := quant.For(m, name)
	if err != nil {
		return nil, err
	}
	n := scheme.Name()
	switch {
	case strings.HasPrefix(n, "fp8"), m.Exact && m.Quant != nil && strings.HasPrefix(m.Quant.Method, "fp8") && n == "auto":
		u.Assume("weights", "bf16", "MLX widens fp8 weights to bf16 as it loads them")
		m := *m
		m.Exact, m.Quant = false, nil
		return shard.Stored(&m, "bf16")
	case foreign(n):
		e := model.Errorf(model.InvalidArgument, "weights", "MLX's servers do not load %s weights", n)
		e.Candidates = []string{"mlx-4bit", "mlx-8bit", "bf16"}
		return nil, e.WithHint("use one of the candidates")
	}
	return scheme.Assign(m)
}

// foreign reports schemes that MLX has no kernels for.
func foreign(name string) bool {
	if _, err := quant.GGUF(name); err == nil && strings.ToUpper(name) == name && strings.ContainsAny(name, "_") {
		return true
	}
	for _, p := range [...]string{"nf4", "bnb", "exl", "hqq", "w8a8", "int8"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// notes says what the figures leave out and what to know.
func (s *settings) notes(m *model.Model, u *engine.Usage, hw engine.Hardware) {
	note := func(format string, args ...any) { u.Notes = append(u.Notes, fmt.Sprintf(format, args...)) }
	note("MLX keeps freed buffers for reuse on top of this (4.0 GB were measured once, 22.8 GB before mlx-lm cleared them after each prompt chunk) and gives them back when memory runs short")
	if !m.Causal && s.server == serverLM {
		note("mlx-lm generates text only; encoders run under oMLX or mlx-embeddings, with these weights")
	}
	if m.Multimodal && !s.towers {
		note("mlx-lm drops image and audio towers; set flags.vision for a server that loads them")
	}
	if s.bits > 0 && s.seqs > 1 && s.server == serverLM {
		note("mlx_lm.generate quantizes the cache of one sequence; mlx_lm.server has no such option")
	}
	if s.bits > 0 {
		if s.slides(m) {
			note("rotating caches of sliding layers cannot be quantized and stay in 16 bits; mlx-lm itself stops at them")
		}
		note("attention over a quantized cache is not fused: its scores are part of the workspace, so the peak can rise although the cache shrinks")
	}
	if s.ssd {
		note("blocks of %d tokens go to disk, %s for each sequence of the load, and are read back on a hit; they take no memory while they lie there",
			s.blockTokens, engine.Bytes(int64(u.Cache.PerSequence)))
	}
	var weights engine.Bytes
	for i := range u.Terms {
		if t := &u.Terms[i]; t.Category == engine.Weights && len(t.On) > 0 && t.On[0] == 0 {
			weights += t.Bytes
		}
	}
	if len(hw.Devices) > 0 && weights > hw.Devices[0].Usable/10*9 {
		note("weights take more than nine tenths of what Metal may wire, which makes generation slow; sysctl iogpu.wired_limit_mb raises the limit until the next start")
	}
	if u.Devices > 1 {
		note("several machines are joined by mlx.launch; its buffers are not measured")
	}
}

// count writes a number into an assumption.
func count(n int64) string { return strconv.FormatInt(n, 10) }
