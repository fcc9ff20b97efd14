package quant

import (
	"errors"
	"slices"
	"testing"

	"hwledger/calc/model"
)

// Patterns as published checkpoints write them, and the tensors of layer 3
// that they keep in the model's own dtype.
func TestExclusionPatterns(t *testing.T) {
	tensors := []model.Tensor{
		model.Matrix("output.weight", 8, 8).As(model.Head),
		model.Matrix("attn_q.weight", 8, 8), model.Matrix("attn_output.weight", 8, 8),
		model.Matrix("ffn_gate.weight", 8, 8), model.Matrix("ffn_gate_inp.weight", 8, 8).As(model.Router),
		model.Matrix("ffn_up_exps.weight", 8, 8).Stack(4, 2), model.Matrix("ffn_up_shexp.weight", 8, 8).As(model.SharedExpert),
	}
	tensors[0].Layer = -1
	for i := 1; i < len(tensors); i++ {
		tensors[i].Layer = 3
	}
	m := &model.Model{Layers: make([]model.Layer, 61)}
	for _, c := range []struct {
		pattern string
		want    []string
	}{
		{"lm_head", []string{"output.weight"}},
		{"head", []string{"output.weight"}},
		{"language_model.lm_head", []string{"output.weight"}},
		{"model.layers.3.self_attn.q_proj", []string{"attn_q.weight"}},
		{"model.layers.30.self_attn.q_proj", nil},
		{"model.layers.*.self_attn", []string{"attn_q.weight", "attn_output.weight"}},
		{"model.layers.*.mlp.router", []string{"ffn_gate_inp.weight"}},
		{"language_model.model.layers.3.self_attn*", []string{"attn_q.weight", "attn_output.weight"}},
		{"model.layers.3*", []string{"attn_q.weight", "attn_output.weight", "ffn_gate.weight", "ffn_gate_inp.weight", "ffn_up_exps.weight", "ffn_up_shexp.weight"}},
		{"model.layers.3.mlp.shared_experts*", []string{"ffn_up_shexp.weight"}},
		{"*.mlp.shared_expert.*", []string{"ffn_up_shexp.weight"}},
		{"gate", []string{"ffn_gate_inp.weight"}},
		{"re:.*self_attn.*", []string{"attn_q.weight", "attn_output.weight"}},
		{"re:.*shared_experts.*", []string{"ffn_up_shexp.weight"}},
		{`re:.*mlp\.(gate|up|gate_up|down)_proj.*`, []string{"ffn_gate.weight"}},
		{`re:^(?!.*expert).*$`, []string{"output.weight", "attn_q.weight", "attn_output.weight", "ffn_gate.weight", "ffn_gate_inp.weight"}},
		{"vision_tower", nil},
		{"", nil},
	} {
		r, err := newRules(&model.Quantization{Exclude: []string{c.pattern}})
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		var got []string
		for i := range tensors {
			if r.excludes(m, &tensors[i]) {
				got = append(got, tensors[i].Name)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s keeps %v, want %v", c.pattern, got, c.want)
		}
	}
}

// Gemma 4 has its experts beside a dense network; leaving the network alone
// leaves the experts quantized.
func TestGemma4ExpertsAreNotInItsMLP(t *testing.T) {
	r, err := newRules(&model.Quantization{Exclude: []string{"model.language_model.layers.0.mlp*", "model.language_model.layers.0.router*"}})
	if err != nil {
		t.Fatal(err)
	}
	m := &model.Model{Type: "gemma4", Layers: make([]model.Layer, 1)}
	dense, expert := model.Matrix("ffn_up.weight", 8, 8), model.Matrix("ffn_up_exps.weight", 8, 8).Stack(4, 2)
	if !r.excludes(m, &dense) || r.excludes(m, &expert) {
		t.Errorf("dense kept: %v, experts kept: %v", r.excludes(m, &dense), r.excludes(m, &expert))
	}
}

func TestUnreadablePatternIsNamed(t *testing.T) {
	_, err := fromQuantization(&model.Quantization{Method: "fp8", Exclude: []string{`re:(?<=x)y`}})
	var e *model.Error
	if !errors.As(err, &e) || e.Hint == "" {
		t.Fatalf("%v", err)
	}
}

// An MLX checkpoint's own description: 8 bits for the named modules, and one
// left alone.
func TestMLXOverrides(t *testing.T) {
	m := &model.Model{DType: "BF16", Layers: make([]model.Layer, 1), Tensors: []model.Tensor{
		model.Matrix("token_embd.weight", 100, 64).As(model.Embedding), model.Matrix("attn_q.weight", 64, 64), model.Matrix("ffn_up_exps.weight", 32, 64).Stack(4, 2), model.Matrix("attn_k.weight", 64, 64)},
		Quant: &model.Quantization{Method: "mlx", Bits: 4, GroupSize: 64, Exclude: []string{"model.layers.0.self_attn.k_proj"},
			Overrides: map[string]model.Override{"model.embed_tokens": {Mode: "affine", Bits: 8, GroupSize: 64}, "model.layers.0.mlp.switch_mlp.up_proj": {Mode: "affine", Bits: 6, GroupSize: 64}}}}
	m.Tensors[0].Layer = -1
	s, err := AsStored(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Assign(m)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{100 * (64 + 4), 64 * (32 + 4), 128 * (48 + 4), 64 * 64 * 2} {
		if got[i].Bytes != want {
			t.Errorf("%s: %d bytes, want %d", m.Tensors[i].Name, got[i].Bytes, want)
		}
	}
}

// Nothing overflows or panics on shapes that no model has.
func TestHostileShapes(t *testing.T) {
	for _, x := range []model.Tensor{
		{Name: "attn_q.weight", Out: 1 << 40, In: 1 << 40, Count: 1},
		{Name: "attn_q.weight", Out: -1, In: 5, Count: 1},
		{Name: "ffn_up_exps.weight", Out: 1 << 30, In: 1 << 20, Count: 1 << 30},
	} {
		m := &model.Model{Tensors: []model.Tensor{x}}
		for _, n := range []string{"bf16", "fp8", "gptq", "mlx-4bit", "Q4_K_M"} {
			s, err := Parse(n)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Assign(m); err == nil {
				t.Errorf("%s of %v: %v", n, x, got)
			}
		}
	}
}

// TestRequired: texts that regular expressions of published configurations
// cannot match without, none where alternatives leave it open, and whether a
// longer path decides for the shorter ones.
func TestRequired(t *testing.T) {
	for _, c := range []struct {
		expr     string
		must     []string
		anywhere bool
	}{
		{`.*self_attn.*`, []string{"self_attn"}, true},
		{`.*lm_head`, []string{"lm_head"}, true},
		{`model\.layers\.(0|1)\.`, []string{"model.layers.", "."}, false},
		{`(?i).*router.*`, nil, true},
		{`.*(gate|router).*`, nil, true},
		{`.*mlp\.(gate|up)_proj.*`, []string{"mlp.", "_proj"}, true},
		{`(visual|vision_tower)\..*`, []string{".", "vis"}, false},
		{`.*^lm_head`, []string{"lm_head"}, false},
		{`.*\bmodel\.layers`, []string{"model.layers"}, false},
		{`.*(x|\blayers)`, nil, false},
	} {
		must, anywhere := required(c.expr)
		if !slices.Equal(must, c.must) || anywhere != c.anywhere {
			t.Errorf("%s requires %q, anywhere %v; want %q, %v", c.expr, must, anywhere, c.must, c.anywhere)
		}
	}
}

// A pattern that matches one of a module's three paths matches the module.
func TestExpressionsOfEveryPath(t *testing.T) {
	m := &model.Model{Layers: make([]model.Layer, 4)}
	q := model.Matrix("attn_q.weight", 8, 8)
	q.Layer = 3
	for pattern, want := range map[string]bool{
		`re:layers\.3\.self_attn`: true, `re:model\.layers\.3`: true, `re:model\.language_model\.layers`: true, `re:language_model`: false,
		`re:.*^layers`: true, `re:.*\bmodel\.layers`: true, `re:.*language_model\.layers\.3\.`: true, `re:^.*q_proj$`: true, `re:.*q_proj$`: true, `re:.*q_pro$`: false,
	} {
		r, err := newRules(&model.Quantization{Exclude: []string{pattern}})
		if err != nil || r.excludes(m, &q) != want {
			t.Errorf("%s: %v, want %v", pattern, err, want)
		}
	}
}
