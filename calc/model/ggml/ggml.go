// Package ggml knows the storage types of ggml tensors: their ids in GGUF
// files, their names, and how many bytes a row of them takes.
//
// Every type stores a fixed number of consecutive elements of a row in a block
// of a fixed number of bytes. Ids and block sizes are those of ggml's type
// table, as llama.cpp v0.5.0 and 0.7.0 print them.
package ggml

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Type is a tensor's storage type, by its id in a GGUF file.
type Type uint32

// The types that current files use.
const (
	F32     Type = 0
	F16     Type = 1
	Q4_0    Type = 2
	Q4_1    Type = 3
	Q5_0    Type = 6
	Q5_1    Type = 7
	Q8_0    Type = 8
	Q8_1    Type = 9
	Q2_K    Type = 10
	Q3_K    Type = 11
	Q4_K    Type = 12
	Q5_K    Type = 13
	Q6_K    Type = 14
	Q8_K    Type = 15
	IQ2_XXS Type = 16
	IQ2_XS  Type = 17
	IQ3_XXS Type = 18
	IQ1_S   Type = 19
	IQ4_NL  Type = 20
	IQ3_S   Type = 21
	IQ2_S   Type = 22
	IQ4_XS  Type = 23
	I8      Type = 24
	I16     Type = 25
	I32     Type = 26
	I64     Type = 27
	F64     Type = 28
	IQ1_M   Type = 29
	BF16    Type = 30
	TQ1_0   Type = 34
	TQ2_0   Type = 35
	MXFP4   Type = 39
	NVFP4   Type = 40
	Q1_0    Type = 41
	Q2_0    Type = 42
)

// info describes one id. A retired id has a name and no block.
type info struct {
	name         string
	block, bytes int64
}

var table = [...]info{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2}, F64: {"F64", 1, 8},
	I8: {"I8", 1, 1}, I16: {"I16", 1, 2}, I32: {"I32", 1, 4}, I64: {"I64", 1, 8},
	Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20}, Q5_0: {"Q5_0", 32, 22}, Q5_1: {"Q5_1", 32, 24},
	Q8_0: {"Q8_0", 32, 34}, Q8_1: {"Q8_1", 32, 36},
	Q2_K: {"Q2_K", 256, 84}, Q3_K: {"Q3_K", 256, 110}, Q4_K: {"Q4_K", 256, 144}, Q5_K: {"Q5_K", 256, 176},
	Q6_K: {"Q6_K", 256, 210}, Q8_K: {"Q8_K", 256, 292},
	IQ1_S: {"IQ1_S", 256, 50}, IQ1_M: {"IQ1_M", 256, 56},
	IQ2_XXS: {"IQ2_XXS", 256, 66}, IQ2_XS: {"IQ2_XS", 256, 74}, IQ2_S: {"IQ2_S", 256, 82},
	IQ3_XXS: {"IQ3_XXS", 256, 98}, IQ3_S: {"IQ3_S", 256, 110},
	IQ4_NL: {"IQ4_NL", 32, 18}, IQ4_XS: {"IQ4_XS", 256, 136},
	TQ1_0: {"TQ1_0", 256, 54}, TQ2_0: {"TQ2_0", 256, 66},
	MXFP4: {"MXFP4", 32, 17}, NVFP4: {"NVFP4", 64, 36}, Q1_0: {"Q1_0", 128, 18}, Q2_0: {"Q2_0", 64, 18},

	4: {name: "Q4_2"}, 5: {name: "Q4_3"},
	31: {name: "Q4_0_4_4"}, 32: {name: "Q4_0_4_8"}, 33: {name: "Q4_0_8_8"},
	36: {name: "IQ4_NL_4_4"}, 37: {name: "IQ4_NL_4_8"}, 38: {name: "IQ4_NL_8_8"},
}

// Known reports whether t is a type that current engines load.
func (t Type) Known() bool { return int64(t) < int64(len(table)) && table[t].block > 0 }

// Retired reports whether t is an id that llama.cpp once wrote and now
// refuses.
func (t Type) Retired() bool {
	return int64(t) < int64(len(table)) && table[t].block == 0 && table[t].name != ""
}

// String returns the type's name ("Q4_K"), or "type N" for an unknown id.
func (t Type) String() string {
	if int64(t) < int64(len(table)) && table[t].name != "" {
		return table[t].name
	}
	return "type " + strconv.FormatUint(uint64(t), 10)
}

// BlockElems returns how many elements of a row share a block; 0 for a type
// that is not Known.
func (t Type) BlockElems() int64 {
	if !t.Known() {
		return 0
	}
	return table[t].block
}

// BlockBytes returns the size of a block in bytes; 0 for a type that is not
// Known.
func (t Type) BlockBytes() int64 {
	if !t.Known() {
		return 0
	}
	return table[t].bytes
}

// RowBytes returns the bytes of a row of n elements. It fails when t is not
// Known, when n is negative or no multiple of the block, and on overflow.
func (t Type) RowBytes(n int64) (int64, error) {
	switch {
	case t.Retired():
		return 0, fmt.Errorf("type %s (id %d) was retired by llama.cpp; the file has to be converted again", t, uint32(t))
	case !t.Known():
		return 0, fmt.Errorf("unknown tensor type id %d", uint32(t))
	case n < 0 || n%table[t].block != 0:
		return 0, fmt.Errorf("a row of %d elements is no multiple of %s's block of %d", n, t, table[t].block)
	}
	b, ok := mul(n/table[t].block, table[t].bytes)
	if !ok {
		return 0, fmt.Errorf("a row of %d elements of %s overflows", n, t)
	}
	return b, nil
}

// TensorBytes returns the bytes of a tensor of type t whose dimensions are
// dims, the row length first as in GGUF. It fails like RowBytes.
func TensorBytes(t Type, dims ...int64) (int64, error) {
	if len(dims) == 0 {
		return t.RowBytes(1)
	}
	b, err := t.RowBytes(dims[0])
	if err != nil {
		return 0, err
	}
	for _, d := range dims[1:] {
		var ok bool
		if b, ok = mul(b, d); !ok {
			return 0, fmt.Errorf("a tensor of shape %v overflows", dims)
		}
	}
	return b, nil
}

// ByName returns the type with the given name, in any case. Retired names are
// not found.
func ByName(name string) (Type, bool) {
	for i := range table { // mostly it is written as here
		if table[i].name == name && table[i].block > 0 {
			return Type(i), true
		}
	}
	for i := range table {
		if table[i].block > 0 && strings.EqualFold(table[i].name, name) {
			return Type(i), true
		}
	}
	return 0, false
}

// mul returns a×b for factors that are not negative, and whether it fits.
func mul(a, b int64) (int64, bool) {
	if a < 0 || b < 0 {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	return int64(lo), hi == 0 && lo <= math.MaxInt64
}
