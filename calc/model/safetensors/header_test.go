package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"hwledger/calc/model"
)

// file returns a safetensors file with the given header text and data size.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func read(b []byte) (*Header, error) { return Read(bytes.NewReader(b), int64(len(b))) }

// The example of the format's own description.
func TestRead(t *testing.T) {
	h, err := read(file(`{"TEST":{"dtype":"F16","shape":[1,16,256],"data_offsets":[0,8192]},"__metadata__":{"format":"pt"},"é\"":{"shape":[],"data_offsets":[8192,8196],"dtype":"F32"}}   `, 8196))
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Tensors) != 2 || h.Metadata["format"] != "pt" {
		t.Fatalf("got %+v", h)
	}
	if x := h.Tensors[0]; x.Name != "TEST" || x.Bytes() != 8192 || x.Elems() != 4096 || len(x.Shape) != 3 || x.Shape[2] != 256 {
		t.Errorf("got %+v", x)
	}
	if x := h.Tensors[1]; x.Name != "é\"" || x.Bytes() != 4 || x.Elems() != 1 {
		t.Errorf("got %+v", x)
	}
}

// Sizes of one element in bits, from the format's list of types.
func TestTypes(t *testing.T) {
	for dtype, bits := range map[string]int{
		"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U8": 8, "U16": 16, "U32": 32, "U64": 64, "BOOL": 8,
		"F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "C64": 64,
	} {
		n := 16 * bits / 8
		if _, err := read(file(fmt.Sprintf(`{"a":{"dtype":%q,"shape":[4,4],"data_offsets":[0,%d]}}`, dtype, n), n)); err != nil {
			t.Errorf("%s: %v", dtype, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	const ok = `{"dtype":"U8","shape":[4],"data_offsets":[0,4]}`
	for name, b := range map[string][]byte{
		"empty":              nil,
		"short length":       {1, 2, 3},
		"length beyond file": file(`{}`, 0)[:9],
		"huge length":        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, '{', '}'},
		"not an object":      file(`[]`, 0),
		"leading space":      file(` {}`, 0),
		"text after":         file(`{} x`, 0),
		"no end":             file(`{"a":`+ok, 4),
		"no colon":           file(`{"a" `+ok+`}`, 4),
		"unknown type":       file(`{"a":{"dtype":"F5","shape":[4],"data_offsets":[0,4]}}`, 4),
		"negative":           file(`{"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}`, 4),
		"fraction":           file(`{"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}`, 4),
		"shape overflows":    file(`{"a":{"dtype":"F64","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0]}}`, 0),
		"size does not fit":  file(`{"a":{"dtype":"F16","shape":[4],"data_offsets":[0,4]}}`, 4),
		"half a byte":        file(`{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}`, 1),
		"ends before begin":  file(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[4,0]}}`, 4),
		"gap at start":       file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, 8),
		"gap":                file(`{"a":`+ok+`,"b":{"dtype":"U8","shape":[4],"data_offsets":[8,12]}}`, 12),
		"overlap":            file(`{"a":`+ok+`,"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}`, 6),
		"twice":              file(`{"a":`+ok+`,"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, 8),
		"data cut":           file(`{"a":`+ok+`}`, 3),
		"data left over":     file(`{"a":`+ok+`}`, 5),
		"three offsets":      file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,8]}}`, 4),
		"one offset":         file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0]}}`, 4),
		"no shape":           file(`{"a":{"dtype":"U8","data_offsets":[0,4]}}`, 4),
		"member twice":       file(`{"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}`, 4),
		"strange member":     file(`{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1}}`, 4),
		"bad escape":         file(`{"\q":`+ok+`}`, 4),
		"open string":        file(`{"a`, 0),
		"many dimensions":    file(`{"a":{"dtype":"U8","shape":[`+strings.Repeat("1,", 99)+`4],"data_offsets":[0,4]}}`, 4),
	} {
		_, err := read(b)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != model.MalformedFile || !strings.HasPrefix(e.Message, "at byte ") {
			t.Errorf("%s: got %v, want malformed_file with an offset", name, err)
		}
	}
}

func TestIndex(t *testing.T) {
	x, err := ParseIndex([]byte(`{"metadata":{"total_size":16060522496},"weight_map":{"lm_head.weight":"model-00004-of-00004.safetensors","a":"model-00001-of-00004.safetensors","b":"model-00001-of-00004.safetensors"}}`))
	if err != nil || x.TotalSize != 16060522496 || len(x.Files) != 2 || x.Tensors != 3 {
		t.Errorf("got %+v, %v", x, err)
	}
	for _, s := range []string{``, `[]`, `{}`, `{"weight_map":{"a":"../x.safetensors"}}`, `{"weight_map":{"a":"/x.safetensors"}}`, `{"weight_map":{"a":"x.bin"}}`, `{"weight_map":{"a":"C:x.safetensors"}}`} {
		if _, err := ParseIndex([]byte(s)); err == nil {
			t.Errorf("%s was accepted", s)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(`{"TEST":{"dtype":"F16","shape":[1,16,2],"data_offsets":[0,64]},"__metadata__":{"format":"pt"}} `, 64))
	f.Add(file(`{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]},"b\u0041":{"dtype":"U8","shape":[],"data_offsets":[1,2]}}`, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := read(b)
		if err != nil {
			var e *model.Error
			if !errors.As(err, &e) {
				t.Fatalf("not a *model.Error: %v", err)
			}
			return
		}
		var sum int64
		for i := range h.Tensors {
			sum += h.Tensors[i].Bytes()
		}
		if sum != int64(len(b))-h.DataStart {
			t.Errorf("tensors take %d of %d bytes", sum, int64(len(b))-h.DataStart)
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":1},"weight_map":{"a":"m.safetensors"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := ParseIndex(b); err == nil && len(x.Files) == 0 {
			t.Error("an index without files")
		}
	})
}

// BenchmarkRead reads a header of 91,000 tensors, as many as DeepSeek-V3 has.
func BenchmarkRead(b *testing.B) {
	var s strings.Builder
	s.WriteString("{")
	for i := range 91_000 {
		if i > 0 {
			s.WriteString(",")
		}
		fmt.Fprintf(&s, `"model.layers.%d.mlp.experts.%d.gate_proj.weight":{"dtype":"U8","shape":[4,4],"data_offsets":[%d,%d]}`, i/1536, i%1536, i*16, i*16+16)
	}
	s.WriteString("}")
	raw := file(s.String(), 91_000*16)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := read(raw); err != nil {
			b.Fatal(err)
		}
	}
}
