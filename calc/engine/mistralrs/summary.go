package mistralrs

import (
	"slices"

	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// summary fills budgets and the cache of the fullest rank.
func (s *settings) summary(m *model.Model, ranks []rank, u *engine.Usage, hw engine.Hardware) {
	c := &u.Cache
	u.Budgets = make([]engine.Bytes, min(u.Devices, len(hw.Devices)))
	for i := range ranks {
		r := &ranks[i]
		if one := engine.Bytes(r.held.kv + r.held.state); one > c.PerSequence {
			c.PerSequence, c.FixedPerSequence, c.MarginalPerToken = one, engine.Bytes(r.held.state), engine.Bytes(r.held.marginal)
		}
		for _, d := range r.On {
			if d < len(u.Budgets) {
				u.Budgets[d] = s.budget(hw.Devices[d], r)
			}
		}
	}
	s.pool(m, c, ranks, hw)
}

// budget is what the engine may take of a device before its cache is full:
// with pages, what is allocated and reserved, and the pool.
func (s *settings) budget(d engine.Device, r *rank) engine.Bytes {
	if !s.paged {
		return d.Usable
	}
	return engine.Bytes(r.inside + r.reserved + s.poolMiB(d, r.inside, r.reserved, r.held)*mib)
}

// byLayer returns what each decoder layer keeps for the load over all ranks.
func (s *settings) byLayer(m *model.Model) []engine.Bytes {
	out := make([]engine.Bytes, len(m.Layers))
	for i := range m.Layers {
		h := s.of(m.Layers[i:i+1], s.tp)
		out[i] = engine.Bytes(paged.Mul(paged.Mul(h.kv, s.seqs)+paged.Mul(h.state, s.slots()), s.tp))
	}
	return out
}

// notes says in words what a reader of the plan should know.
func (s *settings) notes(m *model.Model, stored []quant.Stored, u *engine.Usage) {
	note := func(text string) { u.Notes = append(u.Notes, text) }
	if m.Format == model.FormatGGUF && m.Arch != "" && !slices.Contains(ggufArchs, m.Arch) {
		note("GGUF files of " + m.Arch + " are not among those that mistral.rs 0.9 lists")
	}
	if s.isq {
		note("quantizing with an importance matrix holds all weights in 16 bits in system memory first")
	}
	if s.onDevice >= 0 {
		note("with layers on the processor mistral.rs turns paged attention off for all layers")
	}
	if !s.paged && hasLatent(m) {
		note("without paged attention keys and values of latent attention are kept expanded")
	}
	if s.paged && windowed(m) {
		note("pages hold whole sequences in windowed layers too")
	}
	if c := u.Cache; s.paged && c.Pool > 0 && c.PerSequence > 0 && c.CapacityTokens/max(1, paged.RoundUp(s.context, s.block)) < s.seqs {
		note("the pool holds fewer sequences of this length than asked for; mistral.rs would queue the rest")
	}
	if s.paged && len(u.Budgets) > 0 && u.Cache.Pool == 0 && s.explicit() {
		note("mistral.rs refuses to start when the cache that pa_memory_mb or pa_context_len asks for is more than is left")
	}
	if m.Multimodal {
		note("the memory that vision and audio towers compute in is not in this plan")
	}
	for i := range stored {
		if stored[i].Quantized && m.Format == model.FormatGGUF && !s.cpu && !s.metal {
			note("builds that repack GGUF weights for Marlin take more; this plan has them as the file stores them")
			return
		}
	}
}

func windowed(m *model.Model) bool {
	for i := range m.Layers {
		for _, x := range m.Layers[i].Mixers {
			if x.Kind() == model.KindSliding {
				return true
			}
		}
	}
	return false
}
