package quant

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"hwledger/calc/model"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, canonical string
		bits            float64 // MATH §5, 0 to skip
	}{
		{"bf16", "bf16", 16}, {"BFLOAT16", "bf16", 16}, {"float16", "fp16", 16}, {"fp32", "fp32", 32},
		{"fp8", "fp8", 8}, {"FP8_dynamic", "fp8", 8}, {"fp8-channel", "fp8", 8}, {"fp8-tensor", "fp8-tensor", 8}, {"fp8_block", "fp8-block", 8.00195},
		{"int8", "int8", 8}, {"W8A8", "int8", 8},
		{"awq", "awq", 4.156}, {"gptq", "gptq", 4.156}, {"gptq-4bit-g64", "gptq-g64", 0}, {"gptq-g64-4bit", "gptq-g64", 0}, {"GPTQ-Int8", "gptq-8bit", 0}, {"gptq-8bit-gs32", "gptq-8bit-g32", 0},
		{"w4a16", "w4a16", 4.125}, {"w4a16-g32", "w4a16-g32", 4.5}, {"hqq", "hqq", 4.5},
		{"nf4", "nf4", 4.5}, {"nf4-dq", "nf4-dq", 4.127}, {"bnb_nf4", "nf4", 4.5}, {"bnb-int8", "bnb-int8", 0}, {"llm.int8", "bnb-int8", 0},
		{"mxfp4", "mxfp4", 4.25}, {"NVFP4", "nvfp4", 4.5}, {"mxfp8", "mxfp8", 8.25},
		{"exl2", "exl2-4bpw", 4}, {"exl2-4.25bpw", "exl2-4.25bpw", 4.25}, {"exl3-3.5bpw-h8", "exl3-3.5bpw-h8", 3.5}, {"EXL3-3.5", "exl3-3.5bpw", 3.5},
		{"mlx-4bit", "mlx-4bit", 4.5}, {"MLX-8bit", "mlx-8bit", 8.5}, {"mlx-6bit", "mlx-6bit", 6.5}, {"mlx-3bit", "mlx-3bit", 3.5}, {"mlx-2bit", "mlx-2bit", 2.5}, {"mlx-5bit", "mlx-5bit", 5.5},
		{"mlx-4bit-g32", "mlx-4bit-g32", 5}, {"mlx-4bit-g128", "mlx-4bit-g128", 4.25}, {"mlx-mxfp4", "mlx-mxfp4", 4.25},
		{"q4_k_m", "Q4_K_M", 0}, {"Q4-K-M", "Q4_K_M", 0}, {"iq2_xxs", "IQ2_XXS", 0}, {"Q4_K", "Q4_K_M", 0}, {"F16", "F16", 16}, {"gguf-bf16", "BF16", 16},
		{"mxfp4_moe", "MXFP4_MOE", 0}, {"Q4_K_L", "Q4_K_L", 0}, {"IQ4_XS-imatrix", "IQ4_XS-imatrix", 0}, {"pure-q4_k", "pure-Q4_K", 4.5}, {"TQ1_0", "TQ1_0", 0}, {"Q2_0", "pure-Q2_0", 2.25},
	} {
		s, err := Parse(c.name)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if s.Name() != c.canonical {
			t.Errorf("%s is %s, want %s", c.name, s.Name(), c.canonical)
		}
		if c.bits > 0 && math.Abs(s.Bits()-c.bits) > 0.0006 {
			t.Errorf("%s has %.4f bits, want %.3f", c.name, s.Bits(), c.bits)
		}
		again, err := Parse(s.Name())
		if gguf := s.Name() == "BF16"; !gguf && (err != nil || again.Name() != s.Name()) {
			t.Errorf("the canonical name %s does not parse to itself: %v", s.Name(), err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ name, candidate, hint string }{
		{"Q4_K_X", "Q4_K_M", "candidates"}, {"4bit", "mlx-4bit", ""}, {"fp9", "fp8", ""}, {"mlx-7bit", "mlx-6bit", ""}, {"gptq-1bit", "gptq", ""},
		{"UD-Q4_K_XL", "Q4_K_M", "header"}, {"Q8_K", "Q8_0", ""}, {"awq-g-1", "awq", ""}, {"exl2-99bpw", "exl2-6bpw", ""}, {"", "", ""}, {strings.Repeat("x", 5000), "", ""},
	} {
		_, err := Parse(c.name)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != model.InvalidArgument || e.Field != "weights" {
			t.Errorf("%.20q: %v", c.name, err)
			continue
		}
		if c.candidate != "" && !slices.Contains(e.Candidates, c.candidate) {
			t.Errorf("%q: candidates %v lack %s", c.name, e.Candidates, c.candidate)
		}
		if !strings.Contains(e.Hint, c.hint) || len(e.Message) > 200 {
			t.Errorf("%.20q: message %q, hint %q", c.name, e.Message, e.Hint)
		}
	}
}

func TestNamesAndOrderParse(t *testing.T) {
	for _, n := range Names() {
		if _, err := Parse(n); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
	for _, n := range CacheNames() {
		if _, err := ParseCache(n); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
	ranks := Order()
	if len(ranks) != len(order) {
		t.Errorf("%d of %d schemes of the order parse", len(ranks), len(order))
	}
	last := map[string]float64{}
	for _, r := range ranks {
		if p, ok := last[r.Kind]; ok && r.Bits > p+0.5 {
			t.Errorf("%s has %.2f bits after %.2f", r.Name, r.Bits, p)
		}
		last[r.Kind] = r.Bits
	}
}

// Whatever is asked for, parsing answers with a scheme or an error that names
// candidates, and every scheme assigns a size to a small model.
func FuzzParse(f *testing.F) {
	for _, n := range Names() {
		f.Add(n)
	}
	f.Add("gptq-4bit-g64-")
	f.Add("mlx-bit")
	m := &model.Model{Tensors: []model.Tensor{
		model.Matrix("token_embd.weight", 320, 64).As(model.Embedding), model.Matrix("ffn_up.weight", 100, 33), model.Vec("output_norm.weight", model.Norm, 64)}}
	f.Fuzz(func(t *testing.T, name string) {
		if _, err := ParseCache(name); err != nil && len(err.Error()) > 400 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		s, err := Parse(name)
		if err != nil {
			return
		}
		stored, err := s.Assign(m)
		if err == nil && (len(stored) != 3 || Sum(stored) <= 0) {
			t.Errorf("%s: %v", s.Name(), stored)
		}
	})
}
