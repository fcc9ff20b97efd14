package hfconfig

import "hwledger/calc/model"

func init() {
	register("distilbert", distilBert, defaults{"max_position_embeddings": 512})
	register("deberta-v2", debertaV2, defaults{
		"max_position_embeddings": 512, "type_vocab_size": 0, "relative_attention": false, "position_biased_input": true,
		"share_att_key": false, "position_buckets": -1, "max_relative_positions": -1, "conv_kernel_size": 0,
	})
	register("albert", albert, defaults{"max_position_embeddings": 512, "type_vocab_size": 2, "embedding_size": 128, "num_hidden_groups": 1, "inner_group_num": 1})
	registerClass("DebertaV2", "deberta-v2")
}

// distilBert is BERT without token types and without the pooler, under names
// of its own.
func distilBert(c *cfg) (*model.Model, error) {
	d := newEncoder(c, "")
	d.attn.QKVBias, d.attn.OutBias = true, true
	d.ffn = model.FFN{Width: c.need("hidden_dim", "intermediate_size"), Bias: true}
	d.noFinalNorm = true
	d.embedded(c.need("max_position_embeddings"), 0)
	return d.build()
}

// debertaV2 is DeBERTa V2 and V3: positions are relative rows that queries and
// keys meet through the content's own projections (share_att_key) or through
// two more in every layer. A convolution beside the first layer is not known.
func debertaV2(c *cfg) (*model.Model, error) {
	if n, ok := c.maybe("conv_kernel_size"); ok && n > 0 {
		c.fail(model.UnsupportedArchitecture, "conv_kernel_size", "the convolution of the xlarge models is not known")
	}
	d := newEncoder(c, "")
	h := d.m.Hidden
	d.attn.QKVBias, d.attn.OutBias = true, true
	d.ffn.Gated, d.ffn.Bias = false, true
	d.noFinalNorm = true
	positions := int64(0)
	if c.bool(true, "position_biased_input") {
		positions = c.need("max_position_embeddings")
	}
	d.embedded(positions, c.int(0, "type_vocab_size"))
	if c.bool(false, "relative_attention") {
		rows := c.signed("position_buckets")
		if rows <= 0 {
			if rows = c.signed("max_relative_positions"); rows <= 0 {
				rows = c.need("max_position_embeddings")
			}
		}
		d.extra = append(d.extra, model.Matrix("attn_rel_b.weight", 2*rows, h).As(model.Embedding))
		if c.str("norm_rel_ebd") == "layer_norm" {
			d.extra = appendNorm(d.extra, "attn_rel_norm", layerNorm, h)
		}
		if !c.bool(false, "share_att_key") {
			d.perLayer = func(dst []model.Tensor, _ *model.Layer) []model.Tensor {
				return append(append(dst, linear("attn_rel_k", h, h)...), linear("attn_rel_q", h, h)...)
			}
		}
	}
	return d.build()
}

// signed reads a count for which -1 means none, as 0.
func (c *cfg) signed(name string) int64 {
	v, _, ok := c.get(name)
	if n, isInt := v.(int); ok && isInt && n < 0 {
		return 0
	}
	if !ok {
		return 0
	}
	n, _ := c.number(v, name, name)
	return max(0, n)
}

// albert applies the weights of one layer of each group in all of the group's
// layers, and embeds in a smaller width.
func albert(c *cfg) (*model.Model, error) {
	if n := c.int(1, "inner_group_num"); n != 1 {
		c.fail(model.UnsupportedArchitecture, "inner_group_num", "groups of %d layers are not known", n)
	}
	d := newEncoder(c, "")
	h, e := d.m.Hidden, c.need("embedding_size")
	groups := int(c.need("num_hidden_groups"))
	d.embedDim = e
	d.noFinalNorm = true
	d.ffn.Gated, d.ffn.Bias = false, true
	d.attn.QKVBias, d.attn.OutBias = true, true
	own := func(i int) bool { return i < groups }
	d.mixers = func(i int) []model.Mixer {
		a := d.attn
		a.Weightless = !own(i)
		return []model.Mixer{&a}
	}
	d.ffns = func(i int) model.FFN {
		f := d.ffn
		f.Weightless = !own(i)
		return f
	}
	d.layerNorms = func(dst []model.Tensor, l *model.Layer) []model.Tensor {
		if l.FFN.Weightless {
			return dst
		}
		return appendNorm(appendNorm(dst, "attn_norm", layerNorm, h), "ffn_norm", layerNorm, h)
	}
	d.extra = append(d.extra, learned("position_embd.weight", c.need("max_position_embeddings"), e), learned("token_types.weight", c.need("type_vocab_size"), e))
	d.extra = appendNorm(d.extra, "token_embd_norm", layerNorm, e)
	d.extra = append(append(d.extra, linear("embd_proj", h, e)...), linear("pooler", h, h)...)
	return d.build()
}
