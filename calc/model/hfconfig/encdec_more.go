package hfconfig

import "hwledger/calc/model"

func init() {
	fixed := defaults{"max_position_embeddings": 1024, "tie_word_embeddings": true}
	register("m2m_100", translator, fixed)
	register("nllb", translator, fixed)
	register("marian", translator, fixed)
	register("pegasus", translator, fixed)
	registerClass("M2M100", "m2m_100")
	registerClass("MarianMT", "marian")
}

// translator is M2M-100 (NLLB), MarianMT and Pegasus: BART without the norm
// after the embeddings and with positions that are computed. Marian and
// Pegasus keep those as weights; M2M-100 and Pegasus have a norm at the end of
// each stack.
func translator(c *cfg) (*model.Model, error) {
	positions := c.need("max_position_embeddings")
	d := newEncDec(c, "", c.need("decoder_layers", "num_hidden_layers"), positions)
	d.norm = layerNorm
	marian := c.modelType == "marian"
	d.noFinalNorm = marian
	h := d.m.Hidden
	d.attn = sided(h, c.need("decoder_attention_heads"), false)
	d.ffn = model.FFN{Width: c.need("decoder_ffn_dim"), Bias: true}
	enc := stack{int(c.need("encoder_layers")), sided(h, c.need("encoder_attention_heads"), false), model.FFN{Width: c.need("encoder_ffn_dim"), Bias: true}, layerNorm}
	ts := enc.append(nil, h, model.Encoder)
	if !marian {
		ts = appendNorm(ts, "enc.output_norm", layerNorm, h)
	}
	stored := marian || c.modelType == "pegasus"
	if stored {
		ts = append(ts, learned("enc.position_embd.weight", positions, h))
	}
	d.extra = inGroup(ts, 0, model.Encoder)
	if stored {
		d.extra = append(d.extra, learned("position_embd.weight", positions, h))
	}
	return d.build()
}
