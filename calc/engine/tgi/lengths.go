package tgi

import (
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
	"hwledger/calc/model"
)

// lengths resolves the token limits of requests and of batches.
func (s *settings) lengths(m *model.Model, load engine.Load, o *paged.Options, u *engine.Usage) {
	s.maxInput = o.Int("max_input_tokens", 0, paged.MaxTokens)
	s.maxTotal = o.Int("max_total_tokens", max(0, load.MaxModelLen), paged.MaxTokens)
	s.maxBatch = o.Int("max_batch_total_tokens", 0, paged.MaxTokens)
	if !s.release.AtLeast(wiggleOfTotal) {
		s.fixedLengths(m, u)
	}
	s.prefill = o.Int("max_batch_prefill_tokens", max(0, load.BatchTokens), paged.MaxTokens)
	if s.prefill > 0 {
		return
	}
	if !s.release.AtLeast(wiggleOfTotal) {
		n := s.maxInput + 50
		if size := o.Int("max_batch_size", 0, 1<<20); size > 0 {
			n = paged.Mul(size, s.maxInput)
		}
		s.prefill = paged.AssumeInt(u, "max_batch_prefill_tokens", n, "max_input_tokens + 50, or × max_batch_size")
		return
	}
	n, why := s.prefillDefault(m)
	s.prefill = paged.AssumeInt(u, "max_batch_prefill_tokens", n, why)
}

// fixedLengths are the limits before 3.0: at most 4096 tokens unless told.
func (s *settings) fixedLengths(m *model.Model, u *engine.Usage) {
	const most = 4096
	if s.maxTotal == 0 {
		n := int64(most)
		if m.Context > 0 {
			n = min(n, m.Context)
		}
		why := "default before TGI 3.0"
		if s.context > n {
			n, why = s.context, "the planned context; the default before TGI 3.0 is at most 4096"
		}
		s.maxTotal = paged.AssumeInt(u, "max_total_tokens", n, why)
	}
	if s.maxInput == 0 {
		s.maxInput = max(1, s.maxTotal-1)
	}
}

// cards are the half-precision rates in 10¹² operations a second that the
// launcher knows, by which it sizes a prefill batch (launcher/src/main.rs).
var cards = []struct {
	name   string
	teraOp int64
}{
	{"4090", 82}, {"t4", 65}, {"l40s", 363}, {"l40", 181}, {"l4", 121}, {"a10g", 125}, {"a40", 149},
	{"a100", 312}, {"h100", 900}, {"h200", 989},
}

// prefillDefault is the launcher's max_batch_prefill_tokens: what the cards
// compute in a second, at most the model's context and what memory allows.
func (s *settings) prefillDefault(m *model.Model) (int64, string) {
	n, why := int64(4096), "default where the launcher does not know the card's rate"
	switch m.Type {
	case "qwen2_vl", "qwen2_5_vl":
		n, why = 10000, "default for "+m.Type
	case "gemma3":
		n, why = 8000, "default for gemma3"
	}
	card := s.cardRate()
	if ops := launcherOps(m); card > 0 && ops > 0 && !m.Multimodal {
		if k := card * s.tp * 1_000_000_000_000 / ops; k > 100 {
			n, why = k, "tokens that the cards compute in a second, by the launcher's table"
		}
	}
	if m.Context > 0 && m.Context < n {
		n, why = m.Context, "the model's longest context"
	}
	if card > 0 && !m.Multimodal {
		if k := s.memoryTokens(m); k > 0 && k < n {
			n, why = k, "tokens for which the launcher estimates memory"
		}
	}
	return n, why
}

// cardRate returns the launcher's figure for the device, 0 for a card that it
// does not know.
func (s *settings) cardRate() int64 {
	if s.device == nil || s.device.Vendor != "nvidia" {
		return 0
	}
	for _, word := range strings.FieldsFunc(strings.ToLower(s.device.Name), func(r rune) bool { return r == ' ' || r == '-' }) {
		for _, c := range cards {
			if word == c.name {
				return c.teraOp
			}
		}
	}
	return 0
}

// launcherShape is what the launcher reads from config.json.
func launcherShape(m *model.Model) (heads, kv, dim, width, experts, active int64) {
	experts, active = 1, 1
	for i := range m.Layers {
		f := &m.Layers[i].FFN
		width = max(width, f.Width, f.ExpertWidth)
		if f.MoE() {
			experts, active = f.Experts, f.TopK
		}
	}
	h := headsOf(m)
	return h.query, h.kv, h.size, width, experts, active
}

// launcherOps is the launcher's count of operations for a token.
func launcherOps(m *model.Model) int64 {
	heads, kv, dim, width, _, active := launcherShape(m)
	attention := 2 * (3*heads + 2*kv) * dim * m.Hidden
	return paged.Mul(int64(len(m.Layers)), attention+6*m.Hidden*width*active)
}

// memoryTokens is the launcher's estimate of the tokens that fit: memory of
// all shards less the weights in 16 bits, by cache and network of a token.
func (s *settings) memoryTokens(m *model.Model) int64 {
	if m.Quant != nil {
		return 0
	}
	heads, kv, dim, width, experts, _ := launcherShape(m)
	layers := int64(len(m.Layers))
	layer := 3*width*experts*m.Hidden + (heads+2*kv)*dim + heads*dim*m.Hidden
	weights := 2 * (paged.Mul(layer, layers) + 2*m.Hidden*m.Vocab)
	token := kv*dim*4*layers + (width+width/2)*experts*6
	const room = 0.95 // the launcher's own default of TGI_WIGGLE_ROOM
	have := int64(float64(int64(s.device.Total)*s.tp) * s.fraction * room)
	if token <= 0 || have <= weights {
		return 0
	}
	return (have - weights) / token
}
