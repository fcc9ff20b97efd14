package hfconfig

import "hwledger/calc/model"

func init() {
	for _, t := range []string{"minimax_text_01", "minimax_m1", "minimax"} {
		register(t, minimaxText, nil)
	}
	registerClass("MiniMaxText01", "minimax_text_01")
	registerClass("MiniMaxM1", "minimax_m1")
}

// minimaxText is seven lightning attention layers to one of softmax
// attention, all with experts. attn_type_list says 1 for softmax; the form in
// transformers has layer_types instead.
func minimaxText(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	x := model.Lightning{Heads: d.attn.Heads, HeadDim: d.attn.KeyDim}
	var linear func(int) bool
	if flags := c.ints("attn_type_list"); flags != nil {
		if len(flags) < d.layers {
			c.fail(model.MalformedFile, "attn_type_list", "%d entries for %d layers", len(flags), d.layers)
		}
		linear = func(i int) bool { return flags[i] == 0 }
	} else if c.has("layer_types") {
		linear = d.linearLayers()
	} else {
		c.lack("attn_type_list")
	}
	d.mixers = func(i int) []model.Mixer {
		if linear(i) {
			l := x
			return []model.Mixer{&l}
		}
		a := d.attn
		return []model.Mixer{&a}
	}
	d.moe = d.readMoE()
	d.moe.SharedWidth = c.int(0, "shared_intermediate_size")
	return d.build()
}
