package hfconfig

import "hwledger/calc/model"

func init() {
	register("cohere", cohere, defaults{"tie_word_embeddings": true})
	register("cohere2", cohere2, defaults{"tie_word_embeddings": true, "sliding_window": 4096, "sliding_window_pattern": 4})
}

// cohere has one norm in a layer, without bias, for attention and network in
// parallel; the larger models normalise each head of queries and keys with a
// weight of its own.
func newCohere(c *cfg, arch string) *decoder {
	d := newDecoder(c, arch)
	d.norms = 1
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	if c.bool(false, "use_qk_norm") {
		d.attn.Norms = model.FullQKNorm
	}
	return d
}

func cohere(c *cfg) (*model.Model, error) { return newCohere(c, "command-r").build() }

// cohere2 slides in all but every fourth layer.
func cohere2(c *cfg) (*model.Model, error) {
	d := newCohere(c, "cohere2")
	d.slideBy(c.window(), every(c.int(4, "sliding_window_pattern", "_sliding_window_pattern")))
	return d.build()
}
