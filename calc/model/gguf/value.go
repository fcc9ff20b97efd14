package gguf

import (
	"encoding/binary"
	"math"
)

// ValueType is the type of a metadata value, by its id in the file.
type ValueType uint32

// The value types.
const (
	Uint8 ValueType = iota
	Int8
	Uint16
	Int16
	Uint32
	Int32
	Float32
	Bool
	String
	Array
	Uint64
	Int64
	Float64
)

var valueTypeNames = [...]string{"uint8", "int8", "uint16", "int16", "uint32", "int32",
	"float32", "bool", "string", "array", "uint64", "int64", "float64"}

var valueTypeSizes = [...]int64{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}

// String returns the type's name in the GGUF specification.
func (t ValueType) String() string {
	if int64(t) < int64(len(valueTypeNames)) {
		return valueTypeNames[t]
	}
	return "unknown"
}

// size returns the bytes of one value, 0 for strings, arrays and unknown
// types.
func (t ValueType) size() int64 {
	if int64(t) < int64(len(valueTypeSizes)) {
		return valueTypeSizes[t]
	}
	return 0
}

// Value is one metadata value. Long strings and arrays are passed over while
// reading: Len tells their length, their content is not kept.
type Value struct {
	Type ValueType
	// Elem is the element type when Type is Array.
	Elem ValueType
	// Len is the number of elements of an array or of bytes of a string.
	Len int64
	// Kept reports whether the content is available.
	Kept bool

	str   string
	strs  []string
	raw   []byte // scalar or array of scalars, in the file's byte order
	order binary.ByteOrder
}

// Int returns an integer or boolean scalar. It fails for other types and for
// values beyond int64.
func (v Value) Int() (int64, bool) {
	if v.Type >= String && v.Type <= Array || v.Type == Float32 || v.Type == Float64 {
		return 0, false
	}
	return number(v.Type, v.raw, v.order)
}

// Bool returns a boolean scalar.
func (v Value) Bool() (value, ok bool) {
	if v.Type != Bool || len(v.raw) == 0 {
		return false, false
	}
	return v.raw[0] != 0, true
}

// Float returns a scalar number.
func (v Value) Float() (float64, bool) {
	switch {
	case int64(len(v.raw)) < v.Type.size():
		return 0, false
	case v.Type == Float32:
		return float64(math.Float32frombits(v.order.Uint32(v.raw))), true
	case v.Type == Float64:
		return math.Float64frombits(v.order.Uint64(v.raw)), true
	}
	n, ok := v.Int()
	return float64(n), ok
}

// Text returns a string.
func (v Value) Text() (string, bool) { return v.str, v.Type == String && v.Kept }

// Texts returns an array of strings.
func (v Value) Texts() ([]string, bool) {
	return v.strs, v.Type == Array && v.Elem == String && v.Kept
}

// Ints returns an array of integers or booleans.
func (v Value) Ints() ([]int64, bool) {
	if v.Type != Array || !v.Kept || v.Elem == String || v.Elem == Float32 || v.Elem == Float64 {
		return nil, false
	}
	size := int(v.Elem.size())
	out := make([]int64, v.Len)
	for i := range out {
		n, ok := number(v.Elem, v.raw[i*size:], v.order)
		if !ok {
			return nil, false
		}
		out[i] = n
	}
	return out, true
}

// number reads one integer or boolean; it fails beyond int64.
func number(t ValueType, b []byte, o binary.ByteOrder) (int64, bool) {
	if int64(len(b)) < t.size() {
		return 0, false
	}
	switch t {
	case Uint8:
		return int64(b[0]), true
	case Int8:
		return int64(int8(b[0])), true
	case Bool:
		if b[0] != 0 {
			return 1, true
		}
		return 0, true
	case Uint16:
		return int64(o.Uint16(b)), true
	case Int16:
		return int64(int16(o.Uint16(b))), true
	case Uint32:
		return int64(o.Uint32(b)), true
	case Int32:
		return int64(int32(o.Uint32(b))), true
	case Uint64:
		n := o.Uint64(b)
		return int64(n), n <= math.MaxInt64
	case Int64:
		return int64(o.Uint64(b)), true
	}
	return 0, false
}
