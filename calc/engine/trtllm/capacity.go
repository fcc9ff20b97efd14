package trtllm

import (
	"hwledger/calc/engine"
	"hwledger/calc/engine/paged"
)

// inside returns what the stage's ranks hold beside the cache.
func (s *settings) inside(st *stage, weights []engine.Term) int64 {
	var sum int64
	for i := range weights {
		sum += int64(weights[i].Bytes)
	}
	for i := range st.reserved {
		sum += int64(st.reserved[i].Bytes)
	}
	return sum
}

// budget returns what a device's rank may take for its cache: a share of what
// is free with the peak of the profile run in use.
func (s *settings) budget(free engine.Bytes, inside int64) int64 {
	return int64(float64(max(0, int64(free)-inside)) * s.fraction)
}

// capacity fills the cache summary of the fullest stage, and the pool and what
// the engine logs of it when the budget of a rank is known (budget < 0: not).
func (s *settings) capacity(c *engine.Cache, st *stage, budget int64) {
	seq := s.sequence(st, s.context)
	c.PerSequence = engine.Bytes(seq + st.state)
	c.FixedPerSequence = engine.Bytes(st.state)
	var marginal int64
	for i := range st.pools {
		if p := &st.pools[i]; !p.cross && (s.context < p.window || p.full) {
			marginal += p.bytes / s.cp
		}
	}
	c.MarginalPerToken = engine.Bytes(marginal)
	if s.maxBytes > 0 && (budget < 0 || budget > s.maxBytes) {
		budget = s.maxBytes
	}
	if len(st.pools) == 0 {
		return
	}
	if len(st.pools) == 1 {
		s.onePool(c, st, budget)
		return
	}
	if budget >= 0 {
		s.windowPools(c, st, budget-s.states(st))
	}
}

// states is what the engine sets aside for recurrent layers: a state for each
// of max_batch_size sequences.
func (s *settings) states(st *stage) int64 { return paged.Mul(st.state, s.batch) }

// onePool is the arithmetic of one window: tokens from bytes, blocks from
// tokens; the C++ runtime rounds up, the PyTorch backend down.
func (s *settings) onePool(c *engine.Cache, st *stage, budget int64) {
	p := &st.pools[0]
	tokens := s.maxTokens
	if budget >= 0 {
		n := max(0, budget-s.states(st)) / p.cost
		if tokens == 0 || n < tokens {
			tokens = n
		}
	} else if tokens == 0 {
		return
	}
	blocks := tokens / s.block
	if s.engine {
		blocks = paged.CeilDiv(tokens, s.block)
	}
	c.Pool = engine.Bytes(paged.Mul(blocks, s.block*p.bytes))
	c.CapacityTokens = blocks * s.block * s.cp
	if n := s.blocks(p, s.maxLen); n > 0 {
		c.MaxConcurrency = float64(blocks) / float64(n)
	}
	if st.state > 0 {
		c.Pool += engine.Bytes(s.states(st))
		c.MaxConcurrency = min(c.MaxConcurrency, float64(s.batch))
	}
}

// windowPools is the arithmetic of several windows: each takes an equal share
// of the bytes.
func (s *settings) windowPools(c *engine.Cache, st *stage, budget int64) {
	share := max(0, budget) / int64(len(st.pools))
	for i := range st.pools {
		p := &st.pools[i]
		blocks := share / p.cost / s.block
		c.Pool += engine.Bytes(paged.Mul(blocks, s.block*p.bytes))
		if n := s.blocks(p, s.maxLen); n > 0 {
			if x := float64(blocks) / float64(n); i == 0 || x < c.MaxConcurrency {
				c.MaxConcurrency = x
			}
		}
		if p.full {
			c.CapacityTokens = blocks * s.block * s.cp
		}
	}
}
