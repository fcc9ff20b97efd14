package ggufgen

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hwledger/calc/model/ggml"
)

// Hyperparameters are a model's shape in the short names of
// testdata/llamacpp/engine_reported.jsonl.gz.
type Hyperparameters struct {
	Name, Arch string
	L, D       int64
	FF         *int64
	H          *int64
	HeadsKV    PerLayer `json:"kv"` // key/value heads, one number or one for each layer
	HD         int64    // head size, D/H when 0
	Vocab, Ctx int64
	Tied       bool
	Eps        int64 // 1: LayerNorm instead of RMSNorm

	E, K, FFE, FFS, NSH int64 // experts, used, their width, shared width or count
	Dense               int64 // leading dense layers
	ProbsB              bool  `json:"probs_b"`

	KVL, QL, Rope, Nope, VD int64 // latent attention
	Legacy                  bool

	Win       int64
	SSM       []*int64 // conv kernel, inner, state, time-step rank or heads, groups
	KDA, LC   int64
	LoRA      []int64
	RopeFreqs int64
	LongRope  int64
	ONorm     bool // no output_norm
	Extra     map[string]any
}

// PerLayer is a number, or one for each layer.
type PerLayer struct {
	One  int64
	Each []int64
}

// UnmarshalJSON reads a number or a list.
func (p *PerLayer) UnmarshalJSON(raw []byte) error {
	if raw[0] == '[' {
		return json.Unmarshal(raw, &p.Each)
	}
	return json.Unmarshal(raw, &p.One)
}

func (p PerLayer) at(i int64) int64 {
	if p.Each != nil {
		return p.Each[i]
	}
	return p.One
}

// Build returns the header of a model: matrices F16, the small tensors F32, as
// llama.cpp's converter stores them.
func Build(hyperparameters []byte) (*File, error) {
	b := builder{File: &File{}}
	if err := json.Unmarshal(hyperparameters, &b.Hyperparameters); err != nil {
		return nil, err
	}
	layer, ok := layers[b.Arch]
	if !ok {
		return nil, fmt.Errorf("no layer of architecture %q", b.Arch)
	}
	b.metadata()
	b.outside()
	for b.i = 0; b.i < b.L; b.i++ {
		layer(&b)
	}
	return b.File, nil
}

// builder appends the tensors of layer i.
type builder struct {
	*File
	Hyperparameters
	i int64
}

// keep32 are the matrices and stacked vectors that stay F32.
var keep32 = []string{"_norm.weight", "norm_2.weight", "ffn_gate_inp.weight", "ffn_gate_inp_shexp.weight",
	"ssm_conv1d.weight", "ssm_conv1d_q.weight", "ssm_conv1d_k.weight", "ssm_conv1d_v.weight", "shortconv.conv.weight",
	"_lerp_fused.weight", "_lerp_k.weight", ".bias", "ssm_a", "ssm_d"}

// timeMix32 are the low-rank pairs of RWKV-7, which stay F32 too.
var timeMix32 = []string{"w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"}

func (b *builder) out(name string, dims ...int64) {
	t := ggml.F16
	keep := len(dims) == 1
	for _, s := range keep32 {
		keep = keep || strings.HasSuffix(name, s)
	}
	for _, s := range timeMix32 {
		keep = keep || strings.HasSuffix(name, "time_mix_"+s+".weight")
	}
	if keep {
		t = ggml.F32
	}
	b.Add(name, t, dims...)
}

// blk appends a tensor of the layer; without dimensions a vector of the
// embedding width.
func (b *builder) blk(name string, dims ...int64) {
	if len(dims) == 0 {
		dims = []int64{b.D}
	}
	b.out(fmt.Sprintf("blk.%d.%s", b.i, name), dims...)
}

// vectors appends a vector of the embedding width for each name.
func (b *builder) vectors(names ...string) {
	for _, n := range names {
		b.blk(n)
	}
}

// key sets a key of the architecture.
func (b *builder) key(name string, v any) { b.Set(b.Arch+"."+name, v) }

func (b *builder) metadata() {
	b.Set("general.architecture", b.Arch).Set("general.name", b.Name).Set("tokenizer.ggml.model", "no_vocab")
	for _, kv := range []struct {
		name  string
		value int64
	}{{"vocab_size", b.Vocab}, {"context_length", b.Ctx}, {"embedding_length", b.D}, {"block_count", b.L}} {
		b.key(kv.name, uint32(kv.value))
	}
	if b.FF != nil {
		b.key("feed_forward_length", uint32(*b.FF))
	}
	if b.H != nil {
		b.key("attention.head_count", uint32(*b.H))
		if b.HeadsKV.Each != nil {
			each := make([]int32, len(b.HeadsKV.Each))
			for i, n := range b.HeadsKV.Each {
				each[i] = int32(n)
			}
			b.key("attention.head_count_kv", each)
		} else {
			b.key("attention.head_count_kv", uint32(b.HeadsKV.One))
		}
	}
	eps := "attention.layer_norm_rms_epsilon"
	if b.Eps != 0 {
		eps = "attention.layer_norm_epsilon"
	}
	b.key(eps, float32(1e-5))
	for _, kv := range []struct {
		name  string
		value int64
	}{{"attention.key_length", b.HD}, {"attention.value_length", b.HD}, {"expert_count", b.E}, {"expert_used_count", b.K},
		{"expert_feed_forward_length", b.FFE}, {"attention.sliding_window", b.Win}, {"rope.dimension_count", b.Rope}} {
		if kv.value != 0 {
			b.key(kv.name, uint32(kv.value))
		}
	}
	for i, name := range []string{"conv_kernel", "inner_size", "state_size", "time_step_rank", "group_count"} {
		if i < len(b.SSM) && b.SSM[i] != nil {
			b.key("ssm."+name, uint32(*b.SSM[i]))
		}
	}
	b.extra()
}

// extra sets the keys given by name, in order.
func (b *builder) extra() {
	names := make([]string, 0, len(b.Extra))
	for n := range b.Extra {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		switch v := b.Extra[n].(type) {
		case float64:
			if v == float64(uint32(v)) && !strings.HasSuffix(n, "scale") && !strings.HasSuffix(n, "factor") && !strings.HasSuffix(n, "softcapping") {
				b.key(n, uint32(v))
			} else {
				b.key(n, float32(v))
			}
		case []any:
			b.key(n, list(v))
		default:
			b.key(n, v)
		}
	}
}

// list converts a JSON list of booleans or of numbers.
func list(v []any) any {
	bools, ints := make([]bool, len(v)), make([]int32, len(v))
	isBool := false
	for i, x := range v {
		switch x := x.(type) {
		case bool:
			bools[i], isBool = x, true
		case float64:
			ints[i] = int32(x)
		}
	}
	if isBool {
		return bools
	}
	return ints
}

// outside appends the tensors outside the layers.
func (b *builder) outside() {
	b.out("token_embd.weight", b.D, b.Vocab)
	if !b.ONorm {
		b.out("output_norm.weight", b.D)
	}
	if !b.Tied {
		b.out("output.weight", b.D, b.Vocab)
	}
	if b.RopeFreqs > 0 {
		b.out("rope_freqs.weight", b.RopeFreqs)
	}
	if b.LongRope > 0 {
		b.out("rope_factors_long.weight", b.LongRope)
		b.out("rope_factors_short.weight", b.LongRope)
	}
	switch b.Arch {
	case "falcon":
		b.out("output_norm.bias", b.D)
	case "rwkv7":
		b.out("output_norm.bias", b.D)
		b.out("token_embd_norm.weight", b.D)
		b.out("token_embd_norm.bias", b.D)
	case "lfm2":
		b.out("token_embd_norm.weight", b.D)
	}
}
