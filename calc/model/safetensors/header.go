// Package safetensors reads the headers of safetensors files, which say what
// every stored tensor is and how many bytes it takes, and attaches them to a
// model that was described by its configuration. Tensor data is never read.
package safetensors

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"slices"
	"strings"

	"hwledger/calc/model"
)

// MaxHeader is the longest header accepted, in bytes; the limit of the
// format's own implementation.
const MaxHeader = 100_000_000

// Tensor is one stored tensor.
type Tensor struct {
	Name  string
	DType string // as the file names it: "BF16", "F8_E4M3", "I32"
	Shape []int64
	// Begin and End are offsets into the data that follows the header.
	Begin, End int64
}

// Bytes returns the stored size.
func (t *Tensor) Bytes() int64 { return t.End - t.Begin }

// Elems returns the number of stored elements; for packed quantized weights
// that is not the number of parameters.
func (t *Tensor) Elems() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Header is what the front of one file says. Names share the memory of the
// header's text.
type Header struct {
	Tensors  []Tensor // in the order of the header
	Metadata map[string]string
	// DataStart is where the tensor data begins in the file.
	DataStart int64
}

// dtypeBits are the widths of the format's types. Types narrower than a byte
// are packed.
var dtypeBits = map[string]uint64{
	"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
	"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "C64": 64,
	"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}

// Bits returns the width of an element of the format's type, false for a name
// that is none of them.
func Bits(dtype string) (uint64, bool) {
	n, ok := dtypeBits[dtype]
	return n, ok
}

// Read reads and checks the header of a file of the given size.
func Read(r io.ReaderAt, size int64) (*Header, error) {
	var front [8]byte
	if _, err := r.ReadAt(front[:], 0); err != nil {
		return nil, unread(err, 0, "the file ends before its 8-byte header length")
	}
	n := binary.LittleEndian.Uint64(front[:])
	if n > MaxHeader || int64(n) > size-8 {
		return nil, malformed(0, "the header length is %d, the file has %d bytes and headers at most %d", n, size, MaxHeader)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, unread(err, 8, "the file ends inside its header")
	}
	h, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if end := h.dataEnd(); end != size-h.DataStart {
		return nil, malformed(h.DataStart, "the tensors take %d bytes, the file has %d after its header", end, size-h.DataStart)
	}
	return h, nil
}

// Parse reads a header's JSON text, without the 8 bytes before it, and checks
// that the tensors' offsets tile the data from 0 without gap or overlap, and
// that each has the size its type and shape ask for. Offsets in errors are
// those in the file.
func Parse(text []byte) (*Header, error) {
	if len(text) > MaxHeader {
		return nil, malformed(0, "the header has %d bytes, at most %d are allowed", len(text), MaxHeader)
	}
	s := scanner{text: string(text)}
	h, err := s.header()
	if err != nil {
		return nil, err
	}
	h.DataStart = 8 + int64(len(text))
	return h, h.check()
}

func (h *Header) dataEnd() int64 {
	var end int64
	for i := range h.Tensors {
		end = max(end, h.Tensors[i].End)
	}
	return end
}

// check verifies sizes, tiling and that no name comes twice.
func (h *Header) check() error {
	order := make([]int32, len(h.Tensors))
	for i := range h.Tensors {
		order[i] = int32(i)
		if err := h.Tensors[i].check(); err != nil {
			return err
		}
	}
	ts := h.Tensors
	slices.SortFunc(order, func(a, b int32) int {
		if c := ts[a].Begin - ts[b].Begin; c != 0 {
			return sign(c)
		}
		return sign(ts[a].End - ts[b].End)
	})
	var at int64
	for _, i := range order {
		if t := &ts[i]; t.Begin != at {
			return malformed(h.DataStart+at, "tensor %.80q begins at data offset %d where %d is expected", t.Name, t.Begin, at)
		}
		at = ts[i].End
	}
	slices.SortFunc(order, func(a, b int32) int { return strings.Compare(ts[a].Name, ts[b].Name) })
	for i := 1; i < len(order); i++ {
		if n := ts[order[i]].Name; n == ts[order[i-1]].Name {
			return malformed(8, "tensor %.80q is listed twice", n)
		}
	}
	return nil
}

// check verifies that the tensor's range has the size of its shape.
func (t *Tensor) check() error {
	width, ok := dtypeBits[t.DType]
	if !ok {
		return malformed(8, "tensor %.80q has the unknown type %.20q", t.Name, t.DType)
	}
	n := width
	for _, d := range t.Shape {
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > 1<<62 {
			return malformed(8, "tensor %.80q has a shape beyond any memory", t.Name)
		}
		n = lo
	}
	if n%8 != 0 || t.End < t.Begin || uint64(t.Bytes()) != n/8 {
		return malformed(8, "tensor %.80q of type %s and shape %v does not fit its offsets %d to %d", t.Name, t.DType, t.Shape, t.Begin, t.End)
	}
	return nil
}

func sign(n int64) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func malformed(offset int64, format string, args ...any) *model.Error {
	e := model.Errorf(model.MalformedFile, "safetensors", format, args...)
	e.Message = "at byte " + itoa(offset) + ": " + e.Message
	return e
}

func unread(err error, offset int64, message string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed(offset, "%s", message)
	}
	return &model.Error{Code: model.MalformedFile, Field: "safetensors", Message: "cannot be read", Err: err}
}
