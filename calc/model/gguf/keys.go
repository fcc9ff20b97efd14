package gguf

import (
	"slices"
	"strings"

	"hwledger/calc/model"
)

// maxLayers bounds what is believed of block_count; llama.cpp stops at 512.
const maxLayers = 2048

// keys reads the keys of one architecture and remembers the first error, so
// that a description can be built without a check after every line.
type keys struct {
	h    *Header
	arch string
	err  error
}

func (k *keys) fail(name, format string, args ...any) {
	if k.err == nil {
		k.err = malformed(k.arch+"."+name, format, args...)
	}
}

func (k *keys) has(name string) bool {
	_, ok := k.h.KV[k.arch+"."+name]
	return ok
}

// int returns a count, or def when the key is absent.
func (k *keys) int(name string, def int64) int64 {
	v, ok := k.h.KV[k.arch+"."+name]
	if !ok {
		return def
	}
	n, ok := v.Int()
	if !ok || n < 0 || n > 1<<40 {
		k.fail(name, "is not a count")
		return def
	}
	return n
}

// need returns a positive count that llama.cpp does not load a model without.
func (k *keys) need(name string) int64 {
	n := k.int(name, 0)
	if n == 0 {
		k.fail(name, "is missing or 0; llama.cpp needs it for %s", printable(k.arch))
	}
	return n
}

// perLayer returns a value for each of n layers from a number or a list, def
// when the key is absent. Layers beyond a list have 0.
func (k *keys) perLayer(name string, n int, def []int64) []int64 {
	v, ok := k.h.KV[k.arch+"."+name]
	if !ok {
		return def
	}
	if v.Type != Array {
		return slices.Repeat([]int64{k.int(name, 0)}, n)
	}
	list, ok := v.Ints()
	if !ok {
		k.fail(name, "is no list of counts")
		return make([]int64, n)
	}
	for _, x := range list {
		if x < 0 || x > 1<<40 {
			k.fail(name, "has the value %d", x)
			return make([]int64, n)
		}
	}
	out := make([]int64, n)
	copy(out, list)
	return out
}

// array returns a list of integers or booleans; ok is false when the key is
// absent or a single number.
func (k *keys) array(name string, least int) (list []int64, ok bool) {
	v, present := k.h.KV[k.arch+"."+name]
	if !present || v.Type != Array {
		return nil, false
	}
	list, ok = v.Ints()
	if !ok || len(list) < least {
		k.fail(name, "has %d entries for %d layers", v.Len, least)
		return make([]int64, least), true
	}
	return list, true
}

// scalars returns the architecture's scalar keys without its prefix.
func (k *keys) scalars() map[string]any {
	out := make(map[string]any, len(k.h.KV))
	for key, v := range k.h.KV {
		name, ok := strings.CutPrefix(key, k.arch+".")
		if !ok {
			continue
		}
		switch v.Type {
		case String:
			if s, kept := v.Text(); kept {
				out[name] = s
			}
		case Bool:
			out[name], _ = v.Bool()
		case Float32, Float64:
			out[name], _ = v.Float()
		case Array:
		default:
			if n, fits := v.Int(); fits {
				out[name] = n
			}
		}
	}
	return out
}

// rope reads what says how far positions were stretched.
func (k *keys) rope() model.Rope {
	text := func(name string) string { s, _ := k.h.KV[k.arch+"."+name].Text(); return s }
	r := model.Rope{Type: text("rope.scaling.type"), OriginalMaxTokens: k.int("rope.scaling.original_context_length", 0)}
	_, r.Axes = k.h.KV[k.arch+".rope.dimension_sections"]
	r.Factor, _ = k.h.KV[k.arch+".rope.scaling.factor"].Float()
	return r
}
