package hfconfig

import (
	"fmt"

	"hwledger/calc/model"
)

// normShape says what one normalisation weighs.
type normShape int64

const (
	noNorm    normShape = 0 // without parameters (OLMo)
	rmsNorm   normShape = 1 // one weight vector
	layerNorm normShape = 2 // weight and bias
)

// decoder is a decoder-only transformer under construction. newDecoder fills
// it from the usual keys; a family then changes what is special about it and
// calls build. The function fields may be nil.
type decoder struct {
	*cfg
	m      *model.Model
	layers int

	// attn is the attention of every layer, copied for each; slide gives a
	// layer's window (0: full) and mixers replaces the attention altogether.
	attn   model.Attention
	slide  func(layer int) int64
	mixers func(layer int) []model.Mixer

	// ffn is the dense network, moe the routed one of the layers that sparse
	// names (all of them when it is nil and moe.Experts > 0). ffns replaces
	// both.
	ffn, moe model.FFN
	sparse   func(layer int) bool
	ffns     func(layer int) model.FFN

	// norm is the shape of every normalisation and norms their number in a
	// layer. layerNorms replaces both. perLayer appends whatever else belongs
	// to a layer. Both get the layer as built.
	norm                 normShape
	norms                int
	layerNorms, perLayer func(dst []model.Tensor, l *model.Layer) []model.Tensor

	// extra are weights outside the layers beside embedding, final norm and
	// head.
	extra       []model.Tensor
	noFinalNorm bool
	headBias    bool
	// embedDim is the width of the token embedding where it is not the hidden
	// size.
	embedDim int64

	mtp mtp
}

// mtp describes multi-token-prediction layers after the trunk.
type mtp struct {
	layers int
	// ownEmbed, ownHead: the layer has its own token embedding and output
	// projection instead of sharing the trunk's.
	ownEmbed, ownHead bool
	// plain layers have neither the 2h→h projection nor its three norms.
	plain bool
	// like builds one layer; nil repeats the trunk's last layer.
	like func(i int) model.Layer
	// extra are further weights of each layer.
	extra []model.Tensor
}

// newDecoder reads what nearly every decoder's configuration gives: sizes,
// grouped-query attention without biases, a gated network, two RMS norms in a
// layer, the dtype, context, quantization and position encoding. arch is the
// GGUF architecture name, or "".
func newDecoder(c *cfg, arch string) *decoder {
	d := newTrunk(c, arch)
	d.layerNorms, d.norms = nil, 2
	d.readLayers()
	d.readAttention()
	d.ffn = model.FFN{Gated: true, Width: c.int(0, "intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size")}
	return d
}

// readAttention reads heads and head sizes: head_dim wins over the quotient
// of hidden size and heads.
func (d *decoder) readAttention() {
	c := d.cfg
	a := model.Attention{SharedFrom: -1}
	a.Heads = c.need("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads")
	a.KVHeads = a.Heads
	if g, ok := c.maybe("num_key_value_heads", "n_head_kv", "num_kv_heads", "multi_query_group_num", "num_attention_groups"); ok && g > 0 {
		a.KVHeads = g
	} else {
		c.note("num_key_value_heads", a.KVHeads, "default: num_attention_heads")
	}
	a.KeyDim = c.int(0, "head_dim", "kv_channels")
	if a.KeyDim == 0 {
		a.KeyDim = div(d.m.Hidden, a.Heads)
		c.note("head_dim", a.KeyDim, "derived: hidden_size / num_attention_heads")
		if a.KeyDim == 0 && a.Heads > 0 && d.m.Hidden > 0 {
			c.fail(model.MalformedFile, "num_attention_heads", "%d heads are more than the hidden size of %d", a.Heads, d.m.Hidden)
		}
	}
	a.ValueDim = a.KeyDim
	d.attn = a
}

// build turns the decoder into a finished model with its weights.
func (d *decoder) build() (*model.Model, error) {
	if err := d.failure(); err != nil {
		return nil, err
	}
	m := d.m
	m.Layers = make([]model.Layer, d.layers)
	for i := range m.Layers {
		m.Layers[i] = model.Layer{Mixers: d.mixersOf(i), FFN: d.ffnOf(i)}
	}
	if err := d.failure(); err != nil {
		return nil, err
	}
	for i := range d.mtp.layers {
		l := m.Layers[d.layers-1]
		if d.mtp.like != nil {
			l = d.mtp.like(i)
		}
		m.MTPLayers = append(m.MTPLayers, l)
	}
	m.Build(d.outer, d.normsOf)
	d.appendMTP()
	return m, nil
}

func (d *decoder) mixersOf(i int) []model.Mixer {
	if d.mixers != nil {
		return d.mixers(i)
	}
	a := d.attn
	if d.slide != nil {
		a.Window = d.slide(i)
	}
	return []model.Mixer{&a}
}

func (d *decoder) ffnOf(i int) model.FFN {
	switch {
	case d.ffns != nil:
		return d.ffns(i)
	case d.moe.Experts > 0 && (d.sparse == nil || d.sparse(i)):
		return d.moe
	}
	if d.ffn.Width == 0 {
		d.lack("intermediate_size")
	}
	return d.ffn
}

// outer appends the embedding, final norm and head, which are the same in
// nearly every model.
func (d *decoder) outer(dst []model.Tensor) []model.Tensor {
	h, v := d.m.Hidden, d.m.Vocab
	from, e := len(dst), h
	if d.embedDim > 0 {
		e = d.embedDim
	}
	if v > 0 {
		dst = append(dst, model.Matrix("token_embd.weight", v, e).As(model.Embedding).With(model.ByVocab))
	}
	dst = append(dst, d.extra...)
	if !d.noFinalNorm {
		dst = appendNorm(dst, "output_norm", d.norm, h)
	}
	if !d.m.Tied {
		dst = append(dst, model.Matrix("output.weight", v, e).As(model.Head).With(model.ByVocab))
	}
	if d.headBias {
		dst = append(dst, model.Vec("output.bias", model.Bias, v).With(model.ByVocab))
	}
	for i := from; i < len(dst); i++ {
		dst[i].Layer = -1
	}
	return dst
}

// normNames are the norms of a layer in the order in which models add them.
var normNames = [...]string{"attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm"}

func (d *decoder) normsOf(dst []model.Tensor, l *model.Layer) []model.Tensor {
	if d.layerNorms != nil {
		dst = d.layerNorms(dst, l)
	} else {
		for i := range min(d.norms, len(normNames)) {
			dst = appendNorm(dst, normNames[i], d.norm, d.m.Hidden)
		}
	}
	if d.perLayer != nil {
		dst = d.perLayer(dst, l)
	}
	return dst
}

// appendNorm appends a normalisation's weight, and its bias if it has one.
func appendNorm(dst []model.Tensor, name string, shape normShape, n int64) []model.Tensor {
	if shape >= rmsNorm {
		dst = append(dst, model.Vec(name+".weight", model.Norm, n))
	}
	if shape == layerNorm {
		dst = append(dst, model.Vec(name+".bias", model.Norm, n))
	}
	return dst
}

// appendMTP appends what an MTP layer has beside an ordinary layer: the
// projection of two hidden rows to one, three norms, and its own embedding
// and head where the family stores them.
func (d *decoder) appendMTP() {
	if d.mtp.plain {
		return
	}
	h, v := d.m.Hidden, d.m.Vocab
	for i := range d.mtp.layers {
		ts := []model.Tensor{
			model.Matrix("nextn.eh_proj.weight", h, 2*h),
			model.Vec("nextn.enorm.weight", model.Norm, h), model.Vec("nextn.hnorm.weight", model.Norm, h),
			model.Vec("nextn.shared_head_norm.weight", model.Norm, h),
		}
		if d.mtp.ownEmbed {
			ts = append(ts, model.Matrix("nextn.embed_tokens.weight", v, h).As(model.Embedding).With(model.ByVocab))
		}
		if d.mtp.ownHead {
			ts = append(ts, model.Matrix("nextn.shared_head_head.weight", v, h).As(model.Head).With(model.ByVocab))
		}
		ts = append(ts, d.mtp.extra...)
		for j := range ts {
			ts[j].Layer, ts[j].Group = d.layers+i, model.MTP
		}
		d.m.Tensors = append(d.m.Tensors, ts...)
	}
}

// layerTypes returns the first L entries of layer_types, or nil. The list may
// be longer than L: entries for MTP layers follow.
func (d *decoder) layerTypes() []string {
	l := d.strs("layer_types")
	if l == nil {
		return nil
	}
	if len(l) < d.layers {
		d.fail(model.MalformedFile, "layer_types", "%d entries for %d layers", len(l), d.layers)
		return nil
	}
	return l[:d.layers]
}

// slideBy gives the layers a window: those that layer_types calls sliding,
// or, without that list, those for which local holds. A type that is neither
// full nor sliding attention is an error.
func (d *decoder) slideBy(window int64, local func(layer int) bool) {
	types := d.layerTypes()
	for i, t := range types {
		if t != "full_attention" && t != "sliding_attention" && t != "attention" {
			d.fail(model.UnsupportedArchitecture, "layer_types", "%q in layer %d is not known for %s", t, i, d.modelType)
			return
		}
	}
	sliding := local
	if types != nil {
		sliding = func(i int) bool { return types[i] == "sliding_attention" }
	}
	if sliding == nil {
		return
	}
	if window == 0 && types != nil {
		for i := range types {
			if sliding(i) {
				d.lack("sliding_window")
				break
			}
		}
	}
	if d.m.Context > 0 && window >= d.m.Context {
		d.note("sliding_window", "off", fmt.Sprintf("%d tokens are no less than the context", window))
		return
	}
	if window > 0 {
		d.noteWindows(window, sliding, types != nil)
	}
	d.slide = func(i int) int64 {
		if sliding(i) {
			return window
		}
		return 0
	}
}

func (d *decoder) noteWindows(window int64, sliding func(int) bool, listed bool) {
	n := 0
	for i := range d.layers {
		if sliding(i) {
			n++
		}
	}
	from := "rule of " + d.modelType
	if listed {
		from = "config.json:" + d.path + "layer_types"
	}
	d.note("sliding_layers", fmt.Sprintf("%d of %d, %d tokens", n, d.layers, window), from)
}

// window returns the sliding window in tokens, 0 when null, absent or -1.
func (c *cfg) window() int64 {
	v, from, ok := c.get("sliding_window", "sliding_window_size", "window_size")
	if !ok {
		return 0
	}
	if b, ok := v.(bool); ok && !b {
		return 0
	}
	n, ok := c.number(v, "sliding_window", "sliding_window")
	if !ok || n <= 0 {
		return 0
	}
	c.note("sliding_window", n, from)
	return n
}

// every returns a rule that holds for the layers in which (layer+1) is not a
// multiple of period: period-1 sliding layers, then a full one.
func every(period int64) func(layer int) bool {
	return func(i int) bool { return period > 0 && (int64(i)+1)%period != 0 }
}

// after holds for the layers from n on.
func after(n int64) func(layer int) bool {
	return func(i int) bool { return int64(i) >= n }
}

// always holds for every layer.
func always(int) bool { return true }
