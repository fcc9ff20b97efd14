package sglang

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// pool is what SGLang allocates once weights are loaded.
type pool struct {
	tokens int64 // max_total_num_tokens
	slots  int64 // of recurrent state, one of padding not counted
	bytes  int64
	short  bool // the rest of memory holds no token
}

// slotsPerRequest is how many state slots a running request may take: one
// when nothing is kept for later requests, else three, and two more when
// states are double-buffered under overlapped scheduling.
func (s *settings) slotsPerRequest() int64 {
	switch {
	case !s.radix:
		return 1
	case !s.extraBuffer:
		return 3
	case s.overlap:
		return 5
	}
	return 4
}

// stateBytes is the recurrent pool of that many slots: one more is for padding,
// and speculation keeps a state for each draft token of a request.
func (s *settings) stateBytes(l *layout, slots int64) int64 {
	if l.state == 0 || slots == 0 {
		return 0
	}
	n := float64(slots + 1)
	if s.spec != "" {
		n += float64(slots/s.slotsPerRequest()+1) * float64(s.draftTokens)
	}
	return scale(float64(l.state)*n, 1)
}

// slots returns how many states rest bytes are given.
func (s *settings) slots(l *layout, rest float64) int64 {
	groups := int64(1)
	if s.dpAttention {
		groups = s.dp
	}
	switch {
	case l.state == 0:
		return 0
	case s.maxSlots > 0:
		return max(1, s.maxSlots/groups)
	case s.maxRunning > 0 && !s.radix:
		return max(1, s.maxRunning/groups)
	}
	return int64(rest * s.stateRatio / (1 + s.stateRatio) / float64(l.state))
}

// share divides rest bytes, those after weights, into pools. Without hardware
// rest is negative and only given sizes count.
func (s *settings) share(l *layout, rest float64) pool {
	var p pool
	known := rest >= 0
	p.slots = s.slots(l, max(rest, 0))
	state := s.stateBytes(l, p.slots)
	cell := l.cell()
	if cell == 0 {
		p.bytes = state
		return p
	}
	tokens := s.maxTokens
	if known {
		free := rest - float64(state)
		if l.capTokens > 0 {
			free -= l.swa * float64(l.capTokens)
		}
		fits := int64(min(max(free, 0)/cell, maxSetting))
		if tokens == 0 || fits < tokens {
			tokens = fits
		}
		p.short = tokens < s.page
	}
	p.tokens = tokens / s.page * s.page
	if p.tokens > 0 {
		p.bytes = min(l.bytes(p.tokens, s.page)+state, scale(1, 1<<62))
	}
	return p
}

// rests returns what is left for pools on the fullest rank of each stage, -1
// where the hardware is unknown: what is free before loading, less the slack
// of 1 − mem_fraction_static, less the weights.
func (s *settings) rests(stages []stage, hw engine.Hardware) []float64 {
	out := make([]float64, len(stages))
	for i := range stages {
		out[i] = -1
		for _, d := range stages[i].rank.On {
			if d >= len(hw.Devices) {
				continue
			}
			budget := float64(s.budget(&stages[i], hw.Devices[d]))
			rest := max(budget-float64(stages[i].weights.total()+int64(stages[i].loading.Bytes)), 0)
			if out[i] < 0 || rest < out[i] {
				out[i] = rest
			}
		}
	}
	return out
}

// budget is mem_fraction_static of what is free before weights are loaded,
// when context and communicators exist already.
func (s *settings) budget(st *stage, d engine.Device) engine.Bytes {
	free := d.Free
	for i := range st.before {
		free -= st.before[i].Bytes
	}
	return engine.Bytes(float64(max(free, 0)) * s.fraction)
}

// capacity fills the summary: of all stages the one that holds fewest tokens
// decides, as ranks agree on the least.
func (s *settings) capacity(m *model.Model, stages []stage, hw engine.Hardware, u *engine.Usage) {
	c := &u.Cache
	rests := s.rests(stages, hw)
	var least *pool
	for i := range stages {
		l := &stages[i].layout
		c.MarginalPerToken = max(c.MarginalPerToken, engine.Bytes(scale(l.full+l.scratch+s.growing(l), 1)))
		state := l.state * s.slotsPerRequest()
		c.FixedPerSequence = max(c.FixedPerSequence, engine.Bytes(state))
		one := l.bytes(l.needed(1, s.context, s.page), s.page) - l.bytes(0, s.page)
		c.PerSequence = max(c.PerSequence, engine.Bytes(one+state))
		p := s.share(l, rests[i])
		c.Pool = max(c.Pool, engine.Bytes(p.bytes))
		if l.cell() > 0 && (least == nil || p.tokens < least.tokens) {
			least = &p
		}
		if p.short {
			u.Notes = append(u.Notes, "SGLang would not start: mem_fraction_static leaves no room for a cache after weights")
		}
	}
	if least == nil {
		return
	}
	c.CapacityTokens = least.tokens
	if per := roundUp(s.context, s.page); least.tokens > 0 {
		c.MaxConcurrency = float64(least.tokens) / float64(per)
	}
	if least.slots > 0 {
		c.MaxConcurrency = min(c.MaxConcurrency, float64(least.slots/s.slotsPerRequest()))
	}
	if s.maxRunning > 0 {
		c.MaxConcurrency = min(c.MaxConcurrency, float64(s.maxRunning))
	}
}

// growing is the part of a token in the sliding pool that still grows at the
// load's context: by ratio it always does.
func (s *settings) growing(l *layout) float64 {
	switch {
	case l.capTokens > 0:
		return 0
	case l.full == 0:
		return l.swa
	}
	return l.swa * l.ratio
}
