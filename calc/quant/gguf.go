package quant

import (
	"slices"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
)

// ggufScheme is a GGUF file type: it decides for each tensor by name, index
// and shape, as llama-quantize does (rules in gguf_mixes.go).
type ggufScheme struct {
	*mix
	name    string
	imatrix bool
	// pure: every matrix in the base type.
	pure bool
	// edge overrides the embedding's and the output's type, none for the mix's.
	edge ggml.Type
}

// Name returns the file type's name ("Q4_K_M").
func (s *ggufScheme) Name() string { return s.name }

// Bits returns what a whole model of 8 billion parameters takes on average.
func (s *ggufScheme) Bits() float64 { return s.bits }

// Assign returns the GGUF type and bytes of each tensor. Towers are counted as
// the separate projector file that the converter writes, in F16.
func (s *ggufScheme) Assign(m *model.Model) ([]Stored, error) {
	if err := checkShapes(m); err != nil {
		return nil, err
	}
	v := newVisit(s, m)
	out := make([]Stored, len(m.Tensors))
	for _, i := range v.order {
		t := &m.Tensors[i]
		if mla := v.splitKVB(t); mla != nil {
			k := *t
			k.Name, k.In, k.Out, k.Count = "attn_k_b.weight", mla.NopeDim, mla.KVLoRARank, mla.Heads
			val := *t
			val.Name, val.In, val.Out, val.Count = "attn_v_b.weight", mla.KVLoRARank, mla.ValDim, mla.Heads
			a, err := v.store(&k)
			if err != nil {
				return nil, err
			}
			b, err := v.store(&val)
			if err != nil {
				return nil, err
			}
			out[i] = Stored{Type: b.Type, Bytes: a.Bytes + b.Bytes, Quantized: b.Quantized, Halves: &[2]Stored{a, b}}
			continue
		}
		st, err := v.store(t)
		if err != nil {
			return nil, err
		}
		out[i] = st
	}
	return out, nil
}

// visit is one pass over a model: the quantizer's state.
type visit struct {
	s     *ggufScheme
	m     *model.Model
	order []int
	at
	layers                int // n of the feed-forward kinds
	head                  bool
	seventy               bool
	iv, idown, igate, iup int
	nv                    int
	// touched is quantizedName by name: the same few return in every layer.
	touched map[string]bool
}

func newVisit(s *ggufScheme, m *model.Model) *visit {
	v := &visit{s: s, m: m, layers: len(m.Layers), touched: map[string]bool{}}
	mtp := m.Format == model.FormatGGUF || m.Arch == "glm4moe" // files with MTP layers count them
	if mtp {
		v.layers += len(m.MTPLayers)
	}
	v.imatrix, v.falcon = s.imatrix, m.Arch == "falcon"
	for i := range m.Layers {
		v.experts = max(v.experts, m.Layers[i].FFN.Experts)
	}
	heads, kv := groupedHeads(m)
	if kv > 0 {
		v.gqa = heads / kv
	}
	v.seventy = len(m.Layers) == 80 && heads != kv && (m.Arch == "llama" || m.Arch == "qwen2")
	v.order = make([]int, len(m.Tensors))
	for i := range m.Tensors {
		v.order[i] = i
		t := &m.Tensors[i]
		if kindOf(t.Name) == kindValue && inFile(t) && (mtp || t.Group != model.MTP) && v.splitKVB(t) == nil {
			v.nv++
		}
		v.head = v.head || t.Name == "output.weight" && t.Group == model.Text
	}
	slices.SortFunc(v.order, func(a, b int) int {
		x, y := &m.Tensors[a], &m.Tensors[b]
		if x.Layer != y.Layer {
			return x.Layer - y.Layer
		}
		if c := strings.Compare(x.Name, y.Name); c != 0 {
			return c
		}
		return a - b // equal ones stay in order
	})
	return v
}

// groupedHeads returns the head counts that llama.cpp takes its ratio from:
// those of the first layer, where the key/value count is 0 in files that list
// one count for each layer and begin with a recurrent one.
func groupedHeads(m *model.Model) (heads, kv int64) {
	for i := range m.Layers {
		oneCount := false // the file has one count for all layers
		for _, x := range m.Layers[i].Mixers {
			switch x := x.(type) {
			case *model.Attention:
				return x.Heads, x.KVHeads
			case *model.MLA:
				if hasLegacyKVB(m) {
					return x.Heads, x.Heads
				}
				return x.Heads, 1
			case *model.GatedDelta:
				oneCount = true
			}
		}
		if !oneCount {
			break
		}
	}
	return 0, 0
}

// hasLegacyKVB reports whether m is a GGUF of before absorbed attention.
func hasLegacyKVB(m *model.Model) bool {
	return m.Format == model.FormatGGUF && slices.ContainsFunc(m.Tensors, func(t model.Tensor) bool { return t.Name == "attn_kv_b.weight" })
}

// splitKVB returns the attention of a kv_b matrix that the converter writes as
// two, nil for any other tensor.
func (v *visit) splitKVB(t *model.Tensor) *model.MLA {
	if t.Name != "attn_kv_b.weight" || v.m.Format == model.FormatGGUF || t.Layer < 0 {
		return nil
	}
	layer := &model.Layer{}
	if n := t.Layer - len(v.m.Layers); n < 0 {
		layer = &v.m.Layers[t.Layer]
	} else if n < len(v.m.MTPLayers) {
		layer = &v.m.MTPLayers[n]
	}
	for _, x := range layer.Mixers {
		if mla, ok := x.(*model.MLA); ok && mla.Heads*(mla.NopeDim+mla.ValDim) == t.Out && mla.KVLoRARank == t.In {
			return mla
		}
	}
	return nil
}

// store returns how t is stored and counts it.
func (v *visit) store(t *model.Tensor) (Stored, error) {
	var typ ggml.Type
	quantized := false
	if v.quantizes(t) {
		typ = fallback(v.choose(t), t.In)
		quantized = !isPlain(typ)
	} else {
		typ = v.kept(t)
	}
	row, err := typ.RowBytes(t.In)
	if err != nil {
		return Stored{}, &model.Error{Code: model.InvalidArgument, Field: "weights", Message: t.Name + " cannot be stored as " + typ.String(), Err: err}
	}
	return Stored{Type: typ.String(), Bytes: row * t.Out * t.Count, Quantized: quantized}, nil
}

// isPlain reports whether t is a floating-point type without blocks.
func isPlain(t ggml.Type) bool { return t == ggml.F32 || t == ggml.F16 || t == ggml.BF16 }

// inFile reports whether the tensor is in the language model's file.
func inFile(t *model.Tensor) bool { return t.Group != model.Vision && t.Group != model.Audio }

// quantizes reports whether the quantizer touches t: matrices, in the language
// model's file, whose name it does not leave out.
func (v *visit) quantizes(t *model.Tensor) bool {
	if !inFile(t) || t.Out*t.Count < 2 {
		return false
	}
	yes, known := v.touched[t.Name]
	if !known {
		yes = quantizedName(t.Name)
		v.touched[t.Name] = yes
	}
	return yes
}

// quantizedName reports whether the quantizer touches a matrix of that name:
// weights, except small ones that lose too much.
func quantizedName(n string) bool {
	if !strings.HasSuffix(n, "weight") || strings.HasSuffix(n, "_norm.weight") || smallTimeMix(n) {
		return false
	}
	for _, s := range [...]string{"ffn_gate_inp.weight", "ssm_conv1d", "shortconv.conv.weight", "altup", "laurel", "per_layer_model_proj", "position_embd", "token_types", "time_mix_first.weight", "attn_rel_b.weight"} {
		if strings.Contains(n, s) {
			return false
		}
	}
	return true
}

// kept is the type of what is not quantized: the file's own, or what the
// converter writes.
func (v *visit) kept(t *model.Tensor) ggml.Type {
	if v.m.Format == model.FormatGGUF && typeBytes(t.Type) >= 2 {
		if typ, ok := ggml.ByName(t.Type); ok {
			return typ
		}
	}
	switch {
	case t.Out*t.Count < 2, t.Part == model.Norm, t.Part == model.Bias, t.Part == model.Router, t.Part == model.Vector, t.Part == model.Conv,
		!strings.HasSuffix(t.Name, ".weight"), smallTimeMix(t.Name):
		return ggml.F32
	}
	return ggml.F16
}

// choose returns the type of a quantized tensor before the width is looked at.
func (v *visit) choose(t *model.Tensor) ggml.Type {
	s := v.s
	if isPlain(s.base) || s.pure {
		return s.base
	}
	embed := t.Name == "token_embd.weight" && t.Group == model.Text
	head := t.Name == "output.weight" || embed && !v.head
	if (head || embed) && s.edge != none {
		return s.edge
	}
	switch {
	case head:
		return v.headType(t)
	case s.mix.name == "MXFP4_MOE":
		return when(stacked(t), ggml.MXFP4, ggml.Q8_0)
	case embed || t.Name == "per_layer_token_embd.weight":
		return when(s.embed != 0, s.embed, s.base)
	}
	if typ := v.byKind(t); typ != none {
		return typ
	}
	return s.base
}

// stacked reports whether the file has t in three dimensions: experts, and the
// per-head halves of MLA's kv_b.
func stacked(t *model.Tensor) bool {
	return t.Count > 1 || t.Name == "attn_k_b.weight" || t.Name == "attn_v_b.weight"
}

// headType is the output projection's type.
func (v *visit) headType(t *model.Tensor) ggml.Type {
	switch {
	case v.s.base == ggml.Q8_0, v.falcon, t.In%v.s.base.BlockElems() != 0:
		return ggml.Q8_0
	case v.s.head != 0:
		return v.s.head
	}
	return ggml.Q6_K
}
