package hfconfig

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
)

func init() {
	l4 := defaults{"interleave_moe_layer_step": 1, "attention_chunk_size": 8192, "no_rope_layer_interval": 4}
	register("llama4", llama4, l4)
	register("llama4_text", llama4, l4)
	register("mimo_v2_flash", mimoV2, nil)
	register("laguna", laguna, nil)
	register("step3p5", step3p5, nil)
	register("step3p7", step3p5, nil)
	register("step3_vl", step3, nil)
	register("step3_text", step3, nil)
	register("nemotron-nas", nemotronNAS, nil)
	registerClass("DeciLM", "nemotron-nas")
	registerClass("Step3VL", "step3_vl")
}

// perLayerInts reads a list with an entry for every layer.
func (d *decoder) perLayerInts(name string) []int64 {
	l := d.ints(name)
	if l != nil && len(l) < d.layers {
		d.fail(model.MalformedFile, name, "%d entries for %d layers", len(l), d.layers)
		return nil
	}
	return l
}

// llama4 attends within chunks except in every fourth layer, which has no
// rotary positions: a 0 in no_rope_layers marks it. Routed layers interleave
// with dense ones of another width, and one expert serves every token.
func llama4(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "llama4")
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	chunk, step := c.int(8192, "attention_chunk_size"), c.int(4, "no_rope_layer_interval")
	full := func(i int) bool { return step > 0 && (int64(i)+1)%step == 0 }
	if types := d.layerTypes(); types != nil {
		full = func(i int) bool { return types[i] == "full_attention" }
	} else if flags := c.ints("no_rope_layers"); len(flags) > 0 {
		flags = d.perLayerInts("no_rope_layers")
		full = func(i int) bool { return i < len(flags) && flags[i] == 0 }
	}
	d.mixers = func(i int) []model.Mixer {
		a := d.attn
		if !full(i) {
			a.Window, a.Chunked = chunk, true
		}
		return []model.Mixer{&a}
	}
	d.moe = d.readMoE()
	d.moe.ExpertWidth = d.ffn.Width
	d.moe.SharedWidth = d.ffn.Width
	d.ffn.Width = c.int(0, "intermediate_size_mlp")
	interleave := max(1, c.int(1, "interleave_moe_layer_step"))
	d.sparse = func(i int) bool { return (int64(i)+1)%interleave == 0 }
	if list := c.ints("moe_layers"); list != nil {
		d.sparse = among(list)
	}
	return d.build()
}

// among holds for the listed layers.
func among(list []int64) func(layer int) bool {
	set := map[int64]bool{}
	for _, i := range list {
		set[i] = true
	}
	return func(i int) bool { return set[int64(i)] }
}

// mimoV2 has key/value heads of its own number in sliding layers, and keys
// longer than values. It ships an attention_chunk_size that means nothing.
func mimoV2(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "mimo2")
	c.has("attention_chunk_size")
	d.attn.ValueDim = c.int(d.attn.KeyDim, "v_head_dim")
	d.attn.Sinks = c.bool(false, "add_full_attention_sink_bias")
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias = b
	local := d.attn
	local.Heads = c.int(local.Heads, "swa_num_attention_heads")
	local.KVHeads = c.int(local.KVHeads, "swa_num_key_value_heads")
	local.KeyDim = c.int(local.KeyDim, "swa_head_dim")
	local.ValueDim = c.int(local.ValueDim, "swa_v_head_dim")
	local.Sinks = c.bool(false, "add_swa_attention_sink_bias")
	if local.Window = c.window(); local.Window == 0 {
		c.lack("sliding_window")
	}
	pattern := d.perLayerInts("hybrid_layer_pattern")
	if pattern == nil {
		c.lack("hybrid_layer_pattern")
		return nil, c.failure()
	}
	d.mixers = func(i int) []model.Mixer {
		a := d.attn
		if pattern[i] == 1 {
			a = local
		}
		return []model.Mixer{&a}
	}
	d.moe = d.readMoE()
	d.moe.RouterCorrection = true
	d.denseFirst()
	return d.build()
}

// laguna has more query heads in sliding layers and a gate on each head.
func laguna(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "laguna")
	heads := d.perLayerInts("num_attention_heads_per_layer")
	if d.attn.Norms = model.HeadQKNorm; heads == nil {
		heads = make([]int64, d.layers)
		for i := range heads {
			heads[i] = d.attn.Heads
		}
	}
	gate, from, gated := c.get("gating")
	c.has("gating_types")
	types, w := d.fullAndSliding(func(int) bool { return false }), c.window()
	if c.failure() != nil {
		return nil, c.failure()
	}
	d.mixers = func(i int) []model.Mixer {
		a := d.attn
		a.Heads = heads[i]
		if types[i] == "sliding_attention" {
			a.Window = w
		}
		return []model.Mixer{&a}
	}
	if gated && gate != false {
		c.note("gating", gate, from)
		d.perLayer = func(dst []model.Tensor, l *model.Layer) []model.Tensor {
			if a, ok := l.Mixers[0].(*model.Attention); ok {
				dst = append(dst, model.Matrix("attn_gate.weight", a.Heads, d.m.Hidden).With(model.ByColumn))
			}
			return dst
		}
	}
	d.moe = d.readMoE()
	d.moe.RouterCorrection = true
	d.mlpTypes()
	c.inexact("num_experts", "norms and router of laguna are taken to be those of its kin")
	return d.build()
}

// mlpTypes reads mlp_layer_types, or Qwen's two keys without it.
func (d *decoder) mlpTypes() {
	types := d.strs("mlp_layer_types")
	if types == nil {
		d.qwenSparse()
		return
	}
	if len(types) < d.layers {
		d.fail(model.MalformedFile, "mlp_layer_types", "%d entries for %d layers", len(types), d.layers)
		return
	}
	d.has("mlp_only_layers", "decoder_sparse_step")
	d.sparse = func(i int) bool { return types[i] == "sparse" }
}

// step3p5 is Step-3.5/3.7-Flash: sliding layers as layer_types says, sigmoid
// routing after the first dense layers.
func step3p5(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "step35")
	d.attn.Norms = model.HeadQKNorm
	d.slideBy(c.window(), nil)
	d.moe = d.readMoE()
	d.moe.RouterCorrection = c.bool(false, "use_moe_router_bias")
	c.has("n_shared_experts")
	d.denseFirst()
	d.mtp.layers = int(c.int(0, "num_nextn_predict_layers"))
	c.inexact("num_hidden_layers", "norms, gates and MTP layers of "+c.modelType+" are taken to be those of its kin")
	return d.build()
}

// step3 projects queries through share_q_dim and has one key/value head for
// all of them. moe_layers_enum lists the routed layers as text.
func step3(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	d.attn.QLoRARank, d.attn.KVHeads = c.need("share_q_dim"), c.need("num_attention_groups")
	d.moe = d.readMoE()
	enum := c.str("moe_layers_enum")
	if enum == "" {
		c.lack("moe_layers_enum")
		return nil, c.failure()
	}
	var list []int64
	for _, s := range strings.Split(enum, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
		if err != nil {
			c.fail(model.MalformedFile, "moe_layers_enum", "%q is not a layer", s)
			return nil, c.failure()
		}
		list = append(list, n)
	}
	d.sparse = among(list)
	return d.build()
}
