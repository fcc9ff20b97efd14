package quant

import (
	"errors"
	"testing"

	"hwledger/calc/model"
)

// Published sizes of one head vector of 128 elements: vLLM's, SGLang's, MLX's
// and llama.cpp's formats.
func TestCacheBytesOfAHead(t *testing.T) {
	for _, c := range []struct {
		name string
		want int64
	}{
		{"bf16", 256}, {"fp16", 256}, {"float16", 256}, {"f32", 512},
		{"fp8", 128}, {"fp8_e4m3", 128}, {"FP8_E5M2", 128},
		{"int8_per_token_head", 132}, {"fp8_per_token_head", 132}, {"int4_per_token_head", 68},
		{"nvfp4", 72}, {"fp4_e2m1", 72}, {"mxfp8", 132},
		{"q8_0", 136}, {"q5_1", 96}, {"q5_0", 88}, {"Q4_1", 80}, {"q4_0", 72}, {"iq4_nl", 72},
		{"mlx-8bit", 136}, {"mlx-4bit", 72}, {"mlx-4bit-g64", 72}, {"mlx-4bit-g32", 80},
	} {
		got, err := ParseCache(c.name)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if b := got.Bytes(128, 1); b != c.want {
			t.Errorf("%s: %d bytes, want %d", c.name, b, c.want)
		}
		if b := got.Bytes(8*128, 8); b != 8*c.want {
			t.Errorf("%s: 8 heads are %d bytes, want %d", c.name, b, 8*c.want)
		}
		if got.Slot(128, 128, 8) != 16*c.want {
			t.Errorf("%s: slot of 8 heads is %d bytes", c.name, got.Slot(128, 128, 8))
		}
	}
}

func TestTurboQuantSlots(t *testing.T) {
	for _, c := range []struct {
		name string
		want int64
	}{
		{"turboquant_k8v4", 196}, {"turboquant_4bit_nc", 134}, {"turboquant_k3v4_nc", 118}, {"turboquant_3bit_nc", 102},
	} {
		got, err := ParseCache(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if b := got.Slot(128, 128, 1); b != c.want {
			t.Errorf("%s: slot is %d bytes, want %d", c.name, b, c.want)
		}
		if b := got.Bytes(128, 1) + got.Value().Bytes(128, 1); b != c.want {
			t.Errorf("%s: key and value are %d bytes, want %d", c.name, b, c.want)
		}
	}
}

// One llama.cpp row holds all heads of a token, so 2 heads of 80 fill 5 blocks
// of 32 although one head does not fill whole blocks.
func TestCacheCheck(t *testing.T) {
	for _, c := range []struct {
		name         string
		elems, heads int64
		ok           bool
	}{
		{"q8_0", 160, 2, true}, {"q8_0", 80, 1, false}, {"nvfp4", 160, 2, true}, {"mxfp8", 160, 2, false}, {"bf16", 7, 1, true},
	} {
		ct, err := ParseCache(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if err := ct.Check(c.elems, c.heads); (err == nil) != c.ok {
			t.Errorf("%s %d/%d: %v", c.name, c.elems, c.heads, err)
		}
	}
}

func TestUnknownCacheTypeNamesItsNeighbours(t *testing.T) {
	for name, want := range map[string]string{"q8": "q8_0", "fp8_e4": "fp8", "mlx-9bit": "mlx-6bit", "": "bf16"} {
		_, err := ParseCache(name)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != model.InvalidArgument || len(e.Candidates) == 0 {
			t.Fatalf("%q: %v", name, err)
		}
		found := false
		for _, c := range e.Candidates {
			found = found || c == want
		}
		if !found && name != "" {
			t.Errorf("%q: candidates %v lack %q", name, e.Candidates, want)
		}
	}
}
