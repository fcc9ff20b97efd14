package hfconfig

import "hwledger/calc/model"

func init() {
	tied := defaults{"tie_word_embeddings": true}
	register("gpt2", gpt2, tied)
	register("gpt_bigcode", bigcode, tied)
	register("gpt_neox", neox, nil)
	register("gptj", gptj, nil)
	register("codegen", gptj, nil)
	register("opt", opt, tied)
	register("bloom", bloom, tied)
	register("falcon", falcon, tied)
	register("RefinedWeb", falcon, tied)
	register("RefinedWebModel", falcon, defaults{"tie_word_embeddings": true, "multi_query": true})
	register("mpt", mpt, tied)
	register("starcoder2", starcoder2, defaults{"tie_word_embeddings": true, "use_bias": true})
	register("stablelm", stablelm, nil)
	register("stablelm_epoch", stablelm, nil)
	registerClass("GPT2", "gpt2")
	registerClass("OPT", "opt")
}

// classic is the decoder of the GPT-2 kind: LayerNorm, a plain network four
// times as wide as the hidden size unless given, biases everywhere.
func classic(c *cfg, arch string) *decoder {
	d := newDecoder(c, arch)
	d.norm = layerNorm
	d.attn.QKVBias, d.attn.OutBias = true, true
	d.ffn.Gated, d.ffn.Bias = false, true
	if d.ffn.Width == 0 {
		d.ffn.Width = 4 * d.m.Hidden
		c.note("intermediate_size", d.ffn.Width, "rule of "+c.modelType+": 4 × hidden size")
	}
	return d
}

// positions appends a learned position embedding of n rows.
func (d *decoder) positions(n int64) {
	d.extra = append(d.extra, model.Matrix("position_embd.weight", n, d.m.Hidden).As(model.Embedding))
}

func gpt2(c *cfg) (*model.Model, error) {
	d := classic(c, "gpt2")
	d.attn.Fused = true
	d.positions(c.need("n_positions"))
	return d.build()
}

// bigcode is GPT-2 with one key/value head when multi_query is set.
func bigcode(c *cfg) (*model.Model, error) {
	d := classic(c, "starcoder")
	d.attn.Fused = true
	if c.bool(true, "multi_query") {
		d.attn.KVHeads = 1
		c.note("num_key_value_heads", 1, "rule of gpt_bigcode: multi_query")
	}
	d.positions(c.need("n_positions"))
	return d.build()
}

func neox(c *cfg) (*model.Model, error) {
	d := classic(c, "gptneox")
	d.attn.Fused = true
	b := c.bool(true, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	return d.build()
}

// gptj has one norm for attention and network in parallel, and a bias on the
// head but none in attention.
func gptj(c *cfg) (*model.Model, error) {
	d := classic(c, "") // llama.cpp has none
	d.attn.QKVBias, d.attn.OutBias = false, false
	d.norms, d.headBias = 1, true
	return d.build()
}

// opt learns max_position_embeddings + 2 positions. Models with a narrower
// word embedding (opt-350m) project in and out of it.
func opt(c *cfg) (*model.Model, error) {
	d := classic(c, "") // llama.cpp has none
	b := c.bool(true, "enable_bias")
	d.attn.QKVBias, d.attn.OutBias, d.ffn.Bias = b, b, b
	if !c.bool(true, "layer_norm_elementwise_affine") {
		d.norm = noNorm
	}
	d.noFinalNorm = !c.bool(true, "do_layer_norm_before") || c.bool(false, "_remove_final_layer_norm")
	d.positions(c.need("max_position_embeddings") + 2)
	if p := c.int(d.m.Hidden, "word_embed_proj_dim"); p != d.m.Hidden {
		d.embedDim = p
		d.extra = append(d.extra, model.Matrix("project_in.weight", d.m.Hidden, p), model.Matrix("project_out.weight", p, d.m.Hidden))
	}
	return d.build()
}

// bloom normalises the embedding too; positions are ALiBi.
func bloom(c *cfg) (*model.Model, error) {
	d := classic(c, "bloom")
	d.attn.Fused = true
	d.extra = appendNorm(nil, "token_embd_norm", layerNorm, d.m.Hidden)
	return d.build()
}

// falcon has one key/value head for multi_query unless the newer decoder
// architecture gives num_kv_heads; its norms depend on the architecture too.
func falcon(c *cfg) (*model.Model, error) {
	d := classic(c, "falcon")
	d.attn.Fused = true
	b := c.bool(false, "bias")
	d.attn.QKVBias, d.attn.OutBias, d.ffn.Bias = b, b, b
	newer := c.bool(false, "new_decoder_architecture")
	switch {
	case newer && c.int(2, "num_ln_in_parallel_attn") == 1, !newer && c.bool(true, "parallel_attn"):
		d.norms = 1
	}
	if mq := c.bool(true, "multi_query"); !newer {
		d.attn.KVHeads = d.attn.Heads
		if mq {
			d.attn.KVHeads = 1
		}
		c.note("num_key_value_heads", d.attn.KVHeads, "rule of falcon: multi_query without new_decoder_architecture")
	}
	return d.build()
}

// mpt nests attention settings; without biases its norms have none either.
func mpt(c *cfg) (*model.Model, error) {
	d := classic(c, "mpt")
	d.attn.Fused = true
	if c.bool(true, "no_bias") {
		d.attn.QKVBias, d.attn.OutBias, d.ffn.Bias, d.norm = false, false, false, rmsNorm
	}
	d.ffn.Width = d.m.Hidden * c.int(4, "expansion_ratio")
	alibi := false
	if a := c.child("attn_config"); a != nil {
		d.attn.KVHeads = max(1, a.int(d.attn.Heads, "kv_n_heads"))
		alibi = a.bool(false, "alibi")
		if a.str("attn_type") == "multiquery_attention" {
			d.attn.KVHeads = 1
		}
		if a.bool(false, "qk_ln") {
			d.attn.Norms = model.FullQKNorm
		}
	}
	if c.bool(true, "learned_pos_emb") && !alibi {
		d.positions(c.need("max_seq_len"))
	}
	return d.build()
}

// starcoder2 is a plain network with biases and a window on every layer.
func starcoder2(c *cfg) (*model.Model, error) {
	d := classic(c, "starcoder2")
	b := c.bool(true, "use_bias")
	d.attn.QKVBias, d.attn.OutBias, d.ffn.Bias = b, b, b
	d.slideBy(c.window(), always)
	return d.build()
}

// stablelm is llama with LayerNorm; the parallel form has one norm in a layer
// and the 12B normalises each head of queries and keys with its own weight.
func stablelm(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "stablelm")
	d.norm = layerNorm
	d.attn.QKVBias = c.bool(false, "use_qkv_bias")
	if c.bool(false, "use_parallel_residual") {
		d.norms = 1
	}
	if c.bool(false, "qk_layernorm") {
		d.attn.Norms = model.FullQKNorm
	}
	return d.build()
}
