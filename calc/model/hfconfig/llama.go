package hfconfig

import "hwledger/calc/model"

func init() {
	register("llama", llama, nil)
	register("mistral", mistral, nil)
}

// llama is the plain decoder: grouped-query attention, gated network, RMS
// norms before each, biases only when asked for.
func llama(c *cfg) (*model.Model, error) { return llamaLike(c, "llama").build() }

func llamaLike(c *cfg, arch string) *decoder {
	d := newDecoder(c, arch)
	b := c.bool(false, "attention_bias", "qkv_bias", "bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.ffn.Bias = c.bool(false, "mlp_bias")
	return d
}

// mistral slides over every layer when sliding_window is set; releases after
// the first set it to null.
func mistral(c *cfg) (*model.Model, error) {
	d := llamaLike(c, "llama")
	d.slideBy(c.window(), always)
	return d.build()
}

// assumed is the generic decoder for an unknown model_type whose keys are all
// those of a standard decoder.
func assumed(c *cfg) (*model.Model, error) {
	d := llamaLike(c, "")
	if c.has("sliding_window") {
		d.slideBy(c.window(), nil)
	}
	c.note("model_type", c.modelType, "assumed: unknown type, read as a standard decoder")
	return d.build()
}
