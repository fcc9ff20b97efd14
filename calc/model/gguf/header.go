// Package gguf reads the headers of GGUF files and describes the models in
// them.
//
// It never reads tensor data, allocates nothing for the strings of a
// vocabulary, and bounds every length before it allocates or moves. The format
// is that of ggml's gguf specification, versions 2 and 3, in both byte orders.
package gguf

import (
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
)

// Tensor is one tensor info: where a tensor lies and how it is stored.
type Tensor struct {
	Name string
	Type ggml.Type
	// Dims are the dimensions, the length of a row first; unused ones are 1.
	Dims  [4]int64
	NDims int
	// Offset counts from the start of the tensor data of the tensor's file.
	Offset int64
	// Bytes is the stored size without alignment padding.
	Bytes int64
	// File is the number of the split file that holds the tensor.
	File int
}

// Elems returns the number of elements.
func (t *Tensor) Elems() int64 { return t.Dims[0] * t.Dims[1] * t.Dims[2] * t.Dims[3] }

// Split is a file's place in a set of split files.
type Split struct {
	No, Count int64
	// Tensors is the number of tensors in all files together.
	Tensors int64
}

// Header is the header of a GGUF file, or the joined headers of a set.
type Header struct {
	Version   uint32
	BigEndian bool
	// Alignment is what tensor data starts at multiples of.
	Alignment int64
	// KV is the metadata by key.
	KV map[string]Value
	// Tensors are in the order of the files.
	Tensors []Tensor
	// HeaderBytes is the length of everything before the tensor data, and
	// DataBytes that of the tensor data with its padding. In joined headers
	// both are sums.
	HeaderBytes, DataBytes int64
	// MissingBytes is how much shorter the files are than their headers say,
	// 0 when they are whole or of unknown size.
	MissingBytes int64
	// Split is set in the header of one file out of a set, nil otherwise.
	Split *Split
	// Files is how many files the header describes.
	Files int

	index map[string]int
}

// Tensor returns the tensor of the given name, or nil.
func (h *Header) Tensor(name string) *Tensor {
	if i, ok := h.index[name]; ok {
		return &h.Tensors[i]
	}
	return nil
}

// TensorBytes returns the sum of the tensors' sizes without padding: what
// llama.cpp calls the model size.
func (h *Header) TensorBytes() int64 {
	var n int64
	for i := range h.Tensors {
		n += h.Tensors[i].Bytes
	}
	return n
}

// Text returns the string value of key, "" when absent.
func (h *Header) Text(key string) string {
	s, _ := h.KV[key].Text()
	return s
}

// Architecture returns general.architecture, "" when absent.
func (h *Header) Architecture() string { return h.Text("general.architecture") }

// Join makes one header of the headers of a set of split files, given in any
// order. Metadata is the first file's; the others repeat only the split keys.
// It fails with MalformedFile when a file is missing, double or of another
// set.
func Join(parts ...*Header) (*Header, error) {
	if len(parts) == 1 && parts[0].Split == nil {
		return parts[0], nil
	}
	sorted := make([]*Header, len(parts))
	for _, p := range parts {
		switch {
		case p.Split == nil:
			return nil, malformed("split.count", "a file that is not part of a split set was joined with others")
		case p.Split.Count != int64(len(parts)):
			return nil, malformed("split.count", "the set has %d files, %d were given", p.Split.Count, len(parts)).
				WithHint("give every file of the set, from …-00001-of-%05d.gguf on", p.Split.Count)
		case sorted[p.Split.No] != nil:
			return nil, malformed("split.no", "file %d of the set was given twice", p.Split.No+1)
		case p.Split.Tensors != parts[0].Split.Tensors:
			return nil, malformed("split.tensors.count", "the files are of different sets: %d and %d tensors", p.Split.Tensors, parts[0].Split.Tensors)
		}
		sorted[p.Split.No] = p
	}
	first := sorted[0]
	out := &Header{Version: first.Version, BigEndian: first.BigEndian, Alignment: first.Alignment,
		KV: first.KV, Files: len(parts), index: map[string]int{}}
	for no, p := range sorted {
		out.HeaderBytes += p.HeaderBytes
		out.DataBytes += p.DataBytes
		out.MissingBytes += p.MissingBytes
		for _, t := range p.Tensors {
			if _, double := out.index[t.Name]; double {
				return nil, malformed(t.Name, "the tensor is in two files of the set")
			}
			t.File = no
			out.index[t.Name] = len(out.Tensors)
			out.Tensors = append(out.Tensors, t)
		}
	}
	if want := first.Split.Tensors; want > 0 && int64(len(out.Tensors)) != want {
		return nil, malformed("split.tensors.count", "the set says %d tensors, its files hold %d", want, len(out.Tensors))
	}
	return out, nil
}

// splitOf reads the split keys; a count of 1 or 0 is no split.
func splitOf(kv map[string]Value) (*Split, error) {
	var n [3]int64
	for i, key := range [...]string{"split.no", "split.count", "split.tensors.count"} {
		v, present := kv[key]
		if !present {
			continue
		}
		var ok bool
		if n[i], ok = v.Int(); !ok || n[i] < 0 {
			return nil, malformed(key, "is not a count")
		}
	}
	if n[1] <= 1 {
		return nil, nil
	}
	if n[0] >= n[1] || n[1] > maxSplits {
		return nil, malformed("split.no", "file %d of %d", n[0]+1, n[1])
	}
	return &Split{No: n[0], Count: n[1], Tensors: n[2]}, nil
}

// SplitPaths returns the paths of the whole set that path belongs to by its
// name ("…-00002-of-00005.gguf"), in order; only path when it is not so named.
func SplitPaths(path string) []string {
	const tail = len("-00001-of-00002.gguf")
	stem, ok := strings.CutSuffix(path, ".gguf")
	if !ok || len(path) < tail {
		return []string{path}
	}
	parts := stem[len(path)-tail:] // -00001-of-00002
	no, ok1 := digits(parts[1:6])
	count, ok2 := digits(parts[10:15])
	if parts[0] != '-' || parts[6:10] != "-of-" || !ok1 || !ok2 || no < 1 || no > count || count > maxSplits {
		return []string{path}
	}
	out := make([]string, count)
	for i := range out {
		out[i] = path[:len(path)-tail+1] + five(i+1) + parts[6:] + ".gguf"
	}
	return out
}

func digits(s string) (n int, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func five(n int) string {
	b := []byte("00000")
	for i := len(b) - 1; i >= 0; i-- {
		b[i] += byte(n % 10)
		n /= 10
	}
	return string(b)
}

func malformed(field, format string, args ...any) *model.Error {
	return model.Errorf(model.MalformedFile, field, format, args...)
}
