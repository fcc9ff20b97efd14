package observed

import "testing"

func TestLoad(t *testing.T) {
	e, err := EngineReported()
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, r := range e.Rows {
		if e.Hyperparameters[r.Model] == nil {
			t.Errorf("no hyperparameters for %s", r.Model)
		}
		if r.Error != "" {
			refused++
		} else if r.ModelSize == 0 || len(r.Breakdown) == 0 || len(r.Parsed.Compute) == 0 {
			t.Errorf("%s %+v reports nothing", r.Model, r.Setting)
		}
	}
	if len(e.Rows) != 2671 || refused != 66 || len(e.Hyperparameters) != 23 {
		t.Errorf("%d rows, %d refused, %d models; want 2671, 66, 23", len(e.Rows), refused, len(e.Hyperparameters))
	}
	q, err := QuantizeReported()
	if err != nil {
		t.Fatal(err)
	}
	if len(q) != 345 {
		t.Errorf("%d quantize rows, want 345", len(q))
	}
	for _, r := range q {
		if typ, ok := r.TypeOf("token_embd.weight", -1); !ok || typ == "" || r.Bytes == 0 {
			t.Errorf("%s %s has no embedding type", r.Model, r.FType)
		}
		if typ, ok := r.TypeOf("attn_norm.weight", 0); !ok || typ != "F32" {
			t.Errorf("%s %s: attn_norm is %q, want F32", r.Model, r.FType, typ)
		}
	}
}
