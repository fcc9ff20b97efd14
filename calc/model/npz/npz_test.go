package npz

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/safetensors"
)

// npy returns a file of the .npy format, padded as its specification asks for:
// the data begin at a multiple of 64 bytes.
func npy(version byte, literal string, data int) []byte {
	front := 10
	if version > 1 {
		front = 12
	}
	text := literal + strings.Repeat(" ", 63-(front+len(literal))%64) + "\n"
	b := append([]byte("\x93NUMPY"), version, 0)
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	}
	return append(append(b, text...), make([]byte, data)...)
}

// member is one array of an archive.
type member struct {
	name   string
	method uint16
	data   []byte
}

func archive(members ...member) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, m := range members {
		w, err := z.CreateHeader(&zip.FileHeader{Name: m.name, Method: m.method})
		if err == nil {
			_, err = w.Write(m.data)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func read(b []byte) ([]safetensors.Tensor, error) {
	return Read(bytes.NewReader(b), int64(len(b)))
}

// TestRead lists the arrays of a small quantized layer, stored and deflated,
// of every version of the format, as NumPy and MLX write them.
func TestRead(t *testing.T) {
	b := archive(
		member{"layers.0.q_proj.weight.npy", zip.Store, npy(1, `{'descr': '<u4', 'fortran_order': False, 'shape': (64, 8), }`, 64*8*4)},
		member{"layers.0.q_proj.scales.npy", zip.Deflate, npy(1, `{'descr': '<f2', 'fortran_order': False, 'shape': (64, 1), }`, 128)},
		member{"layers.0.q_proj.biases.npy", zip.Deflate, npy(2, `{'descr': '|V2', 'fortran_order': False, 'shape': (64, 1)}`, 128)},
		member{"norm.weight.npy", zip.Store, npy(3, `{"descr": "bfloat16", "fortran_order": True, "shape": (64,)}`, 128)},
		member{"scale.npy", zip.Store, npy(1, `{'shape': (), 'fortran_order': False, 'descr': '<f4', }`, 4)},
		member{"none.npy", zip.Store, npy(1, `{'descr': '|i1', 'fortran_order': False, 'shape': (0, 7), }`, 0)},
	)
	got, err := read(b)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, x := range got {
		lines = append(lines, fmt.Sprintf("%s %s %v %d", x.Name, x.DType, x.Shape, x.Bytes()))
	}
	want := []string{
		"layers.0.q_proj.weight U32 [64 8] 2048", "layers.0.q_proj.scales F16 [64 1] 128", "layers.0.q_proj.biases BF16 [64 1] 128",
		"norm.weight BF16 [64] 128", "scale F32 [] 4", "none I8 [0 7] 0",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got  %q\nwant %q", lines, want)
	}
}

// Members' data is not read: of a stored array of 64 MB little more than the
// directory is.
func TestReadsLittle(t *testing.T) {
	const n = 64 << 20
	b := archive(member{"w.npy", zip.Store, npy(1, `{'descr': '<f4', 'fortran_order': False, 'shape': (4096, 4096), }`, n)})
	r := &counting{ReaderAt: bytes.NewReader(b)}
	got, err := Read(r, int64(len(b)))
	if err != nil || len(got) != 1 || got[0].Bytes() != n {
		t.Fatalf("%v, %v", got, err)
	}
	if r.n > 64<<10 {
		t.Errorf("%d bytes were read", r.n)
	}
}

type counting struct {
	io.ReaderAt
	n int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.n += len(p)
	return c.ReaderAt.ReadAt(p, off)
}

func TestRefuses(t *testing.T) {
	one := func(literal string, data int) []byte {
		return archive(member{"w.npy", zip.Store, npy(1, literal, data)})
	}
	long := npy(2, `{}`, 0)
	binary.LittleEndian.PutUint32(long[8:], 1<<31)
	good := one(`{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}`, 24)
	for name, b := range map[string][]byte{
		"empty":             nil,
		"text":              []byte("hello"),
		"cut":               good[:len(good)-1],
		"no array":          archive(member{"readme.txt", zip.Store, []byte("x")}),
		"twice":             archive(member{"w.npy", zip.Store, npy(1, `{'descr': '<f4', 'fortran_order': False, 'shape': ()}`, 4)}, member{"w.npy", zip.Store, npy(1, `{'descr': '<f4', 'fortran_order': False, 'shape': ()}`, 4)}),
		"no magic":          archive(member{"w.npy", zip.Store, []byte("not an array at all")}),
		"short":             archive(member{"w.npy", zip.Store, []byte("\x93NUM")}),
		"version 4":         archive(member{"w.npy", zip.Store, npy(4, `{}`, 0)}),
		"long header":       archive(member{"w.npy", zip.Store, long}),
		"data missing":      one(`{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}`, 20),
		"data left over":    one(`{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}`, 28),
		"objects":           one(`{'descr': '|O', 'fortran_order': False, 'shape': (2,)}`, 16),
		"structured":        one(`{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}`, 8),
		"no shape":          one(`{'descr': '<f4', 'fortran_order': False}`, 4),
		"a key too many":    one(`{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}`, 4),
		"a key twice":       one(`{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}`, 4),
		"number, no tuple":  one(`{'descr': '<f4', 'fortran_order': False, 'shape': (4)}`, 16),
		"negative":          one(`{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}`, 16),
		"overflow":          one(`{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}`, 16),
		"something after":   one(`{'descr': '<f4', 'fortran_order': False, 'shape': ()} + 1`, 4),
		"an open literal":   one(`{'descr': '<f4', 'fortran_order': False, 'shape': (1,`, 4),
		"commas of nothing": one(`{'descr': '<f4', 'fortran_order': False, 'shape': (,)}`, 4),
	} {
		got, err := read(b)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != model.MalformedFile {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{`{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, `{'descr': '|V2', 'shape': (), 'fortran_order': True}`, `{`, `{'descr': '`} {
		f.Add(string(npy(1, s, 0)))
		f.Add(string(npy(3, s, 0)))
	}
	f.Fuzz(func(t *testing.T, b string) {
		h, n, err := readHeader(strings.NewReader(b), "w")
		if err == nil && (h.bytes < 0 || n > int64(len(b)) || h.dtype == "") {
			t.Errorf("%q: %+v of %d bytes", b, h, n)
		}
	})
}

func FuzzRead(f *testing.F) {
	w := npy(1, `{'descr': '<u4', 'fortran_order': False, 'shape': (4, 8), }`, 128)
	f.Add(archive(member{"a.npy", zip.Store, w}, member{"b.npy", zip.Deflate, w}))
	f.Add(archive())
	f.Fuzz(func(t *testing.T, b []byte) {
		ts, err := read(b)
		var e *model.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%v is not a *model.Error", err)
		}
		for i := range ts {
			if ts[i].Bytes() < 0 {
				t.Errorf("%+v", ts[i])
			}
		}
	})
}
