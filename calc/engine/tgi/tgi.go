// Package tgi plans memory as Hugging Face's text-generation-inference
// allocates it: weights cut over shards, one pool of cache blocks sized after
// a warm-up of the largest prefill, CUDA graphs after the pool. Sources are
// its release tags up to 3.3.7.
package tgi

import (
	"slices"

	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
)

// New returns the TGI engine.
func New() engine.Engine { return tgi{} }

type tgi struct{}

// Name returns "tgi".
func (tgi) Name() string { return "tgi" }

// Flags lists TGI's switches that change memory.
func (tgi) Flags() []string { return slices.Clone(flags) }

// Preallocates is true: what the warm-up leaves becomes cache.
func (tgi) Preallocates() bool { return true }

// Alternatives lists what TGI makes while loading, and its smaller cache.
func (tgi) Alternatives(m *model.Model) (weights, cacheTypes []string) {
	if m.Quant == nil {
		weights = []string{"fp8", "nf4"}
	}
	return weights, []string{"fp8"}
}

// Offloads is false: what does not fit on the devices does not start.
func (tgi) Offloads() bool { return false }

// Plan sizes the load. It returns *model.Error for models that TGI does not
// serve and settings that it refuses.
func (e tgi) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	if err := load.Flags.Check(e.Name(), flags); err != nil {
		return nil, err
	}
	k, err := kindOf(m)
	if err != nil {
		return nil, err
	}
	u := &engine.Usage{Engine: e.Name()}
	s, err := resolve(m, load, hw, u)
	if err != nil {
		return nil, err
	}
	if v := vendor(hw); v == "apple" || v == "cpu" {
		return nil, model.Errorf(model.InvalidArgument, "hardware", "TGI serves no %s devices", v).WithHint("plan with llama.cpp")
	}
	if k == recurrent && s.tp > 1 {
		return nil, model.Errorf(model.InvalidArgument, "tensor_parallel", "TGI does not shard Mamba")
	}
	stored, err := shard.Stored(m, s.weights)
	if err != nil {
		return nil, err
	}
	ranks, err := shard.Ranks(m, load)
	if err != nil {
		return nil, err
	}
	r := ranks[0]
	u.Devices = shard.Devices(load)
	u.Stored = stored
	w := shard.Weights{Stored: stored}
	u.Terms = append(u.Terms, w.Term(m, r))
	u.Terms = append(u.Terms, s.edges(m, w, r)...)
	u.Terms = append(u.Terms, hw.Correct(e.Name(), &load, s.reserved(m, r))...)
	u.LayerWeights = w.ByLayer(m)
	switch k {
	case pagedCache:
		s.pages(m, r, u, hw)
	case recurrent:
		s.states(m, r, u)
	case grown:
		if err := s.grow(m, load, r, u); err != nil {
			return nil, err
		}
	}
	if u.Budgets == nil {
		for i := range min(u.Devices, len(hw.Devices)) {
			u.Budgets = append(u.Budgets, engine.Bytes(float64(hw.Devices[i].Total)*s.fraction))
		}
	}
	s.notes(m, load, u)
	return u, nil
}

func vendor(hw engine.Hardware) string {
	if len(hw.Devices) == 0 {
		return ""
	}
	return hw.Devices[0].Vendor
}

// edges are what the vocabulary's two matrices take beside their shares.
func (s *settings) edges(m *model.Model, w shard.Weights, r shard.Rank) []engine.Term {
	var out []engine.Term
	add := func(name, formula string, n int64) {
		if n > 0 {
			out = append(out, engine.Term{
				Name: name, Category: engine.Weights, Bytes: engine.Bytes(n), On: r.On, Confidence: engine.Derived, Formula: formula,
				Inputs: []engine.Input{{Name: "vocab_size", Value: m.Vocab, From: "config.json"}, {Name: "hidden_size", Value: m.Hidden, From: "config.json"}},
				Source: "TGI layers/tensor_parallel.py",
			})
		}
	}
	add("embedding's null row", "hidden × 2", 2*m.Hidden)
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if t.Group != model.Text || t.Layer >= 0 {
			continue
		}
		whole, share := w.Stored[i].Bytes, paged.CeilDiv(w.Stored[i].Bytes, s.tp)
		switch {
		case t.Part == model.Head && s.tp > 1 && t.Out%s.tp != 0:
			add("whole output projection", "vocabulary that shards do not divide: every shard holds all rows", whole-share)
		case t.Part == model.Embedding && m.Tied && t.Split == model.ByVocab && t.Out == m.Vocab && s.tp > 1 && t.Out%s.tp != 0:
			add("output projection", "tied weights are loaded a second time", whole)
		case t.Part == model.Embedding && m.Tied && t.Split == model.ByVocab && t.Out == m.Vocab:
			add("output projection", "tied weights are loaded a second time: vocabulary ÷ shards × hidden × dtype bytes", share)
		}
	}
	return out
}

// notes says in words what a reader of the plan should know.
func (s *settings) notes(m *model.Model, load engine.Load, u *engine.Usage) {
	u.Notes = append(u.Notes, "TGI is in maintenance mode; its authors point to vLLM, SGLang, llama.cpp and MLX")
	if !slices.Contains(ownCode, m.Type) {
		u.Notes = append(u.Notes, "TGI has no code of its own for "+m.Type+" and falls back to transformers, if that supports its attention backend")
	}
	if s.dp > 1 {
		u.Notes = append(u.Notes, "TGI has no data parallelism; planned as that many servers")
	}
	if c := u.Cache; c.Pool > 0 && c.PerSequence > 0 && int64(c.Pool)/int64(c.PerSequence) < s.seqs {
		u.Notes = append(u.Notes, "the pool holds fewer sequences of this length than asked for; TGI would queue the rest")
	}
	if c := u.Cache; s.maxBatch > 0 && c.CapacityTokens > 0 && s.maxBatch > c.CapacityTokens {
		u.Notes = append(u.Notes, "max_batch_total_tokens is above what the cache holds; TGI takes what it found")
	}
}

// ownCode are the model types that TGI 3.3 has code for.
var ownCode = []string{
	"deepseek_v2", "deepseek_v3", "idefics", "idefics2", "idefics3", "llava_next", "llama", "llama4", "phi3", "granite", "gemma", "paligemma",
	"gemma2", "gemma3", "gemma3_text", "cohere", "dbrx", "mamba", "ssm", "mistral", "mixtral", "gpt_bigcode", "phi", "phimoe", "baichuan", "falcon",
	"starcoder2", "qwen2", "qwen2_vl", "qwen2_5_vl", "qwen3", "qwen3_moe", "opt", "t5", "galactica", "bloom", "mpt", "gpt2", "gpt_neox", "gptj", "mllama",
}
