// Package npz reads what an .npz file stores without reading its data: the
// directory of the zip archive and the header of each .npy member. Older MLX
// repositories keep their weights in such files.
package npz

import (
	"archive/zip"
	"errors"
	"io"
	"math/bits"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/safetensors"
)

// Bounds of what a file may ask for.
const (
	maxMembers = 1 << 20
	maxTotal   = 1 << 60 // bytes of all tensors
)

// Read lists the tensors of an .npz file of the given size in the order of its
// directory, by the types that safetensors names. Begin and End are offsets
// into the arrays' data, one after another and uncompressed; deflated members
// are read as well as stored ones. Errors are MalformedFile.
func Read(r io.ReaderAt, size int64) ([]safetensors.Tensor, error) {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // nothing is unpacked, names are only compared
		return nil, &model.Error{Code: model.MalformedFile, Field: "npz", Message: "the directory of the archive cannot be read", Err: err,
			Hint: "check that the download is complete; the directory is at the end of the file"}
	}
	if len(z.File) > maxMembers {
		return nil, malformed("", "the archive has %d members, at most %d are read", len(z.File), maxMembers)
	}
	out := make([]safetensors.Tensor, 0, len(z.File))
	seen := make(map[string]bool, len(z.File))
	var at int64
	for _, f := range z.File {
		name, isArray := strings.CutSuffix(f.Name, ".npy")
		if !isArray || name == "" {
			return nil, malformed(f.Name, "the member is not an array; an .npz file has nothing else")
		}
		if seen[name] {
			return nil, malformed(f.Name, "the archive has this member twice")
		}
		seen[name] = true
		h, err := readMember(f)
		if err != nil {
			return nil, err
		}
		if at > maxTotal-h.bytes {
			return nil, malformed(f.Name, "the arrays take more bytes than any memory has")
		}
		out = append(out, safetensors.Tensor{Name: name, DType: h.dtype, Shape: h.shape, Begin: at, End: at + h.bytes})
		at += h.bytes
	}
	return out, nil
}

// array is what the header of a .npy file says.
type array struct {
	dtype string
	shape []int64
	bytes int64 // of the data
}

// readMember reads a member's header and holds it against the size that the
// directory gives.
func readMember(f *zip.File) (array, error) {
	r, err := f.Open()
	if err != nil {
		return array{}, unread(f.Name, err)
	}
	defer r.Close()
	h, n, err := readHeader(r, f.Name)
	if err != nil {
		return array{}, err
	}
	if want := uint64(n) + uint64(h.bytes); f.UncompressedSize64 != want {
		return array{}, malformed(f.Name, "the member has %d bytes, its header of %d and an array of %s %v take %d", f.UncompressedSize64, n, h.dtype, h.shape, want)
	}
	return h, nil
}

// size returns the bytes of an array, or false when no memory holds it.
func size(shape []int64, width int64) (int64, bool) {
	n := uint64(width)
	for _, d := range shape {
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > maxTotal {
			return 0, false
		}
		n = lo
	}
	return int64(n), true
}

func malformed(member, format string, args ...any) *model.Error {
	field := "npz"
	if member != "" {
		field += ": " + clip(member)
	}
	return model.Errorf(model.MalformedFile, field, format, args...)
}

func unread(member string, err error) *model.Error {
	return &model.Error{Code: model.MalformedFile, Field: "npz: " + clip(member), Message: "the member cannot be read", Err: err}
}

// clip shortens a name for a message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
