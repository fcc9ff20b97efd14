package hfconfig

import "hwledger/calc/model"

func init() {
	register("phi", phi2, nil)
	register("phi-msft", phi2, nil)
	register("phi3", phi3, nil)
	register("phi3_v", phi3, nil)
	register("phi4", phi3, nil)
	register("phi4mm", phi3, nil)
	register("phi3small", phi3small, defaults{"tie_word_embeddings": true})
	registerClass("Phi", "phi")
}

// phi2 is Phi-1 to Phi-2: one LayerNorm for attention and network in
// parallel, biases everywhere and on the head.
func phi2(c *cfg) (*model.Model, error) {
	d := classic(c, "phi2")
	d.norms, d.headBias = 1, true
	if c.bool(false, "qk_layernorm") {
		d.attn.Norms = model.HeadQKNorm
	}
	return d.build()
}

// phi3 fuses queries, keys and values. Its window applies to every layer, and
// is off where it reaches the context (Phi-4-mini ships 262144).
func phi3(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "phi3")
	d.attn.Fused = true
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.headBias = c.bool(false, "lm_head_bias")
	d.slideBy(c.window(), always)
	return d.build()
}

// phi3small normalises with LayerNorm, has biases everywhere, and gives the
// width of its network under another name. Its block-sparse layers keep the
// cache of full ones.
func phi3small(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	c.has("dense_attention_every_n_layers", "blocksparse_block_size", "blocksparse_num_local_blocks")
	d.norm = layerNorm
	d.attn.QKVBias, d.attn.OutBias, d.attn.Fused = true, true, true
	d.ffn = model.FFN{Gated: true, Bias: true, Width: c.need("ff_intermediate_size")}
	return d.build()
}
