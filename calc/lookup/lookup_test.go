package lookup

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hwledger/calc/model"
)

const llama = `{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":100,"max_position_embeddings":2048,"torch_dtype":"bfloat16"}`

// tensors of the model above, by name: rows and columns.
func tensors(layers int) [][3]any {
	out := [][3]any{{"model.embed_tokens.weight", 100, 64}, {"lm_head.weight", 100, 64}, {"model.norm.weight", 1, 64}}
	for i := range layers {
		p := "model.layers." + string(rune('0'+i)) + "."
		for _, t := range [][3]any{
			{"input_layernorm", 1, 64}, {"post_attention_layernorm", 1, 64}, {"self_attn.q_proj", 64, 64}, {"self_attn.k_proj", 32, 64}, {"self_attn.v_proj", 32, 64},
			{"self_attn.o_proj", 64, 64}, {"mlp.gate_proj", 128, 64}, {"mlp.up_proj", 128, 64}, {"mlp.down_proj", 64, 128},
		} {
			out = append(out, [3]any{p + t[0].(string) + ".weight", t[1], t[2]})
		}
	}
	return out
}

// safetensorsFile returns a BF16 file of the given tensors.
func safetensorsFile(ts [][3]any) []byte {
	type info struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header := map[string]info{}
	at := 0
	for _, t := range ts {
		n := t[1].(int) * t[2].(int) * 2
		header[t[0].(string)] = info{"BF16", []int{t[1].(int), t[2].(int)}, [2]int{at, at + n}}
		at += n
	}
	text, _ := json.Marshal(header)
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(b, text...), make([]byte, at)...)
}

// dirWith writes files below a temporary directory and returns it.
func dirWith(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func resolve(ref string) (*Result, error) {
	return Resolve(context.Background(), Request{Ref: ref, Offline: true})
}

// The model above has 100·64·2 + 64 + 2·(2·64 + 2·64² + 2·32·64 + 3·64·128).
const params = 12800 + 64 + 2*(128+8192+4096+24576)

func TestConfigAlone(t *testing.T) {
	dir := dirWith(t, map[string][]byte{"config.json": []byte(llama)})
	for _, ref := range []string{dir, filepath.Join(dir, "config.json")} {
		r, err := resolve(ref)
		if err != nil {
			t.Fatal(err)
		}
		if r.Model.Exact || r.Model.Count().Total != params || r.ResolvedFrom != "local" || r.Reference != ref || len(r.Files) != 1 {
			t.Errorf("%s: %+v", ref, r)
		}
	}
}

func TestCheckpoint(t *testing.T) {
	all := tensors(2)
	index := `{"metadata":{"total_size":173952},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`
	parts := map[string][]byte{
		"config.json": []byte(llama), indexName: []byte(index),
		"model-00001-of-00002.safetensors": safetensorsFile(all[:9]), "model-00002-of-00002.safetensors": safetensorsFile(all[9:]),
	}
	without := func(names ...string) map[string][]byte {
		out := map[string][]byte{}
		for k, v := range parts {
			if !slices.Contains(names, k) {
				out[k] = v
			}
		}
		return out
	}
	for name, files := range map[string]map[string][]byte{
		"index":    parts,
		"no index": without(indexName),
		"single":   {"config.json": []byte(llama), "model.safetensors": safetensorsFile(all), "adapter_model.safetensors": []byte("x")},
		"named":    {"config.json": []byte(llama), "weights.safetensors": safetensorsFile(all)},
	} {
		r, err := resolve(dirWith(t, files))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !r.Model.Exact || r.Model.Count().Total != params || r.StoredBytes != 2*params || r.StoredByDType["BF16"] != 2*params {
			t.Errorf("%s: exact %v, %d parameters, %d bytes", name, r.Model.Exact, r.Model.Count().Total, r.StoredBytes)
		}
	}

	// Without all parts the index's total is used; without an index it is an error.
	files := without("model-00002-of-00002.safetensors")
	r, err := resolve(dirWith(t, files))
	if err != nil || r.Model.Exact || r.StoredBytes != 173952 {
		t.Errorf("part missing: %+v, %v", r, err)
	}
	_, err = resolve(dirWith(t, without("model-00002-of-00002.safetensors", indexName)))
	if code(err) != model.MalformedFile || !strings.Contains(err.Error(), "model-00002-of-00002.safetensors") {
		t.Errorf("part missing and no index: %v", err)
	}
	// A Git LFS pointer is not the file.
	files = without(indexName)
	files["model-00002-of-00002.safetensors"] = []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
	if _, err = resolve(dirWith(t, files)); code(err) != model.MalformedFile {
		t.Errorf("pointer: %v", err)
	}
}

// A family that is not known is described by its headers.
func TestHeaderFallback(t *testing.T) {
	config := strings.NewReplacer(`"architectures":["LlamaForCausalLM"],`, "", `"llama"`, `"unheard_of"`, `"hidden_size"`, `"expert_gating_loop":3,"hidden_size"`).Replace(llama)
	if _, err := Resolve(context.Background(), Request{Config: []byte(config)}); code(err) != model.UnsupportedArchitecture {
		t.Fatalf("the configuration alone: %v", err)
	}
	r, err := resolve(dirWith(t, map[string][]byte{"config.json": []byte(config), "model.safetensors": safetensorsFile(tensors(2))}))
	if err != nil {
		t.Fatal(err)
	}
	if a := r.Model.Layers[1].Mixers[0].(*model.Attention); a.KVHeads != 2 || a.KeyDim != 16 || !r.Model.Exact || r.Model.Count().Total != params {
		t.Errorf("got %+v", a)
	}
}

func TestQuantConfigBesideIt(t *testing.T) {
	dir := dirWith(t, map[string][]byte{
		"config.json":          []byte(llama),
		"hf_quant_config.json": []byte(`{"producer":{"name":"modelopt"},"quantization":{"quant_algo":"NVFP4","kv_cache_quant_algo":"FP8","group_size":16,"exclude_modules":["lm_head"]}}`),
	})
	r, err := resolve(dir)
	if err != nil || len(r.Files) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r.Model.Quant == nil || r.Model.KVCacheType == "" {
		t.Errorf("quantization %+v, cache %q", r.Model.Quant, r.Model.KVCacheType)
	}
}

func TestCatalogue(t *testing.T) {
	for _, ref := range []string{"meta-llama/Llama-3.1-8B", "catalog:META-LLAMA/llama-3.1-8b", "hf:meta-llama/Llama-3.1-8B", "hf:meta-llama/Llama-3.1-8B@main", "Llama-3.1-8B"} {
		r, err := resolve(ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if r.Model.Count().Total != 8030261248 || r.Reference != "catalog:meta-llama/Llama-3.1-8B" || r.ResolvedFrom != "catalog" || r.License == "" || r.StoredBytes != 16060522496 {
			t.Errorf("%s: %+v", ref, r)
		}
	}
}

func TestErrors(t *testing.T) {
	dir := dirWith(t, map[string][]byte{"notes.txt": nil, "a.gguf": nil, "b.gguf": nil, "bad.json": []byte("{"), "cut.safetensors": {1}, "big.json": make([]byte, MaxConfig+1)})
	for _, c := range []struct {
		ref       string
		code      model.Code
		candidate string
	}{
		{"", model.InvalidArgument, ""},
		{strings.Repeat("x", 5000), model.InvalidArgument, ""},
		{"org/na\u202eme", model.InvalidArgument, ""},
		{"meta-lama/Llama-3.1-8B", model.ModelNotFound, "meta-llama/Llama-3.1-8B"},
		{"catalog:nobody/nothing-like-it", model.ModelNotFound, ""},
		{"catalog:mistral-7b", model.ModelNotFound, "mistralai/Mistral-7B-v0.1"},
		{"./no/such/dir", model.ModelNotFound, ""},
		{filepath.Join(dir, "notes.txt"), model.InvalidArgument, ""},
		{filepath.Join(dir, "bad.json"), model.MalformedFile, ""},
		{filepath.Join(dir, "big.json"), model.MalformedFile, ""},
		{dir, model.InvalidArgument, filepath.Join(dir, "b.gguf")},
		{"https://example.org/x.gguf", model.Offline, ""},
		{"ollama:llama3:8b", model.ModelNotFound, ""},
		{"lmstudio:no-such-key", model.ModelNotFound, ""},
		{"hf:meta-llama/Llama-3.1-8B:Q4_K_M", model.Offline, "meta-llama/Llama-3.1-8B"},
		{"hf:org/name/file.gguf", model.Offline, ""},
	} {
		_, err := resolve(c.ref)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != c.code {
			t.Errorf("%.40q: %v, want %s", c.ref, err, c.code)
			continue
		}
		if c.candidate != "" && !slices.Contains(e.Candidates, c.candidate) {
			t.Errorf("%.40q offers %q, want %s", c.ref, e.Candidates, c.candidate)
		}
		if e.Code == model.Offline && (e.Hint == "" || strings.Contains(err.Error(), "implement")) {
			t.Errorf("%.40q: %v does not say what to do", c.ref, err)
		}
	}
	if _, err := Resolve(context.Background(), Request{Ref: "x/y", Config: []byte(llama)}); code(err) != model.InvalidArgument {
		t.Errorf("both: %v", err)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Resolve(done, Request{Ref: "x/y"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestClean(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"apache-2.0", 20, "apache-2.0"},
		{"a\x1b[31mb\x00\u200bc\u202ed\ufeff", 20, "a[31mbcd"},
		{"two\nlines\tand\rmore", 40, "two lines and more"},
		{"日本語モデル", 3, "日本語…"},
		{"bad \xff byte", 20, "bad  byte"},
		{"tag\U000E0041s", 20, "tags"},
	} {
		if got := Clean(c.in, c.limit); got != c.want {
			t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"org/name", "hf:a/b@c", "catalog:x", "./x", "a:b:c", "..", "C:\\x.gguf"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		if strings.Contains(ref, "/") && isPath(ref) || exists(ref) {
			t.Skip() // the file system is not what is tested
		}
		_, err := resolve(ref)
		var e *model.Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%q: %v is not a *model.Error", ref, err)
		}
	})
}

func BenchmarkCatalogue(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := resolve("meta-llama/Llama-3.1-8B"); err != nil {
			b.Fatal(err)
		}
	}
}
