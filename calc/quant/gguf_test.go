package quant

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/internal/ggufgen"
	"hwledger/internal/observed"
)

// describe turns generated headers into models, with as much of the layers as
// the quantizer asks for.
func describe(t *testing.T, raw json.RawMessage) *model.Model {
	t.Helper()
	var h ggufgen.Hyperparameters
	if err := json.Unmarshal(raw, &h); err != nil {
		t.Fatal(err)
	}
	f, err := ggufgen.Build(raw)
	if err != nil {
		t.Fatal(err)
	}
	m := &model.Model{Arch: h.Arch, Format: model.FormatGGUF, Exact: true}
	for i := range h.L {
		var heads int64
		if h.H != nil {
			heads = *h.H
		}
		kv := h.HeadsKV.One
		if h.HeadsKV.Each != nil {
			kv = h.HeadsKV.Each[i]
		}
		l := model.Layer{FFN: model.FFN{Experts: h.E}}
		switch {
		case h.Arch == "qwen3next" && (i+1)%4 != 0:
			l.Mixers = []model.Mixer{&model.GatedDelta{}}
		case kv == 0:
			l.Mixers = []model.Mixer{&model.Mamba1{}}
		case h.KVL > 0:
			l.Mixers = []model.Mixer{&model.MLA{Heads: heads}}
		default:
			l.Mixers = []model.Mixer{&model.Attention{Heads: heads, KVHeads: kv}}
		}
		m.Layers = append(m.Layers, l)
	}
	for _, x := range f.Tensors {
		name, layer := x.Name, -1
		if rest, ok := strings.CutPrefix(name, "blk."); ok {
			num, tail, _ := strings.Cut(rest, ".")
			layer, _ = strconv.Atoi(num)
			name = tail
		}
		tt := model.Tensor{Name: name, Layer: layer, In: x.Dims[0], Out: 1, Count: 1, Type: x.Type.String()}
		if len(x.Dims) > 1 {
			tt.Out = x.Dims[1]
		}
		for _, d := range x.Dims[min(2, len(x.Dims)):] {
			tt.Count *= d
		}
		m.Tensors = append(m.Tensors, tt)
	}
	return m
}

// Every row of what llama-quantize 0.7.0 reported: bytes, and the type of each
// tensor.
func TestQuantizerChoosesTheSameTypes(t *testing.T) {
	rows, err := observed.QuantizeReported()
	if err != nil {
		t.Fatal(err)
	}
	reported, err := observed.EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	models := map[string]*model.Model{}
	exact := 0
	for _, r := range rows {
		m := models[r.Model]
		if m == nil {
			raw, ok := reported.Hyperparameters[r.Model]
			if !ok {
				t.Fatalf("no hyperparameters of %s", r.Model)
			}
			m = describe(t, raw)
			models[r.Model] = m
		}
		s, err := GGUF(r.FType)
		if err != nil {
			t.Errorf("%s: %v", r.FType, err)
			continue
		}
		got, err := s.Assign(m)
		if err != nil {
			t.Errorf("%s %s: %v", r.Model, r.FType, err)
			continue
		}
		bad := 0
		for i := range got {
			x := &m.Tensors[i]
			if want, ok := r.TypeOf(x.Name, x.Layer); ok && want != got[i].Type {
				if bad++; bad < 4 {
					t.Errorf("%s %s: layer %d %s [%d %d %d] is %s, want %s", r.Model, r.FType, x.Layer, x.Name, x.In, x.Out, x.Count, got[i].Type, want)
				}
			} else if !ok {
				t.Errorf("%s %s: no type of %s in layer %d", r.Model, r.FType, x.Name, x.Layer)
			}
		}
		if n := Sum(got); n != r.Bytes {
			t.Errorf("%s %s: %d bytes, want %d", r.Model, r.FType, n, r.Bytes)
			continue
		}
		if bad == 0 {
			exact++
		}
	}
	t.Logf("%d of %d rows exact in bytes and types", exact, len(rows))
}
