package hfconfig

import "hwledger/calc/model"

func init() {
	register("chatglm", chatGLM, nil)
	register("glm", glm, nil)
	register("glm4", glm, defaults{"attention_bias": true})
	register("glm4v", glm, defaults{"attention_bias": true})
	register("glm4v_text", glm, defaults{"attention_bias": true})
	register("glm4_moe", glmMoE, nil)
	register("glm4v_moe", glmMoE, nil)
	register("glm4v_moe_text", glmMoE, nil)
	registerClass("ChatGLM", "chatglm")
	registerClass("Glm4vMoe", "glm4v_moe")
}

// chatGLM is ChatGLM2 to GLM-4 in their own format: fused query, key and
// value with a bias.
func chatGLM(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "chatglm")
	d.attn.Fused = true
	if !c.bool(true, "multi_query_attention") {
		d.attn.KVHeads = d.attn.Heads
	}
	lin := c.bool(false, "add_bias_linear")
	d.attn.QKVBias, d.attn.OutBias, d.ffn.Bias = c.bool(true, "add_qkv_bias") || lin, lin, lin
	if !c.bool(true, "rmsnorm") {
		d.norm = layerNorm
	}
	d.noFinalNorm = !c.bool(true, "post_layer_norm")
	return d.build()
}

// glm has a bias on queries, keys and values; glm4 also normalises what
// attention and network give.
func glm(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "chatglm")
	d.attn.QKVBias = c.bool(false, "attention_bias")
	if c.modelType != "glm" {
		d.m.Arch, d.norms = "glm4", 4
	}
	return d.build()
}

// glmMoE is GLM-4.5 to 4.7: sigmoid routing after the first dense layers, and
// MTP layers with their own embedding and head.
func glmMoE(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "glm4moe")
	d.attn.QKVBias = c.bool(false, "attention_bias")
	if c.bool(false, "use_qk_norm") {
		d.attn.Norms = model.HeadQKNorm
	}
	d.moe = d.readMoE()
	d.moe.RouterCorrection = true
	d.denseFirst()
	d.mtp = mtp{layers: int(c.int(0, "num_nextn_predict_layers")), ownEmbed: true, ownHead: true}
	return d.build()
}
