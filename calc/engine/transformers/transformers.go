// Package transformers holds the memory rules of Hugging Face transformers'
// generate(): what from_pretrained loads, what each cache class keeps, what a
// prompt that is read in one pass makes, and what PyTorch holds beside it.
//
// Rules are from transformers' cache_utils.py, generation/utils.py and
// integrations/sdpa_attention.py; no recorded logs stand behind this engine,
// so its workspace is derived and wide.
package transformers

import (
	"fmt"

	"hwledger/calc/engine"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// New returns transformers.
func New() engine.Engine { return hf{} }

type hf struct{}

// Name returns "transformers".
func (hf) Name() string { return "transformers" }

// Flags lists the arguments by transformers' own names.
func (hf) Flags() []string { return flags }

// Preallocates is false: even a static cache is as large as the load asks for.
func (hf) Preallocates() bool { return false }

// SplitsLayers reports that device_map spreads layers over more devices.
func (hf) SplitsLayers() bool { return true }

// Offloads reports that device_map can leave layers in system memory.
func (hf) Offloads() bool { return true }

// Alternatives lists what bitsandbytes makes as it loads, and the quantized
// cache of models that may have one.
func (hf) Alternatives(m *model.Model) (weights, cacheTypes []string) {
	now, err := quant.AsStored(m)
	if err != nil {
		return nil, nil
	}
	for _, name := range [...]string{"bnb-int8", "nf4"} {
		if s, err := quant.Parse(name); err == nil && s.Bits() < now.Bits()-1 {
			weights = append(weights, name)
		}
	}
	if quantizable(m) {
		cacheTypes = []string{"int4"}
	}
	return weights, cacheTypes
}

// Plan sizes the load. It returns *model.Error for a setting that transformers
// refuses.
func (e hf) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	u := &engine.Usage{Engine: e.Name()}
	s, err := settingsFor(m, load, hw, u)
	if err != nil {
		return nil, err
	}
	if len(m.Layers) == 0 || m.Hidden <= 0 {
		return nil, model.Errorf(model.UnsupportedArchitecture, "num_hidden_layers", "the description has no layers")
	}
	stored, err := s.stored(m, load.Weights)
	if err != nil {
		return nil, err
	}
	given := load
	load.PipelineParallel = s.stages
	ranks, err := shard.Ranks(m, load)
	if err != nil {
		return nil, err
	}
	u.Devices = shard.Devices(load)
	w := shard.Weights{Stored: stored, ExpertParallel: load.ExpertParallel}
	for _, r := range ranks {
		p := &planner{settings: s, m: m, r: r, layers: r.LayersOf(m)}
		u.Terms = append(u.Terms, p.weightTerms(w)...)
		u.Terms = append(u.Terms, p.cacheTerms()...)
		u.Terms = append(u.Terms, p.workTerms()...)
		p.addRuntime(u, hw)
		u.Cache = p.fullest(u.Cache)
	}
	hw.Correct(e.Name(), &given, u.Terms)
	u.LayerWeights, u.LayerCache = w.ByLayer(m), s.byLayer(m)
	u.Budgets = shard.Budgets(u.Devices, hw)
	s.notes(m, u)
	return u, nil
}

// stored returns the weights' sizes in the dtype that from_pretrained is given.
// Quantized tensors keep their type, but for those of a GGUF; the others are cast
// to it.
func (s *settings) stored(m *model.Model, name string) ([]quant.Stored, error) {
	if s.scheme != "" {
		name = s.scheme
	}
	out, err := shard.Stored(m, name)
	if err == nil && m.Format == model.FormatGGUF {
		for i := range out {
			out[i] = quant.Stored{Type: s.dtype, Bytes: m.Tensors[i].Elems() * s.elem}
		}
		return out, nil
	}
	if err != nil || s.width == 0 || s.scheme != "" || name != "" && name != "auto" {
		return out, err
	}
	for i := range out {
		if st := &out[i]; !st.Quantized {
			st.Bytes, st.Type = m.Tensors[i].Elems()*s.width, s.dtype
		}
	}
	return out, nil
}

// notes says what the figures assume.
func (s *settings) notes(m *model.Model, u *engine.Usage) {
	note := func(format string, args ...any) { u.Notes = append(u.Notes, fmt.Sprintf(format, args...)) }
	if m.Format == model.FormatGGUF {
		note("transformers widens GGUF weights to its dtype as it loads them")
	}
	if !s.lastLogits && m.Causal {
		note("logits are made for the whole prompt; generate() of 4.45 and later makes those of the last token only")
	}
	if s.attention == "eager" {
		note("eager attention makes scores of prompt × prompt; attn_implementation sdpa or flash_attention_2 does not")
	}
	if s.hostLayers(m) > 0 {
		note("layers in system memory are copied to the device each time they run, which makes generation as slow as the bus")
	}
	if s.scheme != "" {
		note("quantizing as it loads needs room for one unquantized shard in system memory")
	}
}
