package lookup

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"hwledger/calc/model"
)

// Checkpoints without safetensors: the index's total, or the files' size.
func TestPickles(t *testing.T) {
	index := `{"metadata":{"total_size":173952},"weight_map":{"a":"pytorch_model-00001-of-00002.bin","b":"pytorch_model-00002-of-00002.bin"}}`
	for _, c := range []struct {
		name  string
		files map[string][]byte
		bytes int64
		says  string
	}{
		{"index alone", map[string][]byte{pickleIndex: []byte(index)}, 173952, "total_size"},
		{"index without total", map[string][]byte{
			pickleIndex:                        []byte(strings.Replace(index, "total_size", "none", 1)),
			"pytorch_model-00001-of-00002.bin": make([]byte, 1000), "pytorch_model-00002-of-00002.bin": make([]byte, 500),
		}, 1500, "size of the PyTorch files"},
		{"file", map[string][]byte{"pytorch_model.bin": make([]byte, 700)}, 700, "size of the PyTorch files"},
		{"part missing", map[string][]byte{pickleIndex: []byte(strings.Replace(index, "total_size", "none", 1)), "pytorch_model-00001-of-00002.bin": nil}, 0, "missing"},
		{"other files", map[string][]byte{"training_args.bin": make([]byte, 10), "optimizer.bin": make([]byte, 10)}, 0, "config"},
	} {
		c.files["config.json"] = []byte(llama)
		r, err := resolve(dirWith(t, c.files))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if r.StoredBytes != c.bytes || r.Model.Exact || r.Model.Count().Total != params || !strings.Contains(fmt.Sprint(r.Provenance), c.says) {
			t.Errorf("%s: %d bytes; %v", c.name, r.StoredBytes, r.Provenance)
		}
	}
	bad := map[string][]byte{"config.json": []byte(llama), pickleIndex: []byte(`{"weight_map":{"a":"../x.bin"}}`)}
	if _, err := resolve(dirWith(t, bad)); code(err) != model.MalformedFile {
		t.Errorf("a path out of the directory: %v", err)
	}
}

// params.json of Mistral-7B-v0.3 and Mixtral-8x7B; the counts are published
// with the weights.
func TestMistralFormat(t *testing.T) {
	for _, c := range []struct {
		params string
		total  int64
	}{
		{`{"dim":4096,"n_layers":32,"head_dim":128,"hidden_dim":14336,"n_heads":32,"n_kv_heads":8,"norm_eps":1e-05,"vocab_size":32768,"rope_theta":1000000.0}`, 7_248_023_552},
		{`{"dim":4096,"n_layers":32,"head_dim":128,"hidden_dim":14336,"n_heads":32,"n_kv_heads":8,"norm_eps":1e-05,"vocab_size":32000,"rope_theta":1e6,"moe":{"num_experts_per_tok":2,"num_experts":8}}`, 46_702_792_704},
	} {
		r, err := resolve(dirWith(t, map[string][]byte{mistralParams: []byte(c.params)}))
		if err != nil {
			t.Fatal(err)
		}
		if r.Model.Count().Total != c.total || len(r.Model.Layers) != 32 {
			t.Errorf("%d parameters, want %d", r.Model.Count().Total, c.total)
		}
	}
	// With headers beside it, by the names that the format uses.
	own := [][3]any{{"tok_embeddings.weight", 100, 64}, {"output.weight", 100, 64}, {"norm.weight", 1, 64}}
	for i := range 2 {
		p := fmt.Sprintf("layers.%d.", i)
		own = append(own, [][3]any{
			{p + "attention_norm.weight", 1, 64}, {p + "ffn_norm.weight", 1, 64}, {p + "attention.wq.weight", 64, 64}, {p + "attention.wk.weight", 32, 64}, {p + "attention.wv.weight", 32, 64},
			{p + "attention.wo.weight", 64, 64}, {p + "feed_forward.w1.weight", 128, 64}, {p + "feed_forward.w3.weight", 128, 64}, {p + "feed_forward.w2.weight", 64, 128},
		}...)
	}
	r, err := resolve(dirWith(t, map[string][]byte{
		mistralParams:              []byte(`{"dim":64,"n_layers":2,"head_dim":16,"hidden_dim":128,"n_heads":4,"n_kv_heads":2,"vocab_size":100}`),
		"consolidated.safetensors": safetensorsFile(own),
	}))
	if err != nil || !r.Model.Exact || r.Model.Count().Total != params || r.StoredBytes != 2*params {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, x := range r.Model.Tensors {
		if x.Bytes == 0 || x.Type != "BF16" {
			t.Errorf("%s: %d bytes of %q", x.Name, x.Bytes, x.Type)
		}
	}
	for params, want := range map[string]model.Code{
		`{"dim":4096,"multiple_of":256,"n_heads":32,"n_layers":32,"norm_eps":1e-06,"vocab_size":-1}`:                  model.MalformedFile, // LLaMA's own
		`{"dim":64,"n_layers":2,"hidden_dim":128,"n_heads":4,"vocab_size":100,"vision_encoder":{"hidden_size":1024}}`: model.UnsupportedArchitecture,
		`{"dim":64,"n_layers":2,"hidden_dim":128,"n_heads":4,"vocab_size":100,"n_kv_heads":2,"kv_lora_rank":512}`:     model.UnsupportedArchitecture,
		`{`: model.MalformedFile,
	} {
		if _, err := resolve(dirWith(t, map[string][]byte{mistralParams: []byte(params)})); code(err) != want {
			t.Errorf("%s: %v", params, err)
		}
	}
}

// Shards and GGUFs that lie in folders of the directory.
func TestFolders(t *testing.T) {
	dir := dirWith(t, map[string][]byte{
		"config.json": []byte(llama),
		indexName:     []byte(`{"metadata":{"total_size":1},"weight_map":{"a":"weights/a.safetensors","b":"weights/b.safetensors"}}`),
	})
	all := tensors(2)
	put(t, filepath.Join(dir, "weights/a.safetensors"), string(safetensorsFile(all[:9])))
	put(t, filepath.Join(dir, "weights/b.safetensors"), string(safetensorsFile(all[9:])))
	if r, err := resolve(dir); err != nil || !r.Model.Exact || r.StoredBytes != 2*params {
		t.Errorf("%+v, %v", r, err)
	}

	f, bytes, _ := reported(t)
	dir = t.TempDir()
	put(t, filepath.Join(dir, "Q4_K_M/readme.txt"), "")
	write(t, filepath.Join(dir, "Q4_K_M/model-Q4_K_M.gguf"), f)
	if r, err := resolve(dir); err != nil || r.StoredBytes != bytes {
		t.Errorf("%+v, %v", r, err)
	}
	put(t, filepath.Join(dir, "Q8_0/model-Q8_0.gguf"), "")
	_, err := resolve(dir)
	if e := new(model.Error); !errors.As(err, &e) || len(e.Candidates) != 2 {
		t.Errorf("two of them: %v", err)
	}
}

// Mistral's own index names consolidated files.
func TestConsolidatedIndex(t *testing.T) {
	all := tensors(2)
	dir := dirWith(t, map[string][]byte{
		mistralParams:     []byte(`{"dim":64,"n_layers":2,"head_dim":16,"hidden_dim":128,"n_heads":4,"n_kv_heads":2,"vocab_size":100}`),
		consolidatedIndex: []byte(`{"weight_map":{"a":"consolidated-00001-of-00002.safetensors","b":"consolidated-00002-of-00002.safetensors"}}`),
		"consolidated-00001-of-00002.safetensors": safetensorsFile(all[:9]),
		"consolidated-00002-of-00002.safetensors": safetensorsFile(all[9:]),
	})
	if r, err := resolve(dir); err != nil || !r.Model.Exact || r.StoredBytes != 2*params {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzPickleIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":1},"weight_map":{"a":"pytorch_model.bin"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		files, total, err := parsePickleIndex(raw)
		if err == nil && (total < 0 || len(files) > 10_000) {
			t.Errorf("%d files, %d bytes", len(files), total)
		}
	})
}
