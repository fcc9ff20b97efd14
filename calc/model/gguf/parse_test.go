package gguf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
)

// sample has every value type, arrays that are kept and passed over, and
// tensors of one to four dimensions.
func sample() *ggufgen.File {
	f := &ggufgen.File{}
	f.Set("general.architecture", "llama").Set("general.name", "sample").
		Set("u8", uint8(200)).Set("i8", int8(-3)).Set("u16", uint16(60000)).Set("i16", int16(-300)).
		Set("u32", uint32(4e9)).Set("i32", int32(-7)).Set("u64", uint64(1<<62)).Set("i64", int64(-1<<40)).
		Set("f32", float32(0.5)).Set("f64", 0.25).Set("yes", true).Set("no", false).
		Set("template", strings.Repeat("x", 4200)).Set("tags", []string{"a", "bb", ""}).
		Set("tokens", make([]string, 300)).Set("scores", make([]bool, 5000)).
		Set("heads", []int32{8, 0, 8}).Set("pattern", []bool{true, false}).Set("lengths", []uint32{7, 8})
	f.Add("token_embd.weight", ggml.Q4_K, 256, 10).Add("norm", ggml.F32, 3).
		Add("cube", ggml.Q8_0, 32, 2, 5).Add("four", ggml.F16, 4, 3, 2, 2)
	return f
}

func parse(b []byte) (*gguf.Header, error) { return gguf.Parse(bytes.NewReader(b), int64(len(b))) }

func TestValues(t *testing.T) {
	for _, big := range []bool{false, true} {
		f := sample()
		f.BigEndian = big
		h, err := parse(f.Header())
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]int64{"u8": 200, "i8": -3, "u16": 60000, "i16": -300, "u32": 4e9, "i32": -7, "u64": 1 << 62, "i64": -1 << 40, "yes": 1, "no": 0} {
			if got, ok := h.KV[key].Int(); !ok || got != want {
				t.Errorf("%s = %d, want %d", key, got, want)
			}
		}
		if x, ok := h.KV["f32"].Float(); !ok || x != 0.5 {
			t.Errorf("f32 = %v", x)
		}
		if x, ok := h.KV["f64"].Float(); !ok || x != 0.25 {
			t.Errorf("f64 = %v", x)
		}
		if x, ok := h.KV["heads"].Ints(); !ok || !reflect.DeepEqual(x, []int64{8, 0, 8}) {
			t.Errorf("heads = %v", x)
		}
		if x, ok := h.KV["pattern"].Ints(); !ok || !reflect.DeepEqual(x, []int64{1, 0}) {
			t.Errorf("pattern = %v", x)
		}
		if x, ok := h.KV["tags"].Texts(); !ok || !reflect.DeepEqual(x, []string{"a", "bb", ""}) {
			t.Errorf("tags = %q", x)
		}
		for key, n := range map[string]int64{"template": 4200, "tokens": 300, "scores": 5000} {
			if v := h.KV[key]; v.Kept || v.Len != n {
				t.Errorf("%s: kept %v, length %d, want %d passed over", key, v.Kept, v.Len, n)
			}
		}
		if h.BigEndian != big || h.Version != 3 || h.Text("general.name") != "sample" {
			t.Errorf("big endian %v, version %d, name %q", h.BigEndian, h.Version, h.Text("general.name"))
		}
		// Block sizes of Q4_K 144/256, Q8_0 34/32, F16 2, F32 4.
		for name, want := range map[string]int64{"token_embd.weight": 1440, "norm": 12, "cube": 340, "four": 96} {
			if got := h.Tensor(name).Bytes; got != want {
				t.Errorf("%s takes %d bytes, want %d", name, got, want)
			}
		}
		if h.Tensor("absent") != nil {
			t.Error("a tensor that is not there was found")
		}
	}
}

func TestVersions(t *testing.T) {
	f := sample()
	f.Version = 2
	if h, err := parse(f.Header()); err != nil || h.Version != 2 {
		t.Errorf("version 2: %v", err)
	}
	for version, want := range map[uint32]string{1: "version 1", 4: "version 4", 0: "version 0"} {
		b := sample().Header()
		binary.LittleEndian.PutUint32(b[4:], version)
		wantMalformed(t, b, want)
	}
}

func wantMalformed(t *testing.T, b []byte, text string) {
	t.Helper()
	_, err := parse(b)
	e, ok := errors.AsType[*model.Error](err)
	if !ok || e.Code != model.MalformedFile || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want malformed_file with %q", err, text)
	}
}

func TestAlignment(t *testing.T) {
	f := sample()
	f.Alignment = 128
	f.Set("general.alignment", 128)
	b := f.Header()
	h, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if h.Alignment != 128 || h.HeaderBytes != int64(len(b)) || h.HeaderBytes%128 != 0 {
		t.Errorf("alignment %d, header %d, want 128 and %d", h.Alignment, h.HeaderBytes, len(b))
	}
	// The offsets are multiples of 32: not what the file claims.
	wantMalformed(t, sample().Set("general.alignment", 64).Header(), "instead of")
	wantMalformed(t, sample().Set("general.alignment", 48).Header(), "power of two")
}

// Every prefix of a header is either malformed, when the file ends there, or
// asks for more, when it goes on.
func TestTruncated(t *testing.T) {
	b := sample().Header()
	whole, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.Index(b, []byte("four")) + 4 + 4 + 32 + 12
	for n := range end {
		if _, err := parse(b[:n]); err == nil {
			t.Fatalf("%d bytes of %d were accepted", n, end)
		} else if e, ok := errors.AsType[*model.Error](err); !ok || e.Code != model.MalformedFile {
			t.Fatalf("%d bytes: %v", n, err)
		} else if n > 4 && !strings.Contains(e.Message, "offset") {
			t.Fatalf("%d bytes: the message names no offset: %v", n, err)
		}
		if n > 24 {
			_, err := gguf.NewDecoder(-1).Decode(b[:n])
			need, ok := errors.AsType[*gguf.NeedMore](err)
			if !ok || need.Offset+need.Bytes <= int64(n) {
				t.Fatalf("%d bytes: %v does not ask for more", n, err)
			}
		}
	}
	h, err := parse(b[:end])
	if err != nil {
		t.Fatal(err)
	}
	if h.MissingBytes == 0 || whole.MissingBytes == 0 {
		t.Error("tensor data that is not there was not missed")
	}
}

// countingReader fails when a byte is read twice.
type countingReader struct {
	t    *testing.T
	r    io.ReaderAt
	upTo int64
	n    int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	if off < c.upTo {
		c.t.Errorf("offset %d was read again", off)
	}
	n, err := c.r.ReadAt(p, off)
	c.upTo, c.n = off+int64(n), c.n+int64(n)
	return n, err
}

func TestReadsOnce(t *testing.T) {
	f := ggufgen.BigVocabulary()
	head := f.Header()
	c := &countingReader{t: t, r: bytes.NewReader(append(head, make([]byte, 1<<20)...))}
	h, err := gguf.Parse(c, int64(len(head))+f.DataBytes())
	if err != nil {
		t.Fatal(err)
	}
	if c.n > h.HeaderBytes+256<<10 {
		t.Errorf("%d bytes were read for a header of %d", c.n, h.HeaderBytes)
	}
	if v := h.KV["tokenizer.ggml.tokens"]; v.Len != 151936 || v.Elem != gguf.String {
		t.Errorf("%d tokens", v.Len)
	}
	if v := h.KV["tokenizer.ggml.merges"]; v.Len != 151387 {
		t.Errorf("%d merges", v.Len)
	}
	if len(h.Tensors) != 483 {
		t.Errorf("%d tensors", len(h.Tensors))
	}
}

// Windows of any size give the same header.
func TestWindows(t *testing.T) {
	b := sample().Header()
	want, err := gguf.NewDecoder(-1).Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []int{1, 7, 24, 100, 5000} {
		d := gguf.NewDecoder(int64(len(b)))
		length := step
		for {
			at := d.Offset()
			h, err := d.Decode(b[at:min(len(b), int(at)+length)])
			if err == nil {
				h.MissingBytes = want.MissingBytes
				if !reflect.DeepEqual(h, want) {
					t.Errorf("windows of %d bytes give another header", step)
				}
				break
			}
			need, ok := errors.AsType[*gguf.NeedMore](err)
			if !ok {
				t.Fatalf("windows of %d bytes: %v", step, err)
			}
			length = max(step, int(need.Bytes))
		}
	}
}

func TestHostile(t *testing.T) {
	le := binary.LittleEndian
	head := func(tensors, kvs uint64, rest ...byte) []byte {
		b := append([]byte("GGUF"), 3, 0, 0, 0)
		b = le.AppendUint64(le.AppendUint64(b, tensors), kvs)
		return append(b, rest...)
	}
	str := func(s string) []byte { return append(le.AppendUint64(nil, uint64(len(s))), s...) }
	kv := func(typ uint32, value ...byte) []byte { return append(le.AppendUint32(str("k"), typ), value...) }
	u64 := func(n uint64) []byte { return le.AppendUint64(nil, n) }
	arr := func(elem uint32, n uint64) []byte { return append(le.AppendUint32(nil, elem), u64(n)...) }
	pad := make([]byte, 256)
	tensor := func(f *ggufgen.File) []byte { return f.Set("general.architecture", "llama").Header() }
	for name, c := range map[string]struct {
		b    []byte
		text string
	}{
		"tensor count":           {head(1<<63, 0, pad...), "offset 8"},
		"metadata count":         {head(0, 1<<40, pad...), "offset 16"},
		"counts beyond the file": {head(1000, 1000, pad...), "offset 8"},
		"key length":             {head(0, 1, append(u64(1<<50), pad...)...), "offset 24"},
		"empty key":              {head(0, 1, append(u64(0), pad...)...), "offset 24"},
		"value type":             {head(0, 1, append(kv(77), pad...)...), "value type 77"},
		"string length":          {head(0, 1, append(kv(8, u64(1<<62)...), pad...)...), "offset 37"},
		"string beyond the file": {head(0, 1, append(kv(8, u64(1<<20)...), pad...)...), "offset 45"},
		"array length":           {head(0, 1, append(kv(9, arr(4, 1<<61)...), pad...)...), "offset 41"},
		"array beyond the file":  {head(0, 1, append(kv(9, arr(8, 1<<20)...), pad...)...), "offset 49"},
		"array of arrays":        {head(0, 1, append(kv(9, arr(9, 1)...), pad...)...), "array of elements"},
		"string in an array":     {head(0, 1, append(kv(9, append(arr(8, 300), u64(1<<60)...)...), make([]byte, 4096)...)...), "offset 49"},
		"key twice":              {head(0, 2, append(append(kv(7, 1), kv(7, 1)...), pad...)...), "twice"},
		"retired type":           {tensor((&ggufgen.File{}).Add("t", 31, 32)), "Q4_0_4_4"},
		"retired type 4":         {tensor((&ggufgen.File{}).Add("t", 4, 32)), "Q4_2"},
		"unknown type":           {tensor((&ggufgen.File{}).Add("t", 999, 32)), "id 999"},
		"part of a block":        {tensor((&ggufgen.File{}).Add("t", ggml.Q4_K, 100)), "block of 256"},
		"five dimensions":        {tensor((&ggufgen.File{}).Add("t", ggml.F32, 1, 1, 1, 1, 1)), "5 dimensions"},
		"no elements":            {tensor((&ggufgen.File{}).Add("t", ggml.F32, 0)), "impossible"},
		"elements overflow":      {tensor((&ggufgen.File{}).Add("t", ggml.F32, 1<<40, 1<<40)), "impossible"},
		"bytes overflow":         {tensor((&ggufgen.File{}).Add("t", ggml.F64, 1<<60)), "offset"},
		"data overflows":         {tensor((&ggufgen.File{}).Add("t", ggml.F64, 1<<55)), "overflows"},
		"tensor twice":           {tensor((&ggufgen.File{}).Add("t", ggml.F32, 8).Add("t", ggml.F32, 8)), "twice"},
	} {
		t.Run(name, func(t *testing.T) { wantMalformed(t, c.b, c.text) })
	}
}

// What is found in the place of a GGUF file is named.
func TestNotGGUF(t *testing.T) {
	safetensors := append(binary.LittleEndian.AppendUint64(nil, 40), `{"__metadata__":{"format":"pt"},"a":{}} `...)
	for name, c := range map[string]struct{ content, text string }{
		"empty":       {"", "empty"},
		"short":       {"GG", "not a GGUF file"},
		"safetensors": {string(safetensors), "safetensors"},
		"zip":         {"PK\x03\x04\x14\x00\x00\x00\x08\x00", "zip"},
		"html":        {"\n<!DOCTYPE html><html>", "HTML"},
		"lfs":         {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "LFS pointer"},
		"json":        {`{"model_type":"llama"}`, "JSON"},
		"old ggml":    {"tjgg\x03\x00\x00\x00", "GGJT"},
		"zeros":       {strings.Repeat("\x00", 64), "zeros"},
		"text":        {"hello, world", "not a GGUF file"},
	} {
		t.Run(name, func(t *testing.T) { wantMalformed(t, []byte(c.content), c.text) })
	}
	if err := gguf.Peek(sample().Header()[:64]); err != nil {
		t.Errorf("the beginning of a GGUF file: %v", err)
	}
	if err := gguf.Peek([]byte("<html>")); err == nil || err.Hint == "" {
		t.Errorf("an HTML page: %v", err)
	}
}

// A reader that fails is not a malformed file.
func TestReadError(t *testing.T) {
	_, err := gguf.Parse(failing{}, 100)
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want the reader's", err)
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }
