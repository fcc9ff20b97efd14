package quant

import (
	"bytes"
	"encoding/json"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
	"hwledger/internal/observed"
)

// described is the model that a generated header describes, its tensors stored
// as typeOf says.
func described(t *testing.T, hyperparameters json.RawMessage, typeOf func(name string, layer int) (string, bool)) *model.Model {
	t.Helper()
	f, err := ggufgen.Build(hyperparameters)
	if err != nil {
		t.Fatal(err)
	}
	if typeOf != nil {
		if err := f.Retype(typeOf); err != nil {
			t.Fatal(err)
		}
	}
	raw := f.Header()
	h, err := gguf.Parse(bytes.NewReader(raw), int64(len(raw))+f.DataBytes())
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Model()
	if err != nil {
		t.Fatal(err)
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
			m = described(t, raw, nil)
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

// A file that is already quantized answers a what-if from its shapes, and
// "auto" from its header.
func TestWhatIfOfQuantizedFile(t *testing.T) {
	rows, err := observed.QuantizeReported()
	if err != nil {
		t.Fatal(err)
	}
	reported, err := observed.EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	byType := map[string]map[string]*observed.QuantizeRow{}
	for i := range rows {
		r := &rows[i]
		if byType[r.Model] == nil {
			byType[r.Model] = map[string]*observed.QuantizeRow{}
		}
		byType[r.Model][r.FType] = r
	}
	checked := 0
	for name, of := range byType {
		from, to := of["Q8_0"], of["Q4_K_M"]
		if from == nil || to == nil {
			continue
		}
		m := described(t, reported.Hyperparameters[name], from.TypeOf)
		for weights, want := range map[string]int64{"auto": from.Bytes, "Q4_K_M": to.Bytes} {
			s, err := For(m, weights)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Assign(m)
			if err != nil || Sum(got) != want {
				t.Errorf("%s as %s: %d bytes, want %d (%v)", name, weights, Sum(got), want, err)
			}
		}
		checked++
	}
	if checked < 5 {
		t.Errorf("only %d models have both types", checked)
	}
}
