package hfconfig

import "hwledger/calc/model"

func init() {
	bert := defaults{"type_vocab_size": 2, "max_position_embeddings": 512}
	for _, t := range []string{"bert", "camembert", "electra", "ernie"} {
		register(t, bertLike, bert)
	}
	roberta := defaults{"type_vocab_size": 1}
	for _, t := range []string{"roberta", "xlm-roberta", "xlm-roberta-xl"} {
		register(t, bertLike, roberta)
	}
	register("mpnet", bertLike, defaults{"type_vocab_size": 0, "max_position_embeddings": 514, "relative_attention_num_buckets": 32})
	register("nomic_bert", nomicBert, defaults{"type_vocab_size": 2, "n_positions": 2048})
	register("modernbert", modernBert, defaults{"vocab_size": 50368, "max_position_embeddings": 8192})
	registerClass("XLMRoberta", "xlm-roberta")
	registerClass("NomicBert", "nomic_bert")
}

// newEncoder starts a bidirectional encoder: nothing is kept between steps
// and there is no output projection. Heads for other tasks are not counted.
func newEncoder(c *cfg, arch string) *decoder {
	d := newDecoder(c, arch)
	d.m.Causal, d.m.Tied = false, true
	d.norm = layerNorm
	c.note("task heads", "not counted", "rule: the encoder alone is loaded for embeddings")
	return d
}

// embedded appends learned position and token-type embeddings with the norm
// that follows them.
func (d *decoder) embedded(positions, types int64) {
	h := d.m.Hidden
	if positions > 0 {
		d.extra = append(d.extra, model.Matrix("position_embd.weight", positions, h).As(model.Embedding))
	}
	if types > 0 {
		d.extra = append(d.extra, model.Matrix("token_types.weight", types, h).As(model.Embedding))
	}
	d.extra = appendNorm(d.extra, "token_embd_norm", d.norm, h)
}

// bertLike is BERT and RoBERTa: biases everywhere, learned positions, and the
// pooler over the first token. MPNet has relative positions beside them.
func bertLike(c *cfg) (*model.Model, error) {
	if t := c.str("position_embedding_type"); t != "" && t != "absolute" {
		c.fail(model.UnsupportedArchitecture, "position_embedding_type", "%q adds weights that are not known", t)
	}
	d := newEncoder(c, "bert")
	h := d.m.Hidden
	d.attn.QKVBias, d.attn.OutBias = true, true
	d.ffn.Gated, d.ffn.Bias = false, true
	d.noFinalNorm = true
	d.embedded(c.need("max_position_embeddings"), c.int(0, "type_vocab_size"))
	if n := c.int(0, "relative_attention_num_buckets"); n > 0 {
		d.extra = append(d.extra, model.Matrix("attn_rel_b.weight", n, d.attn.Heads).As(model.Vector))
	}
	d.extra = append(d.extra, model.Matrix("pooler.weight", h, h), model.Vec("pooler.bias", model.Bias, h))
	return d.build()
}

// nomicBert has rotary positions, no biases and a gated network.
func nomicBert(c *cfg) (*model.Model, error) {
	d := newEncoder(c, "nomic-bert")
	b := c.bool(false, "qkv_proj_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.ffn.Bias = c.bool(false, "mlp_fc1_bias")
	d.noFinalNorm = true
	d.embedded(0, c.int(0, "type_vocab_size"))
	return d.build()
}

// modernBert has rotary positions, norms without bias and a gated network;
// the first layer has no norm before its attention.
func modernBert(c *cfg) (*model.Model, error) {
	d := newEncoder(c, "modern-bert")
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias, d.attn.Fused = b, b, true
	d.ffn.Bias = c.bool(false, "mlp_bias")
	d.norm = rmsNorm
	if c.bool(false, "norm_bias") {
		d.norm = layerNorm
	}
	d.embedded(0, 0)
	c.has("global_attn_every_n_layers", "local_attention")
	first := true
	d.layerNorms = func(dst []model.Tensor, _ *model.Layer) []model.Tensor {
		if !first {
			dst = appendNorm(dst, "attn_norm", d.norm, d.m.Hidden)
		}
		first = false
		return appendNorm(dst, "ffn_norm", d.norm, d.m.Hidden)
	}
	return d.build()
}
