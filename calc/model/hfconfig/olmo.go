package hfconfig

import "hwledger/calc/model"

func init() {
	register("olmo", olmo, nil)
	register("olmo2", olmo2, nil)
	register("olmo3", olmo3, defaults{"sliding_window": 4096})
	register("exaone4", exaone4, nil)
	register("exaone4_5_text", exaone4, nil)
}

// olmo is llama with norms that have no parameters.
func olmo(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.m.Arch, d.norm = "olmo", noNorm
	return d.build()
}

// olmo2 normalises what attention and network give instead of what they get,
// and queries and keys over all heads.
func olmo2(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.m.Arch = "olmo2"
	d.attn.Norms = model.FullQKNorm
	return d.build()
}

// olmo3 is olmo2 with three sliding layers to each full one.
func olmo3(c *cfg) (*model.Model, error) {
	d := llamaLike(c)
	d.m.Arch = "olmo2"
	d.attn.Norms = model.FullQKNorm
	d.slideBy(c.window(), every(4))
	return d.build()
}

// exaone4 normalises like olmo2, but queries and keys by head. A pattern such
// as "LLLG" or its length says which layers are global; a null window turns
// sliding off.
func exaone4(c *cfg) (*model.Model, error) {
	d := newDecoder(c, "exaone4")
	d.attn.Norms = model.HeadQKNorm
	local := every(4)
	if v, _, ok := c.get("sliding_window_pattern"); ok {
		if p, isText := v.(string); isText && p != "" {
			local = func(i int) bool { return p[i%len(p)] == 'L' && i != d.layers-1 }
		} else if n := c.int(4, "sliding_window_pattern"); n > 0 {
			local = every(n)
		}
	}
	if w := c.window(); w > 0 {
		d.slideBy(w, local)
	} else {
		c.has("layer_types")
	}
	d.mtp.layers = int(c.int(0, "num_nextn_predict_layers", "_num_mtp_layers"))
	return d.build()
}
