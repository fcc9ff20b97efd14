package ggufgen

// layers holds one function for each architecture.
var layers = map[string]func(*builder){
	"llama": func(b *builder) {
		b.normed(func() { b.attention(0) })
		if b.E > 0 {
			b.experts(*b.FF)
		} else {
			b.mlp(*b.FF)
		}
	},
	"qwen2":    func(b *builder) { b.normed(func() { b.attention(withBias) }); b.mlp(*b.FF) },
	"qwen3":    func(b *builder) { b.normed(func() { b.attention(withNorms) }); b.mlp(*b.FF) },
	"qwen3moe": func(b *builder) { b.normed(func() { b.attention(withNorms) }); b.experts(b.FFE) },
	"gemma2":   func(b *builder) { b.gemma(0) },
	"gemma3":   func(b *builder) { b.gemma(withNorms) },
	"gpt-oss": func(b *builder) {
		b.vectors("attn_norm.weight")
		b.attention(withBias)
		b.vectors("attn_output.bias", "post_attention_norm.weight")
		b.blk("attn_sinks.weight", *b.H)
		b.experts(b.FFE)
		b.blk("ffn_gate_inp.bias", b.E)
		b.blk("ffn_gate_exps.bias", b.FFE, b.E)
		b.blk("ffn_down_exps.bias", b.D, b.E)
		b.blk("ffn_up_exps.bias", b.FFE, b.E)
	},
	"deepseek2": func(b *builder) { b.normed(b.latent); b.deepseekFFN(b.FFE*b.NSH, b.ProbsB) },
	"mamba":     func(b *builder) { b.vectors("attn_norm.weight"); b.mamba1(false) },
	"mamba2":    func(b *builder) { b.vectors("attn_norm.weight"); b.mamba2(true) },
	"jamba": func(b *builder) {
		b.normed(func() { b.hybrid(func() { b.mamba1(true) }, 0) })
		if b.i%2 == 1 {
			b.experts(*b.FF)
		} else {
			b.mlp(*b.FF)
		}
	},
	"falcon-h1": func(b *builder) {
		b.vectors("attn_norm.weight")
		b.mamba2(false)
		b.attention(0)
		b.vectors("ffn_norm")
		b.mlp(*b.FF)
	},
	"granitehybrid": func(b *builder) {
		b.normed(func() { b.hybrid(func() { b.mamba2(true) }, 0) })
		b.experts(*b.FF)
		b.shared(b.FFS)
	},
	"qwen3next": func(b *builder) {
		b.vectors("attn_norm.weight", "post_attention_norm.weight")
		if (b.i+1)%4 == 0 {
			b.attention(withNorms | withGate)
		} else {
			b.gatedDelta()
		}
		b.experts(b.FFE)
		b.vectors("ffn_gate_inp_shexp.weight")
		b.shared(b.FFS)
	},
	"phi3": func(b *builder) {
		b.normed(b.fusedQKV)
		b.blk("ffn_down.weight", *b.FF, b.D)
		b.blk("ffn_up.weight", b.D, 2**b.FF)
	},
	"falcon": func(b *builder) {
		b.vectors("attn_norm.weight", "attn_norm.bias")
		b.fusedQKV()
		b.blk("ffn_down.weight", *b.FF, b.D)
		b.blk("ffn_up.weight", b.D, *b.FF)
	},
	"rwkv7": rwkv7,
	"lfm2": func(b *builder) {
		b.normed(func() { b.hybrid(b.shortConv, withNorms) })
		b.mlp(*b.FF)
	},
	"kimi-linear": func(b *builder) {
		b.vectors("attn_norm.weight")
		if b.HeadsKV.at(b.i) > 0 {
			b.latent()
		} else {
			b.kda()
		}
		b.vectors("ffn_norm.weight")
		b.deepseekFFN(b.FFE, true)
	},
	"llama4": func(b *builder) {
		b.normed(func() { b.attention(0) })
		b.experts(b.FFE)
		b.shared(b.FFE)
	},
}

// Variants of attention.
const (
	withBias = 1 << iota
	withNorms
	withGate
)

// normed appends a mixer between its norm and the feed-forward's.
func (b *builder) normed(mixer func()) {
	b.vectors("attn_norm.weight")
	mixer()
	b.vectors("ffn_norm.weight")
}

func (b *builder) headSize() int64 {
	if b.HD > 0 {
		return b.HD
	}
	return b.D / *b.H
}

func (b *builder) attention(variant int) {
	hd, kv := b.headSize(), b.HeadsKV.at(b.i)
	q := *b.H * hd
	if variant&withGate != 0 {
		b.blk("attn_q.weight", b.D, 2*q)
	} else {
		b.blk("attn_q.weight", b.D, q)
	}
	b.blk("attn_k.weight", b.D, kv*hd)
	b.blk("attn_v.weight", b.D, kv*hd)
	b.blk("attn_output.weight", q, b.D)
	if variant&withBias != 0 {
		b.blk("attn_q.bias", q)
		b.blk("attn_k.bias", kv*hd)
		b.blk("attn_v.bias", kv*hd)
	}
	if variant&withNorms != 0 {
		b.blk("attn_q_norm.weight", hd)
		b.blk("attn_k_norm.weight", hd)
	}
}

func (b *builder) fusedQKV() {
	b.blk("attn_qkv.weight", b.D, b.D+2*b.HeadsKV.One*b.headSize())
	b.blk("attn_output.weight", b.D, b.D)
}

// hybrid appends attention where the layer has key/value heads.
func (b *builder) hybrid(other func(), variant int) {
	if b.HeadsKV.at(b.i) > 0 {
		b.attention(variant)
	} else {
		other()
	}
}

func (b *builder) gemma(variant int) {
	b.vectors("attn_norm.weight")
	b.attention(variant)
	b.vectors("post_attention_norm.weight", "ffn_norm.weight")
	b.mlp(*b.FF)
	b.vectors("post_ffw_norm.weight")
}

// latent appends MLA; a file of the old form has one attn_kv_b.
func (b *builder) latent() {
	h, qk := *b.H, b.Nope+b.Rope
	if b.QL > 0 {
		b.blk("attn_q_a_norm.weight", b.QL)
		b.blk("attn_q_a.weight", b.D, b.QL)
		b.blk("attn_q_b.weight", b.QL, h*qk)
	} else {
		b.blk("attn_q.weight", b.D, h*qk)
	}
	b.blk("attn_kv_a_norm.weight", b.KVL)
	b.blk("attn_kv_a_mqa.weight", b.D, b.KVL+b.Rope)
	if b.Legacy {
		b.blk("attn_kv_b.weight", b.KVL, h*(b.Nope+b.VD))
	} else {
		b.blk("attn_k_b.weight", b.Nope, b.KVL, h)
		b.blk("attn_v_b.weight", b.KVL, b.VD, h)
	}
	b.blk("attn_output.weight", h*b.VD, b.D)
}

func (b *builder) mlp(ff int64) {
	b.blk("ffn_gate.weight", b.D, ff)
	b.blk("ffn_down.weight", ff, b.D)
	b.blk("ffn_up.weight", b.D, ff)
}

func (b *builder) experts(ff int64) {
	b.blk("ffn_gate_inp.weight", b.D, b.E)
	b.blk("ffn_gate_exps.weight", b.D, ff, b.E)
	b.blk("ffn_down_exps.weight", ff, b.D, b.E)
	b.blk("ffn_up_exps.weight", b.D, ff, b.E)
}

func (b *builder) shared(ff int64) {
	b.blk("ffn_gate_shexp.weight", b.D, ff)
	b.blk("ffn_down_shexp.weight", ff, b.D)
	b.blk("ffn_up_shexp.weight", b.D, ff)
}

// deepseekFFN is dense in the first layers, then routed and shared experts.
func (b *builder) deepseekFFN(shared int64, correction bool) {
	if b.i < b.Dense {
		b.mlp(*b.FF)
		return
	}
	b.experts(b.FFE)
	b.shared(shared)
	if correction {
		b.blk("exp_probs_b.bias", b.E)
	}
}
