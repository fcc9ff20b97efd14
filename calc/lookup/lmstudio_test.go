package lookup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
)

// lmTestHome makes a home directory whose LM Studio was last started on the
// port of answers, or on one that nobody listens on, and returns its models
// folder.
func lmTestHome(t *testing.T, answers map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.URL.Path]
		if !ok {
			body = `{"error":"Unexpected endpoint or method. (GET ` + r.URL.Path + `)"}`
		}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	if answers == nil {
		server.Close()
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	put(t, filepath.Join(home, ".lmstudio", ".internal", "http-server-config.json"), `{"port":`+u.Port()+`,"networkInterface":"0.0.0.0"}`)
	return filepath.Join(home, ".lmstudio", "models")
}

// gguf puts a small model into the folder and returns its size on disk.
func putGGUF(t *testing.T, folder, rel string) int64 {
	t.Helper()
	f, err := ggufgen.Build([]byte(`{"name":"tiny","arch":"llama","L":2,"d":64,"ff":128,"h":4,"kv":2,"vocab":1000,"ctx":2048}`))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, filepath.FromSlash(rel))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, path, f)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// The folder of the tests: the files that LM Studio's documentation names
// beside its keys, and an MLX directory.
var lmFiles = []string{
	"lmstudio-community/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf",
	"nomic-ai/nomic-embed-text-v1.5-GGUF/nomic-embed-text-v1.5.Q4_K_M.gguf",
	"nomic-ai/nomic-embed-text-v1.5-GGUF/nomic-embed-text-v1.5.Q8_0.gguf",
	"lmstudio-community/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf",
	"lmstudio-community/Meta-Llama-3.1-8B-Instruct-GGUF/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf",
	"other/Meta-Llama-3.1-8B-Instruct-GGUF/Meta-Llama-3.1-8B-Instruct-Q8_0.gguf",
}

func lmTestFolder(t *testing.T, folder string) {
	t.Helper()
	for _, f := range lmFiles {
		putGGUF(t, folder, f)
	}
	dir := filepath.Join(folder, "mlx-community", "Qwen2-VL-7B-Instruct-4bit")
	put(t, filepath.Join(dir, "config.json"), llama)
	put(t, filepath.Join(dir, "model.safetensors"), string(safetensorsFile(tensors(2))))
	put(t, filepath.Join(folder, "lmstudio-community", "Qwen3-8B-GGUF", "README.md"), "no model")
	put(t, filepath.Join(folder, ".hidden", "x", "a.gguf"), "no model")
}

// TestLMStudioKeys: the keys that LM Studio's documentation prints find the
// files that it prints beside them.
func TestLMStudioKeys(t *testing.T) {
	folder := lmTestHome(t, nil)
	lmTestFolder(t, folder)
	for _, c := range []struct{ key, rel string }{
		{"qwen2.5-7b-instruct", lmFiles[0]},
		{"lmstudio-community/Qwen2.5-7B-Instruct-GGUF", lmFiles[0]},
		{lmFiles[0], lmFiles[0]},
		{"Qwen2.5-7B-Instruct-GGUF", lmFiles[0]},
		{"text-embedding-nomic-embed-text-v1.5@q4_k_m", lmFiles[1]},
		{"nomic-ai/nomic-embed-text-v1.5@q8_0", lmFiles[2]},
		{"qwen/qwen3-8b", lmFiles[3]},
		{"qwen3-8b", lmFiles[3]},
		{"qwen/qwen3-8b@q4_k_m", lmFiles[3]},
		{"lmstudio-community/meta-llama-3.1-8b-instruct", lmFiles[4]},
		{"meta-llama-3.1-8b-instruct@Q8_0", lmFiles[5]},
		{"qwen2-vl-7b-instruct", "mlx-community/Qwen2-VL-7B-Instruct-4bit"},
		{"qwen2-vl-7b-instruct@4bit", "mlx-community/Qwen2-VL-7B-Instruct-4bit"},
	} {
		r, err := resolve("lmstudio:" + c.key)
		if err != nil {
			t.Errorf("%s: %v", c.key, err)
			continue
		}
		if r.Reference != "lmstudio:"+c.rel || r.ResolvedFrom != "lmstudio" || r.StoredBytes == 0 || len(r.Model.Layers) != 2 {
			t.Errorf("%s is %s from %s with %d bytes, want %s", c.key, r.Reference, r.ResolvedFrom, r.StoredBytes, c.rel)
		}
	}
	for _, c := range []struct {
		key       string
		code      model.Code
		candidate string
	}{
		{"", model.InvalidArgument, ""},
		{"meta-llama-3.1-8b-instruct", model.InvalidArgument, "lmstudio:" + lmFiles[5]},
		{"nomic-embed-text-v1.5", model.InvalidArgument, "lmstudio:" + lmFiles[2]},
		{"qwen3-8b@q6_k", model.ModelNotFound, "lmstudio:" + lmFiles[3]},
		{"../../etc/passwd", model.ModelNotFound, ""},
		{"qwen/", model.ModelNotFound, ""},
	} {
		_, err := resolve("lmstudio:" + c.key)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Hint == "" || c.candidate != "" && !slices.Contains(e.Candidates, c.candidate) {
			t.Errorf("%q: %v, want %s with %s", c.key, err, c.code, c.candidate)
		}
	}
	listed, err := listLMStudio(context.Background())
	if err != nil || len(listed) != len(lmFiles)+1 {
		t.Fatalf("%v, %v", listed, err)
	}
	for _, l := range listed {
		if l.Bytes == 0 || l.Modified.IsZero() {
			t.Errorf("%+v", l)
		}
		if r, err := resolve(l.Ref); err != nil || r.Reference != l.Ref {
			t.Errorf("%s: %v", l.Ref, err)
		}
	}
}

// TestLMStudioFolder: settings and the pointer to LM Studio's own folder are
// followed; a set of files is one model.
func TestLMStudioFolder(t *testing.T) {
	lmTestHome(t, nil)
	home := os.Getenv("HOME")
	elsewhere, models := filepath.Join(home, "big disk", "lms"), filepath.Join(home, "models")
	put(t, filepath.Join(home, ".lmstudio-home-pointer"), elsewhere+"\n")
	put(t, filepath.Join(elsewhere, "settings.json"), fmt.Sprintf(`{"downloadsFolder":%q,"other":1}`, models))
	if got, _ := lmFolder(lmHome()); got != models {
		t.Fatalf("folder %s, want %s", got, models)
	}
	for i := range 2 {
		put(t, filepath.Join(models, "org", "Big-GGUF", "Q4_K_M", fmt.Sprintf("big-Q4_K_M-%05d-of-00002.gguf", i+1)), "half")
	}
	if err := os.Symlink(models, filepath.Join(models, "org", "loop")); err != nil {
		t.Skip("no links here")
	}
	found, err := lmWalk(context.Background(), models)
	if err != nil || len(found) != 1 || found[0].rel != "org/Big-GGUF/Q4_K_M/big-Q4_K_M-00001-of-00002.gguf" || found[0].bytes != 8 || found[0].quant() != "q4_k_m" {
		t.Errorf("%+v, %v", found, err)
	}
	put(t, filepath.Join(elsewhere, "settings.json"), `{"downloadsFolder":7}`)
	if got, _ := lmFolder(lmHome()); got != filepath.Join(elsewhere, "models") {
		t.Errorf("settings without a folder: %s", got)
	}
	if err := os.Remove(filepath.Join(home, ".lmstudio-home-pointer")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, ".cache", "lm-studio"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := lmHome(); got != filepath.Join(home, ".cache", "lm-studio") {
		t.Errorf("an older installation: %s", got)
	}
}

// v1 and v0 are answers in the shapes that LM Studio's documentation shows.
func v1(size int64) string {
	return fmt.Sprintf(`{"models":[{"type":"llm","publisher":"lmstudio-community","key":"meta-llama-3.1-8b-instruct","display_name":"Llama","architecture":"llama",
"quantization":{"name":"Q4_K_M","bits_per_weight":4},"size_bytes":%d,"params_string":"8B","loaded_instances":[{"id":"my-llama","config":{"context_length":4096,"eval_batch_size":512,"parallel":4,"flash_attention":true,"offload_kv_cache_to_gpu":true,"odd":{"a":1}}}],
"max_context_length":131072,"format":"gguf","capabilities":{"vision":false},"description":null},
{"type":"llm","publisher":"Nomic-AI","key":"a-name-of-its-own","architecture":"bert","quantization":null,"size_bytes":%d,"loaded_instances":[],"max_context_length":2048,"format":"gguf"},
{"type":"llm","publisher":"qwen","key":"qwen/qwen3-235b","architecture":"qwen3moe","quantization":{"name":"Q3_K_L","bits_per_weight":3},"size_bytes":111000000000,"loaded_instances":[],"max_context_length":40960,"format":"gguf","variants":["qwen/qwen3-235b@q3_k_l"],"selected_variant":"qwen/qwen3-235b@q3_k_l"}]}`, size, size+7)
}

const v0 = `{"object":"list","data":[
{"id":"meta-llama-3.1-8b-instruct","object":"model","type":"llm","publisher":"lmstudio-community","arch":"llama","compatibility_type":"gguf","quantization":"Q4_K_M","state":"loaded","max_context_length":131072,"loaded_context_length":8192},
{"id":"qwen2-vl-7b-instruct","object":"model","type":"vlm","publisher":"mlx-community","arch":"qwen2_vl","compatibility_type":"mlx","quantization":"4bit","state":"not-loaded","max_context_length":32768}]}`

// TestLMStudioServer: what the server says settles what a key leaves open, and
// tells what is loaded.
func TestLMStudioServer(t *testing.T) {
	size := putGGUF(t, t.TempDir(), "x.gguf")
	for _, c := range []struct {
		name, path, body, loaded, context string
	}{
		{"v1", "/api/v1/models", v1(size), "my-llama", "4096"},
		{"v0", "/api/v0/models", v0, "meta-llama-3.1-8b-instruct", "8192"},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := lmTestHome(t, map[string]string{c.path: c.body})
			lmTestFolder(t, folder)
			for _, key := range []string{"meta-llama-3.1-8b-instruct", lmFiles[4]} {
				r, err := resolve("lmstudio:" + key)
				if err != nil {
					t.Fatal(err)
				}
				if r.Reference != "lmstudio:"+lmFiles[4] || r.Settings["context_length"] != c.context || !hasFact(r, "loaded", c.loaded) {
					t.Errorf("%s: %s with %v\n%v", key, r.Reference, r.Settings, r.Provenance)
				}
			}
			if c.name == "v0" {
				r, err := resolve("lmstudio:qwen2-vl-7b-instruct")
				if err != nil || !hasFact(r, "loaded", "no") || r.Settings != nil {
					t.Errorf("not loaded: %+v, %v", r, err)
				}
				return
			}
			if _, err := resolve("lmstudio:qwen/qwen3-235b"); code(err) != model.ModelNotFound || !strings.Contains(err.Error(), "qwen3moe, gguf, Q3_K_L, 111000000000 bytes") {
				t.Errorf("a model whose files are elsewhere: %v", err)
			}
			put(t, filepath.Join(folder, "nomic-ai", "odd", "model.gguf"), "")
			if err := os.Truncate(filepath.Join(folder, "nomic-ai", "odd", "model.gguf"), size+7); err != nil {
				t.Fatal(err)
			}
			if _, err := resolve("lmstudio:a-name-of-its-own"); code(err) != model.MalformedFile || !strings.Contains(err.Error(), "model.gguf") {
				t.Errorf("by publisher and size: %v", err)
			}
		})
	}
}

func hasFact(r *Result, field, value string) bool {
	return slices.ContainsFunc(r.Provenance, func(f model.Fact) bool { return f.Field == field && f.Value == value })
}

// Without the folder the server's models are listed; a server that does not
// speak its protocol, or none, is no failure and takes no time.
func TestLMStudioServerAlone(t *testing.T) {
	lmTestHome(t, map[string]string{"/api/v1/models": v1(1000)})
	got, err := listLMStudio(context.Background())
	if err != nil || len(got) != 3 || got[0].Ref != "lmstudio:meta-llama-3.1-8b-instruct" || got[0].Bytes != 1000 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, answers := range map[string]map[string]string{"refused": nil, "another program": {}, "nonsense": {"/api/v1/models": `[`, "/api/v0/models": `{"data":7}`}} {
		lmTestHome(t, answers)
		start := time.Now()
		got, err := listLMStudio(context.Background())
		if err != nil || len(got) != 0 || time.Since(start) > lmPatience {
			t.Errorf("%s: %v, %v after %v", name, got, err, time.Since(start))
		}
	}
}

// TestLMStudioProjector: the projector beside a model is a component with the
// sizes of its header: a matrix of 64 × 32 in F16 and a vector of 32 in F32.
func TestLMStudioProjector(t *testing.T) {
	folder := lmTestHome(t, nil)
	const rel = "org/vision-GGUF/vision-Q4_K_M.gguf"
	putGGUF(t, folder, rel)
	write(t, filepath.Join(folder, "org", "vision-GGUF", "mmproj-vision-f16.gguf"), lmProjectorFile())
	r, err := resolve("lmstudio:vision")
	if err != nil || len(r.Components) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	c := r.Components[0]
	if c.Kind != "projector" || c.Parameters != 64*32+32 || c.Bytes != 4096+128 || c.ByDType["F16"] != 4096 || c.ByDType["F32"] != 128 || c.Name != "mmproj-vision-f16.gguf" {
		t.Errorf("%+v", c)
	}
}

// lmStem separates a model's name from what follows it.
func TestLMStudioNames(t *testing.T) {
	for name, want := range map[string][2]string{
		"Qwen3-8B-GGUF":                              {"qwen3-8b", ""},
		"Qwen3-8B-MLX-4bit":                          {"qwen3-8b", "4bit"},
		"nomic-embed-text-v1.5.Q4_K_M.gguf":          {"nomic-embed-text-v1.5", "q4_k_m"},
		"Qwen3-235B-A22B-UD-Q2_K_XL-00001-of-2.gguf": {"qwen3-235b-a22b-ud-q2_k_xl-00001-of-2", ""},
		"m-IQ4_XS-00001-of-00003.gguf":               {"m", "iq4_xs"},
		"gpt-oss-20b-MXFP4.gguf":                     {"gpt-oss-20b", "mxfp4"},
		"Llama-3.1-8B-Instruct-bf16":                 {"llama-3.1-8b-instruct", "bf16"},
		"Mistral-7B-Instruct-v0.3":                   {"mistral-7b-instruct-v0.3", ""},
		"":                                           {"", ""},
		"q4":                                         {"q4", ""},
		"Qwen3-30B-A3B-Instruct-2507-GGUF":           {"qwen3-30b-a3b-instruct-2507", ""},
	} {
		if stem, quant := lmStem(name); stem != want[0] || quant != want[1] {
			t.Errorf("%s: %q and %q, want %q", name, stem, quant, want)
		}
	}
}

func FuzzLMStudioServer(f *testing.F) {
	f.Add([]byte(v1(1)))
	f.Add([]byte(v0))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, read := range []func([]byte) ([]lmServed, bool){lmReadV1, lmReadV0} {
			served, _ := read(b)
			for i := range served {
				_ = lmMatch(served[i].key, []lmModel{{rel: "a/b/c-Q4_K_M.gguf", file: "c-Q4_K_M.gguf"}})
				if served[i].bytes < 0 || served[i].context < 0 {
					t.Errorf("%+v", served[i])
				}
			}
		}
	})
}

func lmProjectorFile() *ggufgen.File {
	f := &ggufgen.File{}
	f.Set("general.architecture", "clip")
	return f.Add("mm.0.weight", ggml.F16, 64, 32).Add("mm.0.bias", ggml.F32, 32)
}
