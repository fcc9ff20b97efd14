package hfconfig

import (
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// newTrunk reads what every stack of layers gives, whether or not it has
// attention: sizes, the dtype, context, quantization and position encoding.
// The number of layers is left to the caller (see readLayers). Norms are one
// RMS norm for each mixer and network of a layer.
func newTrunk(c *cfg, arch string) *decoder {
	return newStack(c, arch, c.need("vocab_size", "padded_vocab_size"))
}

// newStack is newTrunk for a vocabulary of the given size, 0 for models that
// see images or sound and have no token embedding.
func newStack(c *cfg, arch string, vocab int64) *decoder {
	d := &decoder{cfg: c, norm: rmsNorm}
	d.m = &model.Model{
		Type: c.rootType, Arch: arch, Format: model.FormatConfig, Causal: true,
		Hidden: c.need("hidden_size", "n_embd", "d_model", "model_dim", "dim"),
		Vocab:  vocab,
		Tied:   c.bool(false, "tie_word_embeddings"),
		DType:  c.dtype(),
	}
	if d.m.Type == "" {
		d.m.Type = c.modelType
	}
	if s := c.architectures(); len(s) > 0 {
		d.m.Architecture = s[0]
	}
	d.m.Rope = c.rope()
	d.m.Context = c.context(d.m.Rope)
	d.m.Quant = c.quantization()
	d.m.KVCacheType = c.kvCacheType()
	d.m.StateType = c.stateType()
	d.layerNorms = d.normPerPart
	return d
}

// readLayers reads the number of layers.
func (d *decoder) readLayers() { d.layers = int(d.need(layerKeys...)) }

// normPerPart gives a layer one norm for its mixer and one for its network,
// for stacks in which a layer may lack one of them.
func (d *decoder) normPerPart(dst []model.Tensor, l *model.Layer) []model.Tensor {
	if l.Kind() != model.KindNone {
		dst = appendNorm(dst, "attn_norm", d.norm, d.m.Hidden)
	}
	if l.FFN.Present() {
		dst = appendNorm(dst, "ffn_norm", d.norm, d.m.Hidden)
	}
	return dst
}

// noFFN is the network of layers that have none.
func noFFN(int) model.FFN { return model.FFN{} }

// ssmDetails are keys of state spaces that change neither what they keep nor
// what they weigh.
var ssmDetails = []string{
	"mamba_chunk_size", "mamba_hidden_act", "mamba_act", "mamba_use_mlp", "mamba_norm_before_gate", "mamba_inner_layernorms",
	"mamba_dt_min", "mamba_dt_max", "mamba_dt_init", "mamba_dt_init_floor", "mamba_dt_scale", "mamba_use_mem_eff_path",
	"ssm_in_multiplier", "ssm_out_multiplier", "ssm_multipliers", "ssm_dtype",
}

// marked returns which layers a list of layer numbers names, the first layer
// being number base.
func (d *decoder) marked(numbers []int64, base int64) []bool {
	out := make([]bool, d.layers)
	for _, n := range numbers {
		if n -= base; n >= 0 && n < int64(len(out)) {
			out[n] = true
		}
	}
	return out
}

// stateType reads the type that a configuration asks for recurrent states to
// be kept in, "" for the engine's own.
func (c *cfg) stateType() string {
	t := strings.TrimPrefix(c.str("mamba_ssm_dtype", "mamba_ssm_cache_dtype"), "torch.")
	if t == "auto" {
		return ""
	}
	return t
}

// auto reads a number that may be absent or the text "auto".
func (c *cfg) auto(names ...string) (int64, bool) {
	v, _, ok := c.get(names...)
	if !ok {
		return 0, false
	}
	if s, isText := v.(string); isText && s == "auto" {
		return 0, false
	}
	return c.maybe(names...)
}

// inexact reports that the part of the model named by field is built after what
// is known of its structure, so that its weight count is not exact.
func (c *cfg) inexact(field, why string) { c.note(field, "weights not exact", why) }

// ceilDiv returns a/b rounded up, 0 for a zero divisor.
func ceilDiv(a, b int64) int64 {
	if b == 0 {
		return 0
	}
	return (a + b - 1) / b
}

// indexed names a tensor of a tower's layer: "vision.blk.3.attn_q.weight".
func indexed(prefix string, i int, name string) string {
	return prefix + "." + strconv.Itoa(i) + "." + name
}
