package vllm

import (
	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// stage is one pipeline stage on one rank.
type stage struct {
	layers      [2]int
	first, last bool
	on          []int
	layout      layout
	weights     weightSizes
	mx          bool          // experts run on MXFP4 kernels, which keep no workspace
	reserve     []engine.Term // workspace and runtime terms
}

// layersOf returns the layers of a stage that keep a cache, with the MTP
// layers on the last one when they are loaded. Encoders attend to a whole
// input at once and keep none.
func (s *settings) layersOf(m *model.Model, span [2]int, last bool) []model.Layer {
	if !m.Causal && !m.EncDec {
		return nil
	}
	layers := m.Layers[span[0]:span[1]]
	if !last || !s.mtp {
		return layers
	}
	return append(append(make([]model.Layer, 0, len(layers)+len(m.MTPLayers)), layers...), m.MTPLayers...)
}

// available returns what the budget of one device leaves for the pool after
// weights and everything else inside the budget; false when unknown.
func (s *settings) available(st *stage) (int64, bool) {
	if s.poolBytes > 0 {
		return s.poolBytes, true
	}
	if s.device == nil {
		return 0, false
	}
	free := int64(s.budget()) - st.weights.total()
	for i := range st.reserve {
		if !st.reserve[i].Outside {
			free -= int64(st.reserve[i].Bytes)
		}
	}
	return max(free, 0), true
}

// budget is utilization × total memory of a device.
func (s *settings) budget() engine.Bytes {
	return engine.Bytes(float64(s.device.Total) * s.util)
}

// capacity fills the cache summary: the pool on the fullest stage and what
// vLLM logs about it. Every rank takes the smallest number of blocks.
func (s *settings) capacity(c *engine.Cache, stages []stage) {
	worst := &stages[0]
	blocks := int64(-1)
	for i := range stages {
		st := &stages[i]
		if st.layout.blockBytes == 0 {
			continue
		}
		if st.layout.blockBytes >= worst.layout.blockBytes {
			worst = st
		}
		if pool, ok := s.available(st); ok {
			if n := pool / st.layout.blockBytes; blocks < 0 || n < blocks {
				blocks = n
			}
		}
	}
	l := &worst.layout
	if l.blockBytes == 0 {
		return
	}
	s.summary(c, l)
	if s.poolBlocks > 0 {
		blocks = s.poolBlocks
	}
	if blocks < 0 {
		return
	}
	c.Pool = engine.Bytes(mul(blocks, l.blockBytes))
	all, _ := l.request(s, s.maxLen)
	if all == 0 {
		return
	}
	c.MaxConcurrency = float64(blocks) / float64(all)
	switch {
	case s.v0:
		c.CapacityTokens = blocks * l.block
		c.MaxConcurrency = float64(c.CapacityTokens) / float64(s.maxLen)
	case s.version.atLeast(budgetedGraphs) || l.compressed != nil:
		c.CapacityTokens = int64(c.MaxConcurrency * float64(s.maxLen))
	default:
		c.CapacityTokens = blocks / int64(len(l.groups)) * l.block * s.dcp
	}
}

// summary fills what one sequence takes.
func (s *settings) summary(c *engine.Cache, l *layout) {
	all, state := l.request(s, s.context)
	c.PerSequence = engine.Bytes(mul(all, l.blockBytes))
	c.FixedPerSequence = engine.Bytes(state * l.blockBytes)
	if l.compressed != nil {
		c.MarginalPerToken = engine.Bytes(l.compressed.grow / l.compressed.block)
		return
	}
	var marginal int64
	for _, g := range l.groups {
		bound := int64(0)
		switch g.spec.kind {
		case slidingSpec:
			bound = g.spec.window - 1 + s.batch
		case chunkedSpec:
			bound = g.spec.window + s.batch
		case crossSpec, mambaSpec:
			continue
		}
		if bound == 0 || s.context < bound {
			marginal += l.blockBytes / (g.spec.block * s.dcp)
		}
	}
	c.MarginalPerToken = engine.Bytes(marginal)
}
