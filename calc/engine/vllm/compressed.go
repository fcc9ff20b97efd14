package vllm

import "hwledger/calc/model"

// compressed is the cache of DeepSeek-V4: raw rows of a short window in every
// layer, and one compressed row for Ratio tokens, with index keys in the
// layers that choose. vLLM groups these by tuples of page sizes; here a
// request is sized in units of one page row of every layer, within about 3 %.
type compressed struct {
	// block is the tokens of a block, unit the bytes of the pool's grain.
	block, unit int64
	// grow is the bytes of all compressed rows of one block of tokens, raw the
	// bytes of one raw block.
	grow, raw int64
	window    int64
}

const (
	compressedBlock = 256 // tokens
	pageAlignment   = 576 // bytes
)

// compressedOf returns the layout when layers have compressed attention.
func (s *settings) compressedOf(layers []model.Layer) *compressed {
	c := &compressed{block: compressedBlock}
	for i := range layers {
		for _, x := range layers[i].Mixers {
			x, ok := x.(*model.Compressed)
			if !ok {
				continue
			}
			row := s.compressedRow(x)
			c.window = max(c.window, x.Window)
			c.raw += roundUp(row*c.block, pageAlignment)
			if x.Ratio > 0 {
				c.grow += roundUp(row*ceilDiv(c.block, x.Ratio), pageAlignment)
				if x.Indexer != nil {
					c.grow += roundUp(indexBytes(x.Indexer.HeadDim)*ceilDiv(c.block, x.Ratio), pageAlignment)
				}
			}
		}
	}
	if c.raw == 0 {
		return nil
	}
	c.unit = pageAlignment
	return c
}

// compressedRow returns the bytes of one row: fp8 for the part without
// position, bf16 for the rope part and 8 bytes of scales (584 for 448+64).
func (s *settings) compressedRow(x *model.Compressed) int64 {
	if s.kv.Name == "bf16" {
		return 2 * x.HeadDim
	}
	return x.HeadDim - x.RopeDim + 2*x.RopeDim + 8
}

// blocks returns a request's size in units.
func (c *compressed) blocks(s *settings, tokens int64) int64 {
	raw := ceilDiv(min(c.window-1+s.batch, tokens), c.block) + 1
	return ceilDiv(ceilDiv(tokens, c.block)*c.grow+raw*c.raw, c.unit)
}
