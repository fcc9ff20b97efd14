package hfconfig

import "hwledger/calc/model"

func init() {
	register("gpt_oss", gptOSS, defaults{"attention_bias": true, "sliding_window": 128})
}

// gptOSS has a learned logit for each head (a sink, which takes no cache),
// biases on everything but norms, and slides in every other layer.
func gptOSS(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "gpt-oss")
	b := c.bool(true, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias, d.attn.Sinks = b, b, true
	d.moe = d.readMoE()
	d.moe.RouterBias, d.moe.ExpertBias = true, true
	d.slideBy(c.window(), every(2))
	return d.build()
}
