package hfconfig

import (
	"slices"

	"hwledger/calc/model"
)

func init() {
	for _, t := range []string{"minimax_m3", "minimax_m3_vl", "minimax_m3_vl_text"} {
		register(t, minimaxM3, defaults{
			"dense_intermediate_size": 12288, "shared_intermediate_size": 3072, "use_routing_bias": true,
			"sparse_num_index_heads": 4, "sparse_index_dim": 128,
		})
	}
	registerClass("MiniMaxM3", "minimax_m3")
	registerClass("MiniMaxM3Sparse", "minimax_m3_vl")
}

// minimaxM3 normalises queries and keys by head. Layers that
// sparse_attention_freq marks choose blocks of keys with an indexer, whose
// keys are cached beside the layer's own. moe_layer_freq marks the layers
// with experts. MTP modules named by the configuration are not among the
// published weights.
func minimaxM3(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	c.has("num_mtp_modules", "num_nextn_predict_layers", "qk_norm_type", "use_qk_norm")
	d.attn.Norms = model.HeadQKNorm
	var freq []int64
	index := model.Indexer{Heads: 4, HeadDim: 128}
	if s := c.child("sparse_attention_config"); s != nil {
		index.Heads, index.HeadDim = s.int(4, "sparse_num_index_heads"), s.int(128, "sparse_index_dim")
		index.TopK = s.int(16, "sparse_topk_blocks") * s.int(128, "sparse_block_size")
		freq = s.ints("sparse_attention_freq")
	}
	types := d.layerTypes()
	d.mixers = func(i int) []model.Mixer {
		a := d.attn
		if i < len(freq) && freq[i] != 0 || i < len(types) && types[i] == "minimax_m3_sparse" {
			x := index
			a.Indexer = &x
		}
		return []model.Mixer{&a}
	}
	d.moe = d.readMoE()
	d.moe.SharedWidth = c.int(0, "shared_intermediate_size") * c.int(1, "n_shared_experts")
	d.moe.RouterCorrection = c.bool(true, "use_routing_bias")
	d.ffn.Width = c.need("dense_intermediate_size")
	if kinds := c.strs("mlp_layer_types"); kinds != nil {
		d.sparse = func(i int) bool { return i < len(kinds) && kinds[i] == "sparse" }
		if !slices.Contains(kinds, "sparse") {
			d.moe = model.FFN{}
		}
		return d.build()
	}
	d.denseFirst()
	return d.build()
}
