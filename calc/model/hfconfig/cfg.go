package hfconfig

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"hwledger/calc/model"
)

// defaults are the values that a model_type's configuration class supplies
// for keys its config.json may omit.
type defaults map[string]any

// cfg reads one object of a config.json. Getters record what was read and
// from where, and remember the first failure instead of returning it, so a
// family reads like a list of fields; decoder.build and Parse check once.
type cfg struct {
	*record
	obj  map[string]any
	up   map[string]any // the wrapper around a nested text configuration
	path string         // "" or "text_config."
	def  defaults
	of   string // model_type that def belongs to
}

// record collects what reading a configuration gave: shared by all cfg of one
// Parse.
type record struct {
	modelType string // of the text model
	rootType  string // of the wrapper, or the same
	err       error
	missing   []string
	facts     []model.Fact
	read      map[string]bool
}

// wrapped are the keys that multimodal wrappers keep beside text_config.
var wrapped = map[string]bool{
	"tie_word_embeddings": true, "torch_dtype": true, "dtype": true, "architectures": true,
	"quantization_config": true, "compression_config": true, "quantization": true,
	"num_nextn_predict_layers": true,
}

// get returns the first value present under names, first in the object, then
// in the wrapper for the keys kept there, then among the class defaults. Null
// is absent.
func (c *cfg) get(names ...string) (v any, from string, ok bool) {
	for _, n := range names {
		c.read[c.path+n] = true
	}
	for _, n := range names {
		if v := c.obj[n]; v != nil {
			return v, "config.json:" + c.path + n, true
		}
		if v := c.up[n]; v != nil && wrapped[n] {
			return v, "config.json:" + n, true
		}
	}
	for _, n := range names {
		if v, ok := c.def[n]; ok {
			return v, "class default of " + c.of, true
		}
	}
	return nil, "", false
}

// has reports whether a value is present under any of names.
func (c *cfg) has(names ...string) bool {
	_, _, ok := c.get(names...)
	return ok
}

// fail remembers the first failure.
func (c *cfg) fail(code model.Code, field, format string, args ...any) {
	if c.err == nil {
		c.err = model.Errorf(code, c.path+field, format, args...)
	}
}

// note records a fact.
func (c *cfg) note(field string, value any, from string) {
	f := model.Fact{Field: field, Value: fmt.Sprint(value), From: from}
	if !slices.Contains(c.facts, f) {
		c.facts = append(c.facts, f)
	}
}

// limits bound what a configuration may ask for, by canonical key, so that a
// hostile file can neither exhaust memory nor overflow int64.
var limits = map[string]int64{
	"num_hidden_layers": maxLayers, "num_layers": maxLayers, "num_decoder_layers": maxLayers, "decoder_layers": maxLayers,
	"encoder_layers": maxLayers, "depth": maxLayers, "vt_num_hidden_layers": maxLayers, "num_global_layers": maxLayers,
	"num_nextn_predict_layers": 64, "mtp_num_hidden_layers": 64,
	"num_attention_heads": 1 << 16, "num_key_value_heads": 1 << 16,
	"num_experts": 1 << 16, "vocab_size": 1 << 28,
	"max_position_embeddings": 1 << 40, "sliding_window": 1 << 40,
}

const (
	defaultLimit = 1 << 24
	maxLayers    = 4096
)

// number converts a decoded value to an integer within the limit of canon.
func (c *cfg) number(v any, canon, field string) (int64, bool) {
	var f float64
	switch x := v.(type) {
	case int:
		return int64(x), true
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return n, c.within(n, canon, field)
		}
		var err error
		if f, err = x.Float64(); err != nil {
			c.fail(model.MalformedFile, field, "%s is out of range", x)
			return 0, false
		}
	case []any:
		return c.uniform(x, canon, field)
	default:
		c.fail(model.MalformedFile, field, "want a number, got %s", kindOf(v))
		return 0, false
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<52 {
		c.fail(model.MalformedFile, field, "want an integer, got %v", f)
		return 0, false
	}
	return int64(f), c.within(int64(f), canon, field)
}

// uniform returns the one value of a list that repeats it for every layer.
func (c *cfg) uniform(l []any, canon, field string) (int64, bool) {
	var first json.Number
	for i, v := range l {
		n, ok := v.(json.Number)
		if !ok {
			c.fail(model.MalformedFile, field, "want numbers, got %s", kindOf(v))
			return 0, false
		}
		if i == 0 {
			first = n
		} else if n != first {
			c.fail(model.UnsupportedArchitecture, field, "the layers differ: %s and %s", first, n)
			return 0, false
		}
	}
	if len(l) == 0 {
		return 0, false
	}
	return c.number(first, canon, field)
}

func (c *cfg) within(n int64, canon, field string) bool {
	top, ok := limits[canon]
	if !ok {
		top = defaultLimit
	}
	if n > top || n < -top {
		c.fail(model.MalformedFile, field, "%d is beyond the limit of %d", n, top)
		return false
	}
	return true
}

// int returns the non-negative integer under names, or def.
func (c *cfg) int(def int64, names ...string) int64 {
	n, ok := c.maybe(names...)
	if !ok {
		return def
	}
	return n
}

// maybe returns the non-negative integer under names and whether there is one.
func (c *cfg) maybe(names ...string) (int64, bool) {
	v, from, ok := c.get(names...)
	if !ok {
		return 0, false
	}
	n, ok := c.number(v, names[0], names[0])
	if !ok {
		return 0, false
	}
	if n < 0 {
		c.fail(model.MalformedFile, names[0], "%d is negative", n)
		return 0, false
	}
	c.note(names[0], n, from)
	return n, true
}

// need returns the positive integer under names; without one, names[0] is
// reported as missing.
func (c *cfg) need(names ...string) int64 {
	n, ok := c.maybe(names...)
	if !ok || n == 0 {
		if c.err == nil {
			c.lack(names[0])
		}
		return 0
	}
	return n
}

// lack reports a key without which the model cannot be described.
func (c *cfg) lack(name string) {
	if !slices.Contains(c.missing, c.path+name) {
		c.missing = append(c.missing, c.path+name)
	}
}

// bool returns the boolean under names, or def.
func (c *cfg) bool(def bool, names ...string) bool {
	v, from, ok := c.get(names...)
	if !ok {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		c.fail(model.MalformedFile, names[0], "want true or false, got %s", kindOf(v))
		return def
	}
	c.note(names[0], b, from)
	return b
}

// float returns the number under names, or def.
func (c *cfg) float(def float64, names ...string) float64 {
	v, from, ok := c.get(names...)
	if !ok {
		return def
	}
	var f float64
	switch x := v.(type) {
	case float64:
		f = x
	case int:
		f = float64(x)
	case json.Number:
		var err error
		if f, err = x.Float64(); err != nil {
			c.fail(model.MalformedFile, names[0], "%s is out of range", x)
			return def
		}
	default:
		c.fail(model.MalformedFile, names[0], "want a number, got %s", kindOf(v))
		return def
	}
	c.note(names[0], f, from)
	return f
}

// str returns the text under names, or "".
func (c *cfg) str(names ...string) string {
	v, from, ok := c.get(names...)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		c.fail(model.MalformedFile, names[0], "want text, got %s", kindOf(v))
		return ""
	}
	c.note(names[0], s, from)
	return s
}

// list returns the array under names, or nil.
func (c *cfg) list(names ...string) []any {
	v, _, ok := c.get(names...)
	if !ok {
		return nil
	}
	l, ok := v.([]any)
	if !ok {
		c.fail(model.MalformedFile, names[0], "want a list, got %s", kindOf(v))
	}
	return l
}

// ints returns the list of non-negative integers under names, or nil.
func (c *cfg) ints(names ...string) []int64 {
	l := c.list(names...)
	if l == nil {
		return nil
	}
	out := make([]int64, len(l))
	for i, v := range l {
		if b, ok := v.(bool); ok {
			if b {
				out[i] = 1
			}
			continue
		}
		n, ok := c.number(v, names[0], names[0])
		if ok && n < 0 {
			c.fail(model.MalformedFile, names[0], "%d is negative", n)
		}
		out[i] = max(0, n)
	}
	return out
}

// strs returns the list of texts under names, or nil.
func (c *cfg) strs(names ...string) []string {
	l := c.list(names...)
	if l == nil {
		return nil
	}
	out := make([]string, len(l))
	for i, v := range l {
		s, ok := v.(string)
		if !ok {
			c.fail(model.MalformedFile, names[0], "want a list of texts, got %s in it", kindOf(v))
		}
		out[i] = s
	}
	return out
}

// child returns the object under the first of names, or nil. Its keys have
// no class defaults.
func (c *cfg) child(names ...string) *cfg {
	for _, n := range names {
		v, from, ok := c.get(n)
		if !ok {
			continue
		}
		o, ok := v.(map[string]any)
		if !ok {
			c.fail(model.MalformedFile, n, "want an object, got %s", kindOf(v))
			return nil
		}
		return &cfg{record: c.record, obj: o, path: strings.TrimPrefix(from, "config.json:") + "."}
	}
	return nil
}

// withDefaults returns c with other class defaults.
func (c *cfg) withDefaults(of string, def defaults) *cfg {
	d := *c
	d.of, d.def = of, def
	return &d
}

// failure returns what went wrong so far: the first bad value, or all the
// missing keys at once.
func (c *cfg) failure() error {
	if c.err != nil {
		return c.err
	}
	if len(c.missing) == 0 {
		return nil
	}
	names := strings.Join(c.missing, ", ")
	return model.Errorf(model.MalformedFile, names, "the configuration of this %s model does not give %s", c.modelType, names).
		WithHint("Give the complete config.json of the model repository.")
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number, int, float64:
		return "a number"
	case string:
		return "text"
	case []any:
		return "a list"
	}
	return "an object"
}

// div divides, giving 0 for a zero divisor: a missing field is reported once,
// by the getter that missed it.
func div(a, b int64) int64 {
	if b == 0 {
		return 0
	}
	return a / b
}
