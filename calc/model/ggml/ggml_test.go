package ggml

import (
	"math"
	"testing"
)

// The bits per weight are those that llama-quantize and the gguf specification
// print for each type.
func TestBitsPerWeight(t *testing.T) {
	for name, bpw := range map[string]float64{
		"F32": 32, "F16": 16, "BF16": 16, "F64": 64, "I8": 8, "I16": 16, "I32": 32, "I64": 64,
		"Q4_0": 4.5, "Q4_1": 5, "Q5_0": 5.5, "Q5_1": 6, "Q8_0": 8.5, "Q8_1": 9,
		"Q2_K": 2.625, "Q3_K": 3.4375, "Q4_K": 4.5, "Q5_K": 5.5, "Q6_K": 6.5625, "Q8_K": 9.125,
		"IQ1_S": 1.5625, "IQ1_M": 1.75, "IQ2_XXS": 2.0625, "IQ2_XS": 2.3125, "IQ2_S": 2.5625,
		"IQ3_XXS": 3.0625, "IQ3_S": 3.4375, "IQ4_NL": 4.5, "IQ4_XS": 4.25,
		"TQ1_0": 1.6875, "TQ2_0": 2.0625, "MXFP4": 4.25, "NVFP4": 4.5, "Q1_0": 1.125, "Q2_0": 2.25,
	} {
		typ, ok := ByName(name)
		if !ok {
			t.Errorf("%s is not known", name)
			continue
		}
		b, err := typ.RowBytes(256)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := float64(b) * 8 / 256; got != bpw {
			t.Errorf("%s: %v bits per weight, want %v", name, got, bpw)
		}
		if typ.String() != name {
			t.Errorf("%s prints %s", name, typ)
		}
	}
}

func TestIDs(t *testing.T) {
	for id, name := range map[Type]string{
		0: "F32", 8: "Q8_0", 12: "Q4_K", 20: "IQ4_NL", 23: "IQ4_XS", 30: "BF16",
		34: "TQ1_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0", 42: "Q2_0", 36: "IQ4_NL_4_4",
	} {
		if id.String() != name {
			t.Errorf("id %d is %s, want %s", uint32(id), id, name)
		}
	}
	for _, id := range []Type{4, 5, 31, 32, 33, 36, 37, 38} {
		if !id.Retired() || id.Known() {
			t.Errorf("id %d is not retired", uint32(id))
		}
		if _, err := id.RowBytes(256); err == nil {
			t.Errorf("id %d has a size", uint32(id))
		}
	}
}

func TestRefusals(t *testing.T) {
	if _, err := Type(999).RowBytes(32); err == nil {
		t.Error("unknown id accepted")
	}
	if _, err := Q4_K.RowBytes(2880); err == nil {
		t.Error("2880 is no multiple of 256")
	}
	if _, err := F32.RowBytes(-1); err == nil {
		t.Error("negative row accepted")
	}
	if _, err := TensorBytes(F32, math.MaxInt64/4, 1<<40); err == nil {
		t.Error("overflow accepted")
	}
	if _, ok := ByName("Q4_0_4_4"); ok {
		t.Error("retired name found")
	}
}
