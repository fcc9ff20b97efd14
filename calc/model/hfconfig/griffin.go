package hfconfig

import "hwledger/calc/model"

func init() {
	register("recurrent_gemma", recurrentGemma, defaults{
		"tie_word_embeddings": true, "attention_window_size": 2048, "conv1d_width": 4, "vocab_size": 256000,
		"attention_bias": false, "num_key_value_heads": 1,
	})
	registerClass("RecurrentGemma", "recurrent_gemma")
}

// recurrentGemma repeats block_types: real-gated linear recurrent units with
// sliding attention between them. The stated width of the network counts gate
// and up-projection together.
func recurrentGemma(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "")
	d.attn.Window = c.need("attention_window_size")
	d.attn.QKVBias, d.attn.OutBias = c.bool(false, "attention_bias"), true
	d.ffn.Width /= 2
	d.ffn.Bias = true
	x := model.RGLRU{Width: c.int(d.m.Hidden, "lru_width"), Conv: c.need("conv1d_width"), Heads: d.attn.Heads}
	types := c.strs("block_types", "_block_types")
	if types == nil {
		types = []string{"recurrent", "recurrent", "attention"}
		c.note("block_types", types, "class default of recurrent_gemma")
	}
	for _, t := range types {
		if t != "recurrent" && t != "attention" {
			c.fail(model.UnsupportedArchitecture, "block_types", "%q is not known", t)
		}
	}
	d.mixers = func(i int) []model.Mixer {
		if types[i%len(types)] == "attention" {
			a := d.attn
			return []model.Mixer{&a}
		}
		r := x
		return []model.Mixer{&r}
	}
	if len(types) == 0 {
		c.lack("block_types")
	}
	return d.build()
}
