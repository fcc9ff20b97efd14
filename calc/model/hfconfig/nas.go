package hfconfig

import "hwledger/calc/model"

// nemotronNAS gives each block its own attention and network, either of which
// may be missing: heads by the number that share a key/value head, widths by
// a multiple of the hidden size.
func nemotronNAS(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "deci")
	blocks := c.list("block_configs")
	if len(blocks) < d.layers {
		if blocks == nil {
			c.lack("block_configs")
		} else {
			c.fail(model.MalformedFile, "block_configs", "%d entries for %d layers", len(blocks), d.layers)
		}
		return nil, c.failure()
	}
	b := c.bool(false, "attention_bias")
	d.attn.QKVBias, d.attn.OutBias = b, b
	layers := make([]model.Layer, d.layers)
	for i := range layers {
		layers[i] = d.nasBlock(blocks[i])
	}
	d.mixers = func(i int) []model.Mixer { return layers[i].Mixers }
	d.ffns = func(i int) model.FFN { return layers[i].FFN }
	d.layerNorms = d.normPerPart
	return d.build()
}

func (d *decoder) nasBlock(raw any) (l model.Layer) {
	o, ok := raw.(map[string]any)
	if !ok {
		d.fail(model.MalformedFile, "block_configs", "want objects, got %s", kindOf(raw))
		return l
	}
	block := &cfg{record: d.record, obj: o, path: d.path + "block_configs[]."}
	quiet := len(d.facts)
	defer func() { d.facts = d.facts[:quiet] }()
	attn, ffn := block.child("attention"), block.child("ffn")
	if attn == nil || ffn == nil {
		block.lack("attention and ffn")
		return l
	}
	for _, part := range []*cfg{attn, ffn} {
		if part.bool(false, "replace_with_linear") {
			part.fail(model.UnsupportedArchitecture, "replace_with_linear", "a block reduced to a linear layer is not known")
		}
	}
	l.Mixers = []model.Mixer{model.None{}}
	if !attn.bool(false, "no_op") {
		a := d.attn
		a.KVHeads = div(a.Heads, attn.need("n_heads_in_group"))
		a.Window = attn.int(0, "window_length")
		l.Mixers[0] = &a
	}
	if !ffn.bool(false, "no_op") {
		mult := ffn.float(0, "ffn_mult")
		w := ffn.int(0, "intermediate_size")
		if w == 0 && mult > 0 && mult < 1<<10 {
			w = (int64(2*mult*float64(d.m.Hidden)/3) + 255) / 256 * 256
		}
		if w == 0 {
			ffn.lack("ffn_mult")
		}
		l.FFN = model.FFN{Gated: true, Width: w}
	}
	return l
}
