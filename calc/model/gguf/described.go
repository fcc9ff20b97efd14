package gguf

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"hwledger/calc/model/ggml"
)

// Described is one tensor as a server lists it: by the names and sizes that
// its header has, without its place in the file.
type Described struct {
	Name string `json:"name"`
	// Type is ggml's name of the type: "Q4_K".
	Type string `json:"type"`
	// Shape has the length of a row first, as in the file.
	Shape []int64 `json:"shape"`
}

// FromDescription makes a header of metadata and tensors that were read by
// somebody else and passed on as JSON, as Ollama's /api/show does. Values of kv
// are strings, booleans, json.Number, lists of these, and null for what was
// left out. Sizes of the header and of padding are not known and stay 0. It
// fails with MalformedFile for what no GGUF file can hold.
func FromDescription(kv map[string]any, tensors []Described) (*Header, error) {
	if len(kv) > maxKV || len(tensors) > maxTensors {
		return nil, malformed("", "%d keys and %d tensors are beyond what a GGUF file holds", len(kv), len(tensors))
	}
	h := &Header{Version: 3, Alignment: 32, Files: 1, KV: make(map[string]Value, len(kv)), index: make(map[string]int, len(tensors))}
	for key, v := range kv {
		if v == nil {
			continue
		}
		x, ok := valueOf(v)
		if !ok {
			return nil, malformed(printable(key), "has a value that GGUF does not know")
		}
		h.KV[key] = x
	}
	for _, d := range tensors {
		if err := h.add(d); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// add appends one tensor after the checks that reading a file makes.
func (h *Header) add(d Described) error {
	t := Tensor{Name: d.Name, Dims: [4]int64{1, 1, 1, 1}, NDims: len(d.Shape)}
	field := printable(d.Name)
	if len(d.Name) > maxName || len(d.Shape) > 4 {
		return malformed(field, "a tensor of %d dimensions with a name of %d bytes", len(d.Shape), len(d.Name))
	}
	elems := int64(1)
	for i, n := range d.Shape {
		if n <= 0 || n > math.MaxInt64/elems {
			return malformed(field, "dimension %d is impossible", n)
		}
		elems *= n
		t.Dims[i] = n
	}
	var ok bool
	if t.Type, ok = ggml.ByName(d.Type); !ok {
		return malformed(field, "has the unknown type %s", printable(d.Type))
	}
	var err error
	if t.Bytes, err = ggml.TensorBytes(t.Type, t.Dims[:]...); err != nil {
		return malformed(field, "%s", err)
	}
	if t.Bytes > maxData-h.Alignment-h.DataBytes {
		return malformed(field, "the tensor data overflows")
	}
	if h.Tensor(d.Name) != nil {
		return malformed(field, "the tensor is there twice")
	}
	t.Offset = h.DataBytes
	h.DataBytes += pad(t.Bytes, h.Alignment)
	h.index[t.Name] = len(h.Tensors)
	h.Tensors = append(h.Tensors, t)
	return nil
}

// valueOf turns a JSON value into one as it is in a file: numbers in the widest
// type of their kind, long texts and lists by their length only.
func valueOf(v any) (Value, bool) {
	switch v := v.(type) {
	case string:
		x := Value{Type: String, Len: int64(len(v)), Kept: len(v) <= keepString}
		if x.Kept {
			x.str = v
		}
		return x, true
	case bool, json.Number:
		t, raw, ok := scalar(v, nil)
		return Value{Type: t, Kept: true, raw: raw, order: binary.LittleEndian}, ok
	case []any:
		return listOf(v)
	}
	return Value{}, false
}

// scalar appends a number or boolean to raw.
func scalar(v any, raw []byte) (ValueType, []byte, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return Bool, append(raw, 1), true
		}
		return Bool, append(raw, 0), true
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return Int64, binary.LittleEndian.AppendUint64(raw, uint64(n)), true
		}
		if n, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return Uint64, binary.LittleEndian.AppendUint64(raw, n), true
		}
		f, err := v.Float64()
		return Float64, binary.LittleEndian.AppendUint64(raw, math.Float64bits(f)), err == nil
	}
	return 0, nil, false
}

// listOf makes an array of one type: strings, booleans, integers, or floating
// point when one of the numbers has a fraction.
func listOf(v []any) (Value, bool) {
	x := Value{Type: Array, Len: int64(len(v)), Kept: true, order: binary.LittleEndian}
	if len(v) == 0 {
		x.Elem = Int64
		return x, true
	}
	if _, texts := v[0].(string); texts {
		x.Elem, x.Kept = String, len(v) <= keepTexts
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return Value{}, false
			}
			if x.Kept {
				x.strs = append(x.strs, s)
			}
		}
		return x, true
	}
	kinds := make([]ValueType, 0, 2)
	for _, e := range v {
		t, raw, ok := scalar(e, x.raw)
		if !ok {
			return Value{}, false
		}
		if x.raw = raw; !slices.Contains(kinds, t) {
			kinds = append(kinds, t)
		}
	}
	if len(kinds) > 1 {
		return floatsOf(v)
	}
	x.Elem = kinds[0]
	return x.short(), true
}

// floatsOf makes an array of floating point of numbers of several kinds: JSON
// writes 1.0 as 1.
func floatsOf(v []any) (Value, bool) {
	x := Value{Type: Array, Elem: Float64, Len: int64(len(v)), Kept: true, order: binary.LittleEndian}
	for _, e := range v {
		n, ok := e.(json.Number)
		if !ok {
			return Value{}, false
		}
		f, err := n.Float64()
		if err != nil {
			return Value{}, false
		}
		x.raw = binary.LittleEndian.AppendUint64(x.raw, math.Float64bits(f))
	}
	return x.short(), true
}

// short drops the content of an array that a file's reader passes over too.
func (v Value) short() Value {
	if v.Len > keepArray {
		v.raw, v.Kept = nil, false
	}
	return v
}
