package hfconfig

import "hwledger/calc/model"

func init() {
	register("kimi_linear", kimiLinear, nil)
	register("kimi_k3", kimiLinear, nil)
	registerClass("KimiLinear", "kimi_linear")
}

// kimiLinear mixes Kimi delta attention with latent attention, by lists of
// layers counted from 1. Kimi K3 adds a query rank, gates at full rank,
// experts on a latent width and attention residuals.
func kimiLinear(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "kimi-linear")
	lin := c.child("linear_attn_config")
	if lin == nil {
		d.lack("linear_attn_config")
		return nil, c.failure()
	}
	kda := model.KDA{
		Heads: lin.need("num_heads"), HeadDim: lin.need("head_dim"), Conv: lin.int(4, "short_conv_kernel_size"),
		FullRankGate: lin.bool(false, "use_full_rank_gate"),
	}
	mla := model.MLA{
		Heads: d.attn.Heads, QLoRARank: c.int(0, "q_lora_rank"), KVLoRARank: c.need("kv_lora_rank"),
		NopeDim: c.need("qk_nope_head_dim"), RopeDim: c.need("qk_rope_head_dim"), ValDim: c.need("v_head_dim"),
		OutputGate: c.bool(false, "mla_use_output_gate"),
	}
	linear := d.kimiLayers(lin)
	d.mixers = func(i int) []model.Mixer {
		if linear(i) {
			k := kda
			return []model.Mixer{&k}
		}
		m := mla
		return []model.Mixer{&m}
	}
	// The delta rule's state is kept in float32 whatever the model's dtype.
	d.m.StateType = "float32"
	if c.has("num_experts") {
		d.moe = d.readMoE()
		d.moe.RouterCorrection = true
		if n := c.int(0, "routed_expert_hidden_size"); n > 0 && n != d.m.Hidden {
			d.moe.Latent, d.moe.LatentNorm = n, c.bool(false, "latent_moe_use_norm")
		}
		d.denseFirst()
	}
	if c.int(0, "attn_res_block_size") > 0 {
		d.m.Arch, kda.DecayRows = "", kda.HeadDim
		d.layerNorms = d.attentionResiduals
		d.inexact("attn_res_block_size", "attention residuals counted as a norm and a projection to one feature for each half of a layer")
	}
	d.mtp.layers = int(c.int(0, "num_nextn_predict_layers"))
	return d.build()
}

// attentionResiduals appends the norms of a layer and, for attention and
// network each, the norm and the vector that weigh earlier residuals.
func (d *decoder) attentionResiduals(dst []model.Tensor, l *model.Layer) []model.Tensor {
	h := d.m.Hidden
	dst = d.normPerPart(dst, l)
	for _, n := range [...]string{"attn_res", "mlp_res"} {
		dst = append(dst, model.Vec(n+"_norm.weight", model.Norm, h), model.Vec(n+"_proj.weight", model.Vector, h))
	}
	return dst
}

// kimiLayers tells which layers are linear. Every layer must be in exactly one
// of the two lists.
func (d *decoder) kimiLayers(lin *cfg) func(layer int) bool {
	kda, full := d.marked(lin.ints("kda_layers"), 1), d.marked(lin.ints("full_attn_layers"), 1)
	for i := range kda {
		if kda[i] == full[i] {
			d.fail(model.UnsupportedArchitecture, "linear_attn_config.kda_layers, full_attn_layers", "layer %d is not in exactly one of the lists", i+1)
			break
		}
	}
	return func(i int) bool { return kda[i] }
}
