// Package ggufgen writes GGUF headers for tests: real metadata and tensor
// infos of well-known shapes, with the tensor data left out or as a hole.
package ggufgen

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"hwledger/calc/model/ggml"
)

// KV is one metadata entry. Value is one of bool, string, the integers and
// floats of fixed size, int (written as uint32), or a slice of one of these.
type KV struct {
	Key   string
	Value any
}

// Tensor is one tensor info.
type Tensor struct {
	Name string
	Type ggml.Type
	Dims []int64
}

// File is a GGUF file without its tensor data.
type File struct {
	Version   uint32 // 0 for 3
	BigEndian bool
	Alignment int64 // 0 for 32
	KV        []KV
	Tensors   []Tensor
}

// Set adds or replaces a metadata entry.
func (f *File) Set(key string, value any) *File {
	for i := range f.KV {
		if f.KV[i].Key == key {
			f.KV[i].Value = value
			return f
		}
	}
	f.KV = append(f.KV, KV{key, value})
	return f
}

// Unset removes a metadata entry.
func (f *File) Unset(key string) *File {
	for i := range f.KV {
		if f.KV[i].Key == key {
			f.KV = append(f.KV[:i], f.KV[i+1:]...)
			break
		}
	}
	return f
}

// Add appends a tensor.
func (f *File) Add(name string, t ggml.Type, dims ...int64) *File {
	f.Tensors = append(f.Tensors, Tensor{name, t, dims})
	return f
}

// Retype gives each tensor the type that typeOf names for it; typeOf sees the
// name without "blk.N." and the layer, -1 outside the layers. Tensors for which
// it has none keep theirs.
func (f *File) Retype(typeOf func(name string, layer int) (string, bool)) error {
	for i := range f.Tensors {
		name, layer := f.Tensors[i].Name, -1
		if rest, ok := strings.CutPrefix(name, "blk."); ok {
			num, tail, _ := strings.Cut(rest, ".")
			n, err := strconv.Atoi(num)
			if err != nil {
				return fmt.Errorf("tensor %s has no layer number", name)
			}
			name, layer = tail, n
		}
		if s, ok := typeOf(name, layer); ok {
			t, known := ggml.ByName(s)
			if !known {
				return fmt.Errorf("tensor %s: unknown type %s", f.Tensors[i].Name, s)
			}
			f.Tensors[i].Type = t
		}
	}
	return nil
}

// Header returns the bytes of the header with its padding.
func (f *File) Header() []byte {
	w := writer{order: binary.LittleEndian}
	if f.BigEndian {
		w.order = binary.BigEndian
	}
	w.b = append(w.b, "GGUF"...)
	version := f.Version
	if version == 0 {
		version = 3
	}
	w.u32(version)
	w.u64(uint64(len(f.Tensors)))
	w.u64(uint64(len(f.KV)))
	for _, kv := range f.KV {
		w.text(kv.Key)
		w.value(kv.Value, true)
	}
	offset := int64(0)
	for _, t := range f.Tensors {
		w.text(t.Name)
		w.u32(uint32(len(t.Dims)))
		for _, d := range t.Dims {
			w.u64(uint64(d))
		}
		w.u32(uint32(t.Type))
		w.u64(uint64(offset))
		offset += f.padded(t)
	}
	a := int(f.alignment())
	return append(w.b, make([]byte, (a-len(w.b)%a)%a)...)
}

func (f *File) alignment() int64 {
	if f.Alignment > 0 {
		return f.Alignment
	}
	return 32
}

func (f *File) padded(t Tensor) int64 {
	n, err := ggml.TensorBytes(t.Type, t.Dims...)
	if err != nil {
		return 0 // a test of refusals: the reader stops before it matters
	}
	a := f.alignment()
	return (n + a - 1) / a * a
}

// DataBytes returns the size of the tensor data with its padding.
func (f *File) DataBytes() int64 {
	var n int64
	for _, t := range f.Tensors {
		n += f.padded(t)
	}
	return n
}

// WriteSparse writes the file in its true size, with a hole for tensor data.
func (f *File) WriteSparse(path string) error {
	h := f.Header()
	if err := os.WriteFile(path, h, 0o644); err != nil {
		return err
	}
	return os.Truncate(path, int64(len(h))+f.DataBytes())
}

// Split cuts the file into n files as llama-gguf-split does: tensors in order,
// metadata in the first, the split keys in all.
func (f *File) Split(n int) []*File {
	out := make([]*File, n)
	for i := range out {
		p := &File{Version: f.Version, BigEndian: f.BigEndian, Alignment: f.Alignment}
		if i == 0 {
			p.KV = append(p.KV, f.KV...)
		}
		p.Set("split.no", uint16(i)).Set("split.count", uint16(n)).Set("split.tensors.count", int32(len(f.Tensors)))
		p.Tensors = f.Tensors[i*len(f.Tensors)/n : (i+1)*len(f.Tensors)/n]
		out[i] = p
	}
	return out
}

// writer appends values in one byte order.
type writer struct {
	b     []byte
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
}

func (w *writer) u32(n uint32) { w.b = w.order.AppendUint32(w.b, n) }
func (w *writer) u64(n uint64) { w.b = w.order.AppendUint64(w.b, n) }
func (w *writer) text(s string) {
	w.u64(uint64(len(s)))
	w.b = append(w.b, s...)
}

// value appends v, with its type id in front when typed.
func (w *writer) value(v any, typed bool) {
	id := func(n uint32) {
		if typed {
			w.u32(n)
		}
	}
	switch v := v.(type) {
	case uint8:
		id(0)
		w.b = append(w.b, v)
	case int8:
		id(1)
		w.b = append(w.b, byte(v))
	case uint16:
		id(2)
		w.b = w.order.AppendUint16(w.b, v)
	case int16:
		id(3)
		w.b = w.order.AppendUint16(w.b, uint16(v))
	case int:
		id(4)
		w.u32(uint32(v))
	case uint32:
		id(4)
		w.u32(v)
	case int32:
		id(5)
		w.u32(uint32(v))
	case float32:
		id(6)
		w.u32(math.Float32bits(v))
	case bool:
		id(7)
		w.b = append(w.b, 0)
		if v {
			w.b[len(w.b)-1] = 1
		}
	case string:
		id(8)
		w.text(v)
	case uint64:
		id(10)
		w.u64(v)
	case int64:
		id(11)
		w.u64(uint64(v))
	case float64:
		id(12)
		w.u64(math.Float64bits(v))
	case []string:
		array(w, 8, v)
	case []bool:
		array(w, 7, v)
	case []uint32:
		array(w, 4, v)
	case []int32:
		array(w, 5, v)
	case []float32:
		array(w, 6, v)
	default:
		panic(fmt.Sprintf("ggufgen: a value of type %T", v))
	}
}

func array[T any](w *writer, elem uint32, v []T) {
	w.u32(9)
	w.u32(elem)
	w.u64(uint64(len(v)))
	for _, x := range v {
		w.value(x, false)
	}
}
