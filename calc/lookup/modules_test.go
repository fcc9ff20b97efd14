package lookup

import (
	"path/filepath"
	"testing"

	"hwledger/calc/model"
)

// embeddinggemma-300m has two projections after its encoder, 768 → 3072 → 768
// without biases, in folders of their own: 9,437,184 bytes each in float32.
func TestModules(t *testing.T) {
	dir := dirWith(t, map[string][]byte{
		"config.json": []byte(llama),
		modulesName: []byte(`[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},{"idx":1,"path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
{"idx":2,"path":"2_Dense","type":"sentence_transformers.models.Dense"},{"idx":3,"path":"3_Dense","type":"sentence_transformers.models.Dense"},{"idx":4,"path":"4_Normalize","type":"sentence_transformers.models.Normalize"}]`),
	})
	put(t, filepath.Join(dir, "1_Pooling/config.json"), "{}")
	sparse(t, filepath.Join(dir, "2_Dense/model.safetensors"), []stored{{"linear.weight", "F32", []int64{3072, 768}}})
	sparse(t, filepath.Join(dir, "3_Dense/model.safetensors"), []stored{{"linear.weight", "F32", []int64{768, 3072}}})
	r, err := resolve(dir)
	if err != nil || len(r.Components) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, name := range []string{"2_Dense", "3_Dense"} {
		if c := r.Components[i]; c.Name != name || c.Class != "Dense" || c.Kind != KindOther || c.Bytes != 9_437_184 || c.Parameters != 2_359_296 {
			t.Errorf("%+v", c)
		}
	}
	for _, bad := range []string{`{}`, `[{"path":"../up","type":"x"}]`} {
		if _, err := resolve(dirWith(t, map[string][]byte{"config.json": []byte(llama), modulesName: []byte(bad)})); code(err) != model.MalformedFile {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzModules(f *testing.F) {
	f.Add([]byte(`[{"path":"2_Dense","type":"a.b.Dense"}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		modules, err := parseModules(raw)
		if err == nil && len(modules) > maxParts {
			t.Errorf("%d modules", len(modules))
		}
	})
}
