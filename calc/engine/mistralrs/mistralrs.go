// Package mistralrs plans memory as mistral.rs allocates it: weights quantized
// while loading or as a file stores them, pages sized after loading on CUDA,
// caches that grow in steps elsewhere, layers mapped over devices and the
// processor. Sources are its release tags up to 0.9.2.
package mistralrs

import (
	"slices"

	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/engine/shard"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// New returns the mistral.rs engine.
func New() engine.Engine { return mistralrs{} }

type mistralrs struct{}

// Name returns "mistral.rs".
func (mistralrs) Name() string { return "mistral.rs" }

// Flags lists mistral.rs's switches that change memory.
func (mistralrs) Flags() []string { return slices.Clone(flags) }

// Preallocates is true, as paged attention on CUDA does; with paged_attn off
// the cache grows.
func (mistralrs) Preallocates() bool { return true }

// Alternatives lists in-situ quantizations, best first, and the fp8 cache.
func (mistralrs) Alternatives(m *model.Model) (weights, cacheTypes []string) {
	if m.Quant == nil && m.Format != model.FormatGGUF {
		weights = []string{"Q8_0", "Q6K", "Q5K", "Q4K", "Q3K", "Q2K"}
	}
	if !hasLatent(m) {
		cacheTypes = []string{"fp8"}
	}
	return weights, cacheTypes
}

// Offloads is true: layers that do not fit are computed on the processor.
func (mistralrs) Offloads() bool { return true }

// rank is one group of devices that hold the same layers, or the host.
type rank struct {
	shard.Rank
	held held
	// inside is what is allocated when the pool is sized, reserved what is
	// kept free for activations.
	inside, reserved int64
}

// Plan sizes the load. It returns *model.Error for models that mistral.rs
// cannot run and settings that it refuses.
func (e mistralrs) Plan(m *model.Model, load engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	if err := load.Flags.Check(e.Name(), flags); err != nil {
		return nil, err
	}
	if err := supported(m, hw); err != nil {
		return nil, err
	}
	u := &engine.Usage{Engine: e.Name()}
	s, err := resolve(m, load, hw, u)
	if err != nil {
		return nil, err
	}
	s.correct = func(t engine.Term) engine.Term { return hw.Correct(e.Name(), &load, []engine.Term{t})[0] }
	stored, isq, err := storedAs(m, s.weights, s.metal)
	s.isq = isq
	if err != nil {
		return nil, err
	}
	ranks, err := s.ranks(m, load)
	if err != nil {
		return nil, err
	}
	u.Devices = int(s.tp * s.pp)
	w := shard.Weights{Stored: stored}
	for i := range ranks {
		s.rank(m, w, &ranks[i], u)
	}
	if isq {
		u.Terms = append(u.Terms, s.correct(transient(m, stored)))
	}
	s.summary(m, ranks, u, hw)
	u.LayerWeights, u.LayerCache = w.ByLayer(m), s.byLayer(m)
	s.notes(m, stored, u)
	return u, nil
}

// ranks cuts the model over devices, and leaves the layers beyond those that
// devices are given to a last rank without devices, the host.
func (s *settings) ranks(m *model.Model, load engine.Load) ([]rank, error) {
	load.DataParallel = 1
	cut, err := shard.Ranks(m, load)
	if err != nil {
		return nil, err
	}
	out := make([]rank, 0, len(cut)+1)
	at := 0
	for i, r := range cut {
		if s.split != nil {
			r.Layers = [2]int{at, at + s.split[i]}
			at = r.Layers[1]
		}
		out = append(out, rank{Rank: r})
	}
	if s.onDevice < 0 {
		return out, nil
	}
	// Embedding, norm and head stay on the first device: only layers move.
	for i := range out {
		r := &out[i]
		r.Layers = [2]int{min(r.Layers[0], s.onDevice), min(r.Layers[1], s.onDevice)}
	}
	host := rank{Rank: shard.Rank{TP: 1, Layers: [2]int{s.onDevice, len(m.Layers)}, Sequences: s.seqs}}
	return append(out, host), nil
}

// rank adds the terms of one rank.
func (s *settings) rank(m *model.Model, w shard.Weights, r *rank, u *engine.Usage) {
	t := w.Term(m, r.Rank)
	r.held = s.of(r.LayersOf(m), r.TP)
	u.Terms = append(u.Terms, t)
	r.inside = int64(t.Bytes)
	if n := whole(m, w, r); n > 0 {
		u.Terms = append(u.Terms, engine.Term{
			Name: "whole vocabulary matrices", Category: engine.Weights, On: r.On, Bytes: engine.Bytes(n), Confidence: engine.Derived,
			Formula: "embedding and output projection are whole on every rank: bytes × (ranks − 1) ÷ ranks", Source: "mistral.rs ReplicatedLayer",
			Inputs: []engine.Input{{Name: "tensor_parallel", Value: r.TP, From: "argument"}},
		})
		r.inside += n
	}
	on := r.On
	input := engine.Input{Name: "sequences", Value: s.seqs, From: "argument"}
	if h := r.held; h.kv > 0 {
		kv := engine.Term{
			Name: "kv cache", Category: engine.KVCache, On: on, Bytes: engine.Bytes(paged.Mul(h.kv, s.seqs)), Confidence: engine.Exact,
			Formula: "sequences × blocks × block × Σ layers: 2 × key/value heads × max(key, value) × element bytes, or latent row", Source: "mistral.rs paged_attention/mod.rs",
			Inputs: []engine.Input{input, {Name: "block_tokens", Value: s.block, From: "argument or default"}, {Name: "elements_per_token", Value: h.elems, From: "mistral.rs rule"}},
		}
		if !s.paged {
			// Batches concatenate their sequences' caches.
			kv.Low, kv.High = engine.Bytes(paged.Mul(h.low, s.seqs)), kv.Bytes
			if s.seqs > 1 {
				kv.High *= 2
			}
			kv.Formula, kv.Source = "sequences × tokens in steps of 512, or window + 512, × Σ layers: key and value rows", "mistral.rs kv_cache"
			kv.Inputs = []engine.Input{input, {Name: "context_tokens", Value: s.context, From: "argument"}}
		}
		u.Terms = append(u.Terms, kv)
	}
	if n := r.held.state; n > 0 {
		slots := s.slots()
		t := engine.Term{
			Name: "recurrent state", Category: engine.State, On: on, Bytes: engine.Bytes(paged.Mul(n, slots)), Confidence: engine.Derived,
			Formula: "slots × Σ recurrent layers: kernel columns of the convolution + state, whole on every rank", Source: "mistral.rs kv_cache/hybrid_cache.rs",
			Inputs: []engine.Input{{Name: "slots", Value: slots, From: "max_seqs"}},
		}
		r.inside += int64(t.Bytes)
		u.Terms = append(u.Terms, t)
	}
	s.workspace(m, r, u)
}

// whole returns what a rank holds of the vocabulary's matrices beyond its
// share: mistral.rs cuts neither.
func whole(m *model.Model, w shard.Weights, r *rank) int64 {
	var sum int64
	for i := range m.Tensors {
		if t := &m.Tensors[i]; t.Split == model.ByVocab && r.Holds(m, t, false) {
			n := w.Stored[i].Bytes
			sum += n - paged.CeilDiv(n, r.TP)
		}
	}
	return sum
}

// workspace adds what a rank computes in.
func (s *settings) workspace(m *model.Model, r *rank, u *engine.Usage) {
	layers := r.LayersOf(m)
	tokens := min(s.batch, s.context*s.seqs)
	in := engine.Input{Name: "tokens_per_step", Value: tokens, From: "max_num_batched_tokens"}
	act := paged.ActivationTerm(paged.Activation(m, layers, r.TP, tokens, 2), in, r.On, "MATH §6")
	act.Confidence, act.High = engine.Estimated, act.High*2
	if len(r.On) == 0 {
		if len(layers) > 0 {
			u.Terms = append(u.Terms, s.correct(act))
		}
		return
	}
	if s.paged && s.release.AtLeast(afterLoad) {
		r.reserved = s.reservation(m)
		keep := min(int64(act.Bytes), r.reserved)
		u.Terms = append(u.Terms, engine.Term{
			Name: "activation reservation", Category: engine.Workspace, On: r.On, Bytes: engine.Bytes(r.reserved), Confidence: engine.Derived,
			Formula: "max_batch_size × heads × min(max_seq_len, 1024)² × 2", Source: "mistral.rs pipeline/loaders (device mapping)",
			Inputs: []engine.Input{{Name: "max_batch_size", Value: s.mapBatch, From: "argument or default"}, {Name: "max_seq_len", Value: s.mapLen, From: "argument or default"}},
		})
		act.Name, act.Outside = "activation beyond the reservation", true
		act.Formula = "1.25 × tokens × widest layer's elements of a token × dtype bytes − reservation"
		act.Bytes, act.Low, act.High = act.Bytes-engine.Bytes(keep), max(0, act.Low-engine.Bytes(r.reserved)), max(0, act.High-engine.Bytes(keep))
	}
	u.Terms = append(u.Terms, s.correct(act), s.correct(s.logits(m, r)))
	if s.cpu {
		return
	}
	ctx := s.correct(paged.Context(r.On))
	r.inside += int64(ctx.Bytes)
	u.Terms = append(u.Terms, ctx)
	if t, ok := paged.Communicators(s.tp, r.On); ok {
		t = s.correct(t)
		r.inside += int64(t.Bytes)
		u.Terms = append(u.Terms, t)
	}
}

// reservation is the room that device mapping keeps for activations: the
// scores of one chunk of eager attention.
func (s *settings) reservation(m *model.Model) int64 {
	var heads int64
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			switch x := x.(type) {
			case *model.Attention:
				heads = max(heads, x.Heads)
			case *model.MLA:
				heads = max(heads, x.Heads)
			}
		}
	}
	chunk := min(s.mapLen, 1024)
	return paged.Mul(paged.Mul(s.mapBatch, heads), chunk*chunk*2)
}

// logits are one row for each live sequence, in float32 beside the model's
// dtype. They come out of what the pool leaves.
func (s *settings) logits(m *model.Model, r *rank) engine.Term {
	n := paged.Mul(s.seqs, max(1, m.Vocab))
	return engine.Term{
		Name: "logits", Category: engine.Workspace, On: r.On, Outside: s.paged, Confidence: engine.Estimated, Formula: "sequences × vocabulary × 6", Source: "mistral.rs sampler",
		Bytes: engine.Bytes(paged.Mul(n, 6)), Low: engine.Bytes(paged.Mul(n, 2)), High: engine.Bytes(paged.Mul(n, 12)),
		Inputs: []engine.Input{{Name: "sequences", Value: s.seqs, From: "argument"}, {Name: "vocab_size", Value: m.Vocab, From: "config.json"}},
	}
}

// transient is what quantizing while loading holds in system memory: tensors
// in 16 bits until they are quantized, the largest at least, several at once.
func transient(m *model.Model, stored []quant.Stored) engine.Term {
	var largest, all int64
	for i := range m.Tensors {
		if stored[i].Quantized {
			n := 2 * m.Tensors[i].Elems()
			largest, all = max(largest, n), all+n
		}
	}
	return engine.Term{
		Name: "in-situ quantization", Category: engine.Workspace, Confidence: engine.Estimated, Source: "mistral.rs utils/isq.rs",
		Bytes: engine.Bytes(largest), Low: engine.Bytes(largest), High: engine.Bytes(min(4*largest, all)),
		Formula: "largest tensor in 16 bits, up to four at once, while loading",
		Inputs:  []engine.Input{{Name: "largest_tensor_bytes", Value: largest, From: "config.json"}},
	}
}
