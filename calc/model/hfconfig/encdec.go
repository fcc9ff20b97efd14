package hfconfig

import "hwledger/calc/model"

func init() {
	t5 := defaults{
		"d_kv": 64, "relative_attention_num_buckets": 32, "feed_forward_proj": "relu",
		"tie_word_embeddings": true, "n_positions": 512,
	}
	register("t5", t5Model, t5)
	register("mt5", t5Model, t5.and(defaults{"feed_forward_proj": "gated-gelu", "tie_word_embeddings": false}))
	register("umt5", t5Model, t5.and(defaults{"feed_forward_proj": "gated-gelu", "tie_word_embeddings": false}))
	register("bart", bart, defaults{"max_position_embeddings": 1024, "tie_word_embeddings": true})
	register("mbart", bart, defaults{"max_position_embeddings": 1024, "tie_word_embeddings": true})
	register("whisper", whisper, defaults{"max_source_positions": 1500, "max_target_positions": 448, "num_mel_bins": 80, "tie_word_embeddings": true})
	registerClass("T5", "t5")
}

// stack is one side of an encoder-decoder: layers of the decoder are the
// model's layers, those of the encoder are weights beside them.
type stack struct {
	layers int
	attn   model.Attention
	ffn    model.FFN
	norm   normShape
}

// append appends the weights of the stack: in each layer attention and a
// network with a norm before each.
func (s *stack) append(dst []model.Tensor, h int64, g model.Group) []model.Tensor {
	from := len(dst)
	for i := range s.layers {
		at := len(dst)
		dst = appendNorm(appendNorm(dst, "attn_norm", s.norm, h), "ffn_norm", s.norm, h)
		dst = s.attn.AppendTensors(dst, h)
		dst = s.ffn.AppendTensors(dst, h)
		for j := at; j < len(dst); j++ {
			dst[j].Name = indexed(prefixes[g]+"blk", i, dst[j].Name)
		}
	}
	return inGroup(dst, from, g)
}

// prefixes begin the names of tensors outside the text model, as in GGUF.
var prefixes = map[model.Group]string{model.Encoder: "enc.", model.Vision: "v.", model.Audio: "a."}

// inGroup puts the tensors from from on into a group, outside the decoder's
// layers.
func inGroup(dst []model.Tensor, from int, g model.Group) []model.Tensor {
	for i := from; i < len(dst); i++ {
		dst[i].Group, dst[i].Layer = g, -1
	}
	return dst
}

// newEncDec starts the decoder of an encoder-decoder with the given number of
// layers. Its layers attend to themselves and to the encoder's output.
func newEncDec(c *cfg, arch string, layers, encoderTokens int64) *decoder {
	d := newTrunk(c, arch)
	d.layers = int(layers)
	d.m.EncDec, d.m.EncoderTokens = true, encoderTokens
	d.layerNorms = nil
	d.norms = 3
	d.mixers = func(int) []model.Mixer {
		self, cross := d.attn, d.attn
		cross.Cross = true
		return []model.Mixer{&self, &cross}
	}
	return d
}

// t5Model is T5, mT5 and UMT5: relative positions in the first layer of each
// stack (in every layer of UMT5), norms without bias, and heads of a size of
// their own. Nothing bounds the encoder's length; n_positions is what it was
// trained with.
func t5Model(c *cfg) (*model.Model, error) {
	encoder := c.need("num_layers", "num_hidden_layers")
	d := newEncDec(c, "t5", c.int(encoder, "num_decoder_layers"), c.need("n_positions"))
	d.attn = model.Attention{SharedFrom: -1, Heads: c.need("num_heads"), KeyDim: c.need("d_kv")}
	d.attn.KVHeads, d.attn.ValueDim = d.attn.Heads, d.attn.KeyDim
	d.ffn = model.FFN{Width: c.need("d_ff")}
	switch act := c.str("feed_forward_proj"); act {
	case "relu", "gelu", "silu":
	case "gated-gelu", "gated-silu", "gated-relu":
		d.ffn.Gated = true
	default:
		c.fail(model.UnsupportedArchitecture, "feed_forward_proj", "%q is not known", act)
	}
	h := d.m.Hidden
	bias := model.Matrix("attn_rel_b.weight", c.need("relative_attention_num_buckets"), d.attn.Heads).As(model.Vector)
	biases := int64(1)
	if c.modelType == "umt5" {
		biases = encoder
	}
	enc := stack{int(encoder), d.attn, d.ffn, rmsNorm}
	d.extra = enc.append(nil, h, model.Encoder)
	for range biases {
		d.extra = append(d.extra, bias)
	}
	d.extra = inGroup(appendNorm(d.extra, "enc.output_norm", rmsNorm, h), 0, model.Encoder)
	if c.modelType == "umt5" {
		biases = int64(d.layers)
	}
	for range biases {
		d.extra = append(d.extra, bias)
	}
	return d.build()
}

// bart has learned positions, offset by two, and a norm after the embeddings
// in both stacks; biases everywhere; no norm at the end (mBART has one).
func bart(c *cfg) (*model.Model, error) {
	positions := c.need("max_position_embeddings")
	d := newEncDec(c, "", c.need("decoder_layers", "num_hidden_layers"), positions)
	d.norm = layerNorm
	d.noFinalNorm = c.modelType == "bart"
	h := d.m.Hidden
	d.attn = sided(h, c.need("decoder_attention_heads"), false)
	d.ffn = model.FFN{Width: c.need("decoder_ffn_dim"), Bias: true}
	enc := stack{int(c.need("encoder_layers")), sided(h, c.need("encoder_attention_heads"), false), model.FFN{Width: c.need("encoder_ffn_dim"), Bias: true}, layerNorm}
	embed := func(dst []model.Tensor) []model.Tensor {
		dst = append(dst, model.Matrix("position_embd.weight", positions+2, h).As(model.Embedding))
		return appendNorm(dst, "token_embd_norm", layerNorm, h)
	}
	d.extra = inGroup(embed(enc.append(nil, h, model.Encoder)), 0, model.Encoder)
	if !d.noFinalNorm {
		d.extra = inGroup(appendNorm(d.extra, "enc.output_norm", layerNorm, h), 0, model.Encoder)
	}
	d.extra = embed(d.extra)
	return d.build()
}

// sided is the attention of BART and Whisper: full heads with biases.
func sided(h, heads int64, noKeyBias bool) model.Attention {
	dim := div(h, heads)
	return model.Attention{
		SharedFrom: -1, Heads: heads, KVHeads: heads, KeyDim: dim, ValueDim: dim,
		QKVBias: true, OutBias: true, NoKeyBias: noKeyBias,
	}
}

// whisper encodes 30 seconds of sound into 1500 frames through two
// convolutions; its keys have no bias. Both stacks have learned positions.
func whisper(c *cfg) (*model.Model, error) {
	frames := c.need("max_source_positions")
	d := newEncDec(c, "", c.need("decoder_layers"), frames)
	d.norm = layerNorm
	h := d.m.Hidden
	d.attn = sided(h, c.need("decoder_attention_heads"), true)
	d.ffn = model.FFN{Width: c.need("decoder_ffn_dim"), Bias: true}
	d.extra = whisperEncoder(c, h, model.Encoder)
	d.extra = append(d.extra, model.Matrix("position_embd.weight", c.need("max_target_positions"), h).As(model.Embedding))
	return d.build()
}

// whisperEncoder appends a Whisper encoder of width h, which is also the
// audio tower of Voxtral.
func whisperEncoder(c *cfg, h int64, g model.Group) []model.Tensor {
	enc := stack{
		int(c.need("encoder_layers", "num_hidden_layers")), sided(h, c.need("encoder_attention_heads", "num_attention_heads"), true),
		model.FFN{Width: c.need("encoder_ffn_dim", "intermediate_size"), Bias: true}, layerNorm,
	}
	ts := []model.Tensor{
		model.Matrix(prefixes[g]+"conv1.weight", h, 3*c.need("num_mel_bins")).As(model.Conv), model.Vec(prefixes[g]+"conv1.bias", model.Bias, h),
		model.Matrix(prefixes[g]+"conv2.weight", h, 3*h).As(model.Conv), model.Vec(prefixes[g]+"conv2.bias", model.Bias, h),
		model.Matrix(prefixes[g]+"position_embd.weight", c.need("max_source_positions"), h).As(model.Embedding),
	}
	ts = appendNorm(enc.append(ts, h, g), prefixes[g]+"output_norm", layerNorm, h)
	return inGroup(ts, 0, g)
}
