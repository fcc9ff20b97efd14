package safetensors

import (
	"encoding/json"
	"strings"

	"hwledger/calc/model"
)

// FromHeaders describes a model whose configuration names a family that is
// not known, from its stored tensors: the rows of k_proj and v_proj in every
// layer are exactly what its cache holds for a token. This is sound only for
// full attention with a cache in every layer, so it refuses, with the error
// cause, a configuration or a header that shows anything else: windows,
// latent rows, recurrent states, layers without keys, packed projections.
func FromHeaders(config []byte, tensors []Tensor, cause error) (*model.Model, error) {
	c, ok := readPlain(config)
	if !ok {
		return nil, cause
	}
	layers, ok := readLayers(tensors, c.Layers)
	if !ok {
		return nil, cause
	}
	m := &model.Model{
		Type: c.ModelType, Format: model.FormatSafetensors, Hidden: c.Hidden, Vocab: c.Vocab, Context: c.Context,
		DType: c.DType, Causal: true, Layers: make([]model.Layer, c.Layers),
	}
	if len(c.Architectures) > 0 {
		m.Architecture = c.Architectures[0]
	}
	for i, l := range layers {
		d := l.headDim(c)
		if d <= 0 || l.q%d != 0 || l.k%d != 0 || l.v <= 0 || l.k <= 0 || l.v%(l.k/d) != 0 {
			return nil, cause
		}
		g := l.k / d
		m.Layers[i] = model.Layer{
			Mixers: []model.Mixer{&model.Attention{Heads: l.q / d, KVHeads: g, KeyDim: d, ValueDim: l.v / g, SharedFrom: -1}},
			FFN:    model.FFN{Width: l.up, Gated: l.gated},
		}
		if l.experts > 0 {
			m.Layers[i].FFN = model.FFN{Experts: l.experts, TopK: min(l.experts, c.TopK), ExpertWidth: l.up, PlainExperts: !l.gated}
		}
	}
	m.Build(func(ts []model.Tensor) []model.Tensor {
		embedding := model.Matrix("token_embd.weight", c.Vocab, c.Hidden).As(model.Embedding).With(model.ByVocab)
		head := model.Matrix("output.weight", c.Vocab, c.Hidden).As(model.Head).With(model.ByVocab)
		norm := model.Vec("output_norm.weight", model.Norm, c.Hidden)
		for _, t := range []model.Tensor{embedding, head, norm} {
			t.Layer = -1
			ts = append(ts, t)
		}
		return ts
	}, func(ts []model.Tensor, _ *model.Layer) []model.Tensor {
		return append(ts, model.Vec("attn_norm.weight", model.Norm, c.Hidden), model.Vec("ffn_norm.weight", model.Norm, c.Hidden))
	})
	m.Facts = append(m.Facts,
		model.Fact{Field: "model_type", Value: c.ModelType, From: "config.json; the family is not known"},
		model.Fact{Field: "layers", Value: "full attention", From: "safetensors header: rows of k_proj and v_proj in every layer"})
	return m, Attach(m, tensors, false)
}

// plain are the keys of a configuration that a header does not show.
type plain struct {
	ModelType     string   `json:"model_type"`
	Architectures []string `json:"architectures"`
	Layers        int      `json:"num_hidden_layers"`
	Hidden        int64    `json:"hidden_size"`
	Heads         int64    `json:"num_attention_heads"`
	HeadDim       int64    `json:"head_dim"`
	Vocab         int64    `json:"vocab_size"`
	Context       int64    `json:"max_position_embeddings"`
	TopK          int64    `json:"num_experts_per_tok"`
	DType         string   `json:"torch_dtype"`

	LayerTypes []string `json:"layer_types"`
	Window     *int64   `json:"sliding_window"`
	UseWindow  *bool    `json:"use_sliding_window"`
}

// strange are parts of key names whose presence means more than full
// attention.
var strange = []string{"lora_rank", "chunk", "window_pattern", "cross_attention", "ssm", "mamba", "linear_", "shared_kv", "kv_shared", "compress", "index_", "block_types", "layers_block", "recurr", "conv_kernel", "sparse"}

func readPlain(config []byte) (c plain, ok bool) {
	var root map[string]json.RawMessage
	if json.Unmarshal(config, &root) != nil {
		return c, false
	}
	if root["num_hidden_layers"] == nil {
		for _, nest := range []string{"text_config", "llm_config", "language_config"} {
			if inner := root[nest]; inner != nil {
				config, root = inner, nil
				if json.Unmarshal(inner, &root) != nil {
					return c, false
				}
				break
			}
		}
	}
	for k, v := range root {
		for _, s := range strange {
			if text := string(v); strings.Contains(k, s) && text != "null" && text != "false" && text != "0" && text != "[]" && k != "chunk_size_feed_forward" && k != "add_cross_attention" {
				return c, false
			}
		}
	}
	if json.Unmarshal(config, &c) != nil || c.Layers < 1 || c.Layers > 1<<16 || c.Hidden < 1 || c.Vocab < 1 || c.Heads < 1 {
		return c, false
	}
	if c.Window != nil && (c.UseWindow == nil || *c.UseWindow) {
		return c, false
	}
	for _, t := range c.LayerTypes {
		if t != "full_attention" {
			return c, false
		}
	}
	return c, true
}

// rows are the output features that one layer's projections have.
type rows struct {
	q, k, v, up, norm int64
	gated             bool
	experts           int64
}

// headDim returns the size of a head: as the configuration says, as the
// norm of queries shows, or by the number of heads.
func (l *rows) headDim(c plain) int64 {
	switch {
	case c.HeadDim > 0:
		return c.HeadDim
	case l.norm > 0 && l.norm < l.q:
		return l.norm
	case l.q%c.Heads == 0:
		return l.q / c.Heads
	}
	return 0
}

// foreign are parts of module names that full attention does not have.
var foreign = []string{"conv", "A_log", "dt_", "ssm", "mamba", "linear_attn", "kv_a", "q_a_proj", "kv_b", "indexer", "compress", "cross", "time_m", "recurrent", "rglru", "encoder"}

func readLayers(tensors []Tensor, n int) ([]rows, bool) {
	out := make([]rows, n)
	for i := range tensors {
		t := &tensors[i]
		p := locate(t.Name, n)
		if p.group != model.Text || p.layer < 0 {
			continue
		}
		for _, s := range foreign {
			if strings.Contains(p.module, s) {
				return nil, false
			}
		}
		if p.kind != "weight" || p.companion || !strings.HasSuffix(t.Name, ".weight") || len(t.Shape) == 0 {
			continue
		}
		out[p.layer].read(p.module, t)
	}
	for i := range out {
		if l := &out[i]; l.q == 0 || l.k == 0 || l.v == 0 || l.up == 0 {
			return nil, false
		}
	}
	return out, true
}

func (l *rows) read(module string, t *Tensor) {
	set := func(to *int64) {
		if floats[t.DType] && len(t.Shape) == 2 {
			*to = t.Shape[0]
		}
	}
	for _, x := range modules()[module] {
		switch x.names[0] {
		case "attn_q":
			if len(x.names) == 1 {
				set(&l.q)
			}
		case "attn_k":
			set(&l.k)
		case "attn_v":
			set(&l.v)
		case "attn_q_norm":
			l.norm = t.Shape[0]
		case "ffn_up":
			set(&l.up)
		case "ffn_gate":
			if len(x.names) == 1 {
				l.gated = true
			}
		case "ffn_gate_exps":
			l.gated = true
		case "ffn_up_exps":
			set(&l.up)
			l.experts++
		}
	}
}
