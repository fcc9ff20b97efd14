package quant

import "hwledger/calc/model/ggml"

// none leaves a tensor in the mix's base type.
const none = ^ggml.Type(0)

// at is where in the model a choice is made: the running index i of the
// tensor's kind among n, and what choices ask about the model.
type at struct {
	i, n    int
	gqa     int64 // query heads for a key/value head
	experts int64
	imatrix bool
	falcon  bool
}

// more is llama.cpp's use_more_bits: the first and last eighth, and every
// third between.
func (a *at) more() bool {
	return a.i < a.n/8 || a.i >= 7*a.n/8 || (a.i-a.n/8)%3 == 2
}

// choice picks the type of a tensor, or none.
type choice func(a *at) ggml.Type

func always(t ggml.Type) choice { return func(*at) ggml.Type { return t } }

func when(c bool, t, otherwise ggml.Type) ggml.Type {
	if c {
		return t
	}
	return otherwise
}

// more gives t to the layers that get more bits.
func more(t ggml.Type) choice { return func(a *at) ggml.Type { return when(a.more(), t, none) } }

// first gives t to the first count tensors.
func first(count int, t, otherwise ggml.Type) choice {
	return func(a *at) ggml.Type { return when(a.i < count, t, otherwise) }
}

// part gives t to the first 1/den of the layers.
func part(den int, t, otherwise ggml.Type) choice {
	return func(a *at) ggml.Type { return when(a.i < a.n/den, t, otherwise) }
}

// unguided is part for quantization without an importance matrix.
func unguided(den int, t, otherwise ggml.Type) choice {
	return func(a *at) ggml.Type { return when(a.imatrix, none, part(den, t, otherwise)(a)) }
}

// guided is part for quantization with an importance matrix.
func guided(t ggml.Type) choice {
	return func(a *at) ggml.Type { return when(a.imatrix, part(8, t, none)(a), none) }
}

// grouped gives t where four query heads or more share a key/value head.
func grouped(t, otherwise ggml.Type) choice {
	return func(a *at) ggml.Type { return when(a.gqa >= 4, t, otherwise) }
}

// wide gives Q4_K where key/value heads or experts are shared, as the types
// below three bits do.
func wide(otherwise ggml.Type) choice {
	return func(a *at) ggml.Type { return when(a.gqa >= 4 || a.experts >= 4, ggml.Q4_K, otherwise) }
}

// middle gives t to all but the first and last eighth.
func middle(t ggml.Type) choice {
	return func(a *at) ggml.Type { return when(a.i >= a.n/8 && a.i < 7*a.n/8, t, none) }
}

// mix is one file type of llama-quantize: a base type, and the tensors that
// get another (src/llama-quant.cpp). A nil choice is the base.
type mix struct {
	name                   string
	base                   ggml.Type
	v, down, out, qk, rest choice // rest: ffn_gate and ffn_up
	embed                  ggml.Type
	// head is the output projection's type, Q6_K when 0.
	head ggml.Type
	// eight is the type of attn_output with exactly eight experts.
	eight ggml.Type
	// low marks the types below three bits, which have a ladder of their own.
	low bool
	// falconDown is falcon's ladder for ffn_down.
	falconDown choice
	// bits is the size of a whole Llama-3.1-8B in bits for a weight, as the
	// quantizer prints it; the nominal size of the mix.
	bits float64
}

// mixes are the file types of llama-quantize 0.7.0, best first.
var mixes = [...]mix{
	{name: "F32", base: ggml.F32, bits: 32},
	{name: "BF16", base: ggml.BF16, bits: 16},
	{name: "F16", base: ggml.F16, bits: 16},
	{name: "Q8_0", base: ggml.Q8_0, bits: 8.50},
	{name: "Q6_K", base: ggml.Q6_K, bits: 6.56},
	{name: "Q5_1", base: ggml.Q5_1, bits: 6.04},
	{name: "Q5_K_M", base: ggml.Q5_K, v: more(ggml.Q6_K), down: more(ggml.Q6_K), bits: 5.70},
	{name: "Q5_K_S", base: ggml.Q5_K, bits: 5.57},
	{name: "Q5_0", base: ggml.Q5_0, down: guided(ggml.Q5_1), bits: 5.57},
	{name: "Q4_1", base: ggml.Q4_1, bits: 5.10},
	{name: "Q4_K_M", base: ggml.Q4_K, v: more(ggml.Q6_K), down: more(ggml.Q6_K), eight: ggml.Q5_K, bits: 4.89,
		falconDown: func(a *at) ggml.Type { return when(a.i < a.n/16, ggml.Q6_K, when(a.more(), ggml.Q5_K, ggml.Q4_K)) }},
	{name: "Q4_K_S", base: ggml.Q4_K, v: first(4, ggml.Q5_K, none), down: part(8, ggml.Q5_K, none), eight: ggml.Q5_K, bits: 4.67,
		falconDown: always(none)},
	{name: "IQ4_NL", base: ggml.IQ4_NL, v: grouped(ggml.Q5_K, none), down: unguided(8, ggml.Q5_K, none), eight: ggml.Q5_K, bits: 4.68},
	{name: "Q4_0", base: ggml.Q4_0, down: guided(ggml.Q4_1), bits: 4.64},
	{name: "IQ4_XS", base: ggml.IQ4_XS, v: grouped(ggml.Q5_K, none), down: unguided(8, ggml.Q5_K, none), eight: ggml.Q5_K, bits: 4.46},
	{name: "MXFP4_MOE", base: ggml.Q8_0, bits: 4.25},
	{name: "Q3_K_L", base: ggml.Q3_K, v: always(ggml.Q5_K), down: always(ggml.Q5_K), out: always(ggml.Q5_K), bits: 4.30,
		falconDown: always(ggml.Q4_K)},
	{name: "Q3_K_M", base: ggml.Q3_K, v: first(2, ggml.Q5_K, ggml.Q4_K), down: part(16, ggml.Q5_K, ggml.Q4_K), out: always(ggml.Q4_K), eight: ggml.Q5_K, bits: 4.00,
		falconDown: func(a *at) ggml.Type { return when(a.i < a.n/16, ggml.Q5_K, when(a.more(), ggml.Q4_K, ggml.Q3_K)) }},
	{name: "IQ3_M", base: ggml.IQ3_S, v: always(ggml.Q4_K), out: always(ggml.Q4_K), eight: ggml.Q5_K, bits: 3.76,
		down: func(a *at) ggml.Type {
			return when(a.i < a.n/8 || a.experts == 8 && a.more(), ggml.Q4_K, none)
		}},
	{name: "IQ3_S", base: ggml.IQ3_S, v: grouped(ggml.Q4_K, none), eight: ggml.Q5_K, bits: 3.66},
	{name: "Q3_K_S", base: ggml.Q3_K, eight: ggml.Q5_K, bits: 3.64},
	{name: "IQ3_XS", base: ggml.IQ3_S, v: grouped(ggml.Q4_K, none), qk: always(ggml.IQ3_XXS), rest: middle(ggml.IQ3_XXS), eight: ggml.Q5_K, bits: 3.50},
	{name: "IQ3_XXS", base: ggml.IQ3_XXS, qk: always(ggml.IQ2_S), out: always(ggml.IQ3_S), embed: ggml.IQ3_S, head: ggml.Q5_K, eight: ggml.Q5_K, bits: 3.25,
		v: func(a *at) ggml.Type {
			return when(a.gqa >= 4, ggml.Q4_K, when(a.imatrix, ggml.IQ3_XXS, ggml.IQ3_S))
		},
		down: unguided(8, ggml.Q4_K, ggml.Q3_K)},
	{name: "Q2_K", base: ggml.Q2_K, v: grouped(ggml.Q4_K, ggml.Q3_K), down: always(ggml.Q3_K), out: always(ggml.Q3_K), eight: ggml.Q5_K, bits: 3.16},
	{name: "Q2_K_S", base: ggml.Q2_K, v: grouped(ggml.Q4_K, none), down: part(8, ggml.Q4_K, none), bits: 2.97},
	{name: "IQ2_M", base: ggml.IQ2_S, low: true, v: wide(ggml.IQ3_S), down: part(8, ggml.IQ3_S, none), out: always(ggml.IQ3_S), embed: ggml.IQ3_S, head: ggml.Q5_K, bits: 2.93},
	{name: "IQ2_S", base: ggml.IQ2_XS, low: true, v: wide(ggml.IQ3_S), down: part(8, ggml.IQ3_S, none), out: always(ggml.IQ3_S), embed: ggml.IQ3_S, head: ggml.Q5_K, bits: 2.74},
	{name: "IQ2_XS", base: ggml.IQ2_XS, low: true, v: wide(ggml.Q2_K), down: part(8, ggml.Q2_K, none), embed: ggml.Q2_K, head: ggml.Q5_K, bits: 2.59},
	{name: "TQ2_0", base: ggml.TQ2_0, embed: ggml.Q4_K, bits: 2.55},
	{name: "IQ2_XXS", base: ggml.IQ2_XXS, low: true, v: wide(ggml.Q2_K), down: part(8, ggml.Q2_K, none), embed: ggml.Q2_K, head: ggml.Q5_K, bits: 2.38},
	{name: "TQ1_0", base: ggml.TQ1_0, embed: ggml.Q4_K, bits: 2.21},
	{name: "IQ1_M", base: ggml.IQ1_M, low: true, v: wide(ggml.Q2_K), down: part(8, ggml.Q2_K, none), out: always(ggml.IQ2_XXS), embed: ggml.Q2_K, head: ggml.Q5_K, bits: 2.15},
	{name: "IQ1_S", base: ggml.IQ1_S, low: true, v: wide(ggml.Q2_K), down: part(8, ggml.Q2_K, none), out: always(ggml.IQ2_XXS), embed: ggml.Q2_K, head: ggml.Q5_K, bits: 2.00},
}

// fallback returns the type for rows that t's block does not divide, as the
// quantizer replaces it; F16 when 32 does not divide them either.
func fallback(t ggml.Type, row int64) ggml.Type {
	if t.BlockElems() > 0 && row%t.BlockElems() == 0 {
		return t
	}
	switch t {
	case ggml.Q4_K:
		t = ggml.Q5_0
	case ggml.Q5_K:
		t = ggml.Q5_1
	case ggml.Q6_K:
		t = ggml.Q8_0
	case ggml.Q2_K, ggml.Q3_K, ggml.TQ1_0, ggml.TQ2_0:
		t = ggml.Q4_0
	default:
		t = ggml.IQ4_NL
	}
	if row%t.BlockElems() != 0 {
		return ggml.F16
	}
	return t
}
