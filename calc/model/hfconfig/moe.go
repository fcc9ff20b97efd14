package hfconfig

import "hwledger/calc/model"

func init() {
	register("mixtral", mixtral, nil)
	register("granitemoe", mixtral, defaults{"tie_word_embeddings": false})
	register("olmoe", olmoe, nil)
	register("grok-1", grok, nil)
	register("dots1", dots, nil)
	register("ernie4_5_moe", ernieMoE, defaults{"tie_word_embeddings": true})
	register("bailing_moe", bailing, nil)
	register("bailing_moe_v2", bailing, nil)
	register("arctic", arctic, nil)
	register("dbrx", dbrx, defaults{"tie_word_embeddings": false})
	register("hunyuan", hunyuan, nil)
	register("hunyuan_v1_moe", hunyuan, nil)
	register("minimax_m2", minimaxM2, nil)
	register("phimoe", phiMoE, nil)
	registerClass("Grok1", "grok-1")
	registerClass("HunYuanMoEV1", "hunyuan_v1_moe")
	registerClass("BailingMoe", "bailing_moe")
}

// readMoE reads the routed network: the number of experts, how many serve a
// token, their width (the dense one unless given) and the shared experts,
// whose width is given outright or as a number of routed widths.
func (d *decoder) readMoE() model.FFN {
	c := d.cfg
	f := model.FFN{
		Gated:   true,
		Experts: c.need("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"),
		TopK:    c.need("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "top_k_experts", "moe_topk", "moe_top_k", "moe_k"),
	}
	if f.TopK > f.Experts {
		c.fail(model.MalformedFile, "num_experts_per_tok", "%d experts serve a token, but there are only %d", f.TopK, f.Experts)
	}
	f.ExpertWidth = c.int(d.ffn.Width, "moe_intermediate_size", "expert_ffn_hidden_size")
	if f.ExpertWidth == 0 {
		c.lack("moe_intermediate_size")
	}
	if w, ok := c.maybe("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "share_expert_dim"); ok {
		f.SharedWidth = w
	} else {
		f.SharedWidth = f.ExpertWidth * c.int(0, "n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
	}
	return f
}

// denseFirst makes the first layers dense, and of the rest those whose number
// moe_layer_freq does not divide. moe_layer_freq may be a list of flags.
func (d *decoder) denseFirst() {
	first := int(d.int(0, "first_k_dense_replace"))
	if v, _, ok := d.get("moe_layer_freq"); ok {
		if _, isList := v.([]any); isList {
			flags := d.ints("moe_layer_freq")
			if len(flags) < d.layers {
				d.fail(model.MalformedFile, "moe_layer_freq", "%d entries for %d layers", len(flags), d.layers)
				return
			}
			d.sparse = func(i int) bool { return flags[i] != 0 }
			return
		}
	}
	freq := int(max(1, d.int(1, "moe_layer_freq")))
	d.sparse = func(i int) bool { return i >= first && i%freq == 0 }
}

// mixtral routes every layer.
func mixtral(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "llama")
	if c.modelType == "granitemoe" {
		d.m.Arch = "granitemoe"
	}
	d.moe = d.readMoE()
	d.slideBy(c.window(), always)
	return d.build()
}

// olmoe normalises queries and keys over all heads.
func olmoe(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "olmoe")
	d.attn.Norms = model.FullQKNorm
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.moe = d.readMoE()
	return d.build()
}

// grok has norms before and after attention and network.
func grok(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "grok")
	d.norms = 4
	d.moe = d.readMoE()
	return d.build()
}

// dots is a sigmoid-routed MoE with normalised queries and keys.
func dots(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "dots1")
	d.attn.Norms = model.HeadQKNorm
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.moe = d.readMoE()
	d.moe.RouterCorrection = true
	d.denseFirst()
	return d.build()
}

// ernieMoE routes the layers from start to end index at an interval.
func ernieMoE(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "ernie4_5-moe")
	d.moe = d.readMoE()
	d.moe.RouterCorrection = c.bool(true, "moe_use_aux_free")
	start, end := c.int(0, "moe_layer_start_index"), c.int(int64(d.layers)-1, "moe_layer_end_index")
	if end < 0 {
		end = int64(d.layers) - 1
	}
	step := max(1, c.int(1, "moe_layer_interval"))
	d.sparse = func(i int) bool {
		n := int64(i)
		return n >= start && n <= end && (n+1)%step == 0
	}
	return d.build()
}

// bailing is Ling: its second generation (by class name) normalises queries
// and keys and corrects the router.
func bailing(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "bailingmoe")
	b := c.bool(false, "use_qkv_bias")
	d.attn.QKVBias, d.attn.OutBias = b, c.bool(false, "use_bias")
	d.moe = d.readMoE()
	d.denseFirst()
	second := c.class() == "BailingMoeV2" || c.modelType == "bailing_moe_v2"
	if second {
		d.m.Arch = "bailingmoe2"
	}
	if c.bool(second, "use_qk_norm") {
		d.attn.Norms = model.HeadQKNorm
	}
	d.moe.RouterCorrection = c.bool(second, "moe_router_enable_expert_bias")
	d.mtp.layers = int(c.int(0, "num_nextn_predict_layers"))
	return d.build()
}

// arctic adds, in routed layers, a dense network of the hidden size in
// parallel with its own norm.
func arctic(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "arctic")
	d.moe = d.readMoE()
	freq := int(max(1, c.int(2, "moe_layer_frequency")))
	d.sparse = func(i int) bool { return (i+1)%freq == 0 }
	if c.bool(false, "parallel_attn_mlp_res") {
		d.moe.Width = d.m.Hidden
		d.perLayer = func(dst []model.Tensor, l *model.Layer) []model.Tensor {
			if l.FFN.MoE() {
				dst = append(dst, model.Vec("ffn_norm_exps.weight", model.Norm, d.m.Hidden))
			}
			return dst
		}
	}
	return d.build()
}

// dbrx keeps attention and expert sizes in nested objects.
func dbrx(c *cfg) (*model.Model, error) {
	ffn, attn := c.child("ffn_config"), c.child("attn_config")
	if ffn == nil || attn == nil {
		c.lack("ffn_config")
		c.lack("attn_config")
		return nil, c.failure()
	}
	d := newDecoder(c, "dbrx")
	d.attn.KVHeads = attn.int(d.attn.Heads, "kv_n_heads")
	d.attn.Fused = true
	d.moe = model.FFN{
		Gated: true, Experts: ffn.need("moe_num_experts"), TopK: ffn.need("moe_top_k"), ExpertWidth: ffn.need("ffn_hidden_size"),
	}
	return d.build()
}

// hunyuan is Hunyuan-Large and A13B. Cross-layer attention, when on, lets
// cla_share_factor consecutive layers share the keys and values of the first.
func hunyuan(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "hunyuan-moe")
	if n := c.int(0, "attention_head_dim"); n > 0 {
		d.attn.KeyDim, d.attn.ValueDim = n, n
	}
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	if c.bool(false, "use_qk_norm") {
		d.attn.Norms = model.HeadQKNorm
	}
	d.moe = d.readMoE()
	if !c.bool(true, "use_mixed_mlp_moe") {
		d.moe.SharedWidth = 0
	}
	skip := int(c.int(0, "moe_layer_num_skipped"))
	d.sparse = func(i int) bool { return i >= skip }
	if share := int(c.int(1, "cla_share_factor")); c.bool(false, "use_cla") && share > 1 {
		d.mixers = func(i int) []model.Mixer {
			a := d.attn
			if own := i - i%share; own != i {
				a.SharedFrom = own
			}
			return []model.Mixer{&a}
		}
	}
	return d.build()
}

// minimaxM2 normalises queries and keys over all heads. Its configuration
// names MTP modules that the published weights do not contain.
func minimaxM2(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "minimax-m2")
	c.has("num_mtp_modules", "mtp_transformer_layers", "use_mtp", "attn_type_list", "qk_norm_type")
	if c.bool(true, "use_qk_norm") {
		d.attn.Norms = model.FullQKNorm
	}
	d.moe = d.readMoE()
	d.moe.SharedWidth = c.int(0, "shared_intermediate_size")
	d.moe.RouterCorrection = c.bool(true, "use_routing_bias")
	return d.build()
}

// phiMoE normalises with LayerNorm and has biases in attention and head.
func phiMoE(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "phimoe")
	d.norm = layerNorm
	b := c.bool(true, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	d.headBias = c.bool(true, "lm_head_bias")
	d.moe = d.readMoE()
	d.slideBy(c.window(), always)
	return d.build()
}
