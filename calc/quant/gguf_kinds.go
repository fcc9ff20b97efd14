package quant

import (
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
)

// kind is what the quantizer tells tensors apart by, beyond embedding and
// output.
type kind uint8

const (
	kindOther kind = iota
	kindValue      // attn_v, and the fused attn_qkv and attn_kv_b
	kindKey
	kindQuery
	kindOut
	kindDown
	kindGate
	kindUp
)

func kindOf(name string) kind {
	switch strings.TrimSuffix(name, ".weight") {
	case "attn_v", "attn_qkv", "attn_kv_b":
		return kindValue
	case "attn_k":
		return kindKey
	case "attn_q":
		return kindQuery
	case "attn_output":
		return kindOut
	}
	switch {
	case strings.HasPrefix(name, "ffn_down"):
		return kindDown
	case strings.HasPrefix(name, "ffn_gate"):
		return kindGate
	case strings.HasPrefix(name, "ffn_up"):
		return kindUp
	}
	return kindOther
}

// byKind applies the mix's choice for t's kind and counts the kind.
func (v *visit) byKind(t *model.Tensor) ggml.Type {
	s := v.s.mix
	pick := func(c choice) ggml.Type {
		if c == nil {
			return none
		}
		return c(&v.at)
	}
	eight := v.experts == 8
	switch kindOf(t.Name) {
	case kindValue:
		v.i, v.n = v.iv, v.nv
		v.iv++
		typ := pick(s.v)
		if s.low {
			return typ
		}
		if eff := when(typ == none, s.base, typ); v.seventy && (eff == ggml.Q3_K || eff == ggml.Q4_K) {
			typ = ggml.Q5_K
		}
		return when(eight, ggml.Q8_0, typ)
	case kindKey:
		if eight {
			return when(s.low, ggml.Q4_K, ggml.Q8_0)
		}
		return pick(s.qk)
	case kindQuery:
		return pick(s.qk)
	case kindOut:
		switch {
		case v.falcon && !s.low:
			return when(s.name == "Q3_K_L", ggml.Q4_K, none)
		case eight && (s.low || s.eight != 0):
			return ggml.Q5_K
		case eight:
			return none
		}
		return pick(s.out)
	case kindDown:
		v.feedForward(t, &v.idown, s.low)
		if v.falcon && s.falconDown != nil {
			return pick(s.falconDown)
		}
		return pick(s.down)
	case kindGate:
		v.feedForward(t, &v.igate, false)
		return pick(s.rest)
	case kindUp:
		v.feedForward(t, &v.iup, false)
		return pick(s.rest)
	}
	return none
}

// feedForward sets the index of a feed-forward tensor: its layer in a model
// with experts, whose layers have several, else the running count.
func (v *visit) feedForward(t *model.Tensor, count *int, running bool) {
	v.i, v.n = *count, v.layers
	*count++
	if v.experts > 1 && !running {
		v.i = t.Layer
	}
}
