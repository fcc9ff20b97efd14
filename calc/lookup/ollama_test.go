package lookup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
)

// noDaemon is an address that refuses connections at once.
const noDaemon = "http://127.0.0.1:1"

// ollamaDir is a store as Ollama writes it.
type ollamaDir struct {
	t   *testing.T
	dir string
}

func newOllamaDir(t *testing.T) ollamaDir {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("OLLAMA_MODELS", dir)
	t.Setenv("OLLAMA_HOST", noDaemon)
	if err := os.MkdirAll(filepath.Join(dir, "blobs"), 0o755); err != nil {
		t.Fatal(err)
	}
	return ollamaDir{t, dir}
}

func (s ollamaDir) blob(digest string) string {
	return filepath.Join(s.dir, "blobs", strings.Replace(digest, ":", "-", 1))
}

// layer stores content under its digest.
func (s ollamaDir) layer(kind, name string, content []byte) ollamaLayer {
	s.t.Helper()
	sum := sha256.Sum256(content)
	l := ollamaLayer{MediaType: ollamaMedia + kind, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(content)), Name: name}
	if err := os.WriteFile(s.blob(l.Digest), content, 0o644); err != nil {
		s.t.Fatal(err)
	}
	return l
}

// gguf stores a GGUF file with a hole for its data.
func (s ollamaDir) gguf(kind string, f *ggufgen.File) ollamaLayer {
	s.t.Helper()
	l := s.layer(kind, "", f.Header())
	l.Size += f.DataBytes()
	if err := os.Truncate(s.blob(l.Digest), l.Size); err != nil {
		s.t.Fatal(err)
	}
	return l
}

// add writes a manifest for a name of four parts.
func (s ollamaDir) add(name string, layers ...ollamaLayer) {
	s.t.Helper()
	config := s.layer("", "", []byte(`{"model_format":"gguf","model_family":"llama","os":"linux","architecture":"amd64"}`))
	config.MediaType = "application/vnd.docker.container.image.v1+json"
	s.manifest(name, map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": config, "layers": layers})
}

func (s ollamaDir) manifest(name string, content any) {
	s.t.Helper()
	raw, err := json.Marshal(content)
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.dir, "manifests", filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

const (
	small   = "registry.ollama.ai/library/small/8b"
	apache  = "\n                                 Apache License\n                           Version 2.0, January 2004\n                        http://www.apache.org/licenses/\n"
	llama31 = "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\nLlama 3.1 Version Release Date: July 23, 2024\n"
)

// ollamaProjector has 12 F16 and 4 F32 elements: 24 and 16 bytes.
func ollamaProjector() *ggufgen.File {
	f := &ggufgen.File{}
	f.Set("general.architecture", "clip").Set("general.name", "tower")
	return f.Add("v.patch", ggml.F16, 4, 3).Add("v.bias", ggml.F32, 4)
}

func TestOllamaStore(t *testing.T) {
	s := newOllamaDir(t)
	f, bytes, params := reported(t)
	s.add(small, s.gguf("model", f), s.gguf("projector", ollamaProjector()), s.layer("adapter", "", []byte("ggla\x01\x00\x00\x00")),
		s.layer("params", "", []byte(`{"num_ctx":131072,"num_gpu":20,"temperature":0.7,"stop":["<|im_end|>","<|end|>"]}`)),
		s.layer("template", "", []byte("{{ .Prompt }}")), s.layer("license", "", []byte(apache)))
	r, err := resolve("ollama:SMALL:8b")
	if err != nil {
		t.Fatal(err)
	}
	if r.StoredBytes != bytes || r.Model.Count().Total != params || !r.Model.Exact || r.Model.Format != model.FormatGGUF {
		t.Errorf("%d bytes, %d parameters; the engine reported %d and %d", r.StoredBytes, r.Model.Count().Total, bytes, params)
	}
	if r.ResolvedFrom != "ollama" || r.License != "apache-2.0" || !strings.EqualFold(r.Reference, "ollama:small:8b") { // in the letters that the disk finds it by
		t.Errorf("%s from %s, licence %s", r.Reference, r.ResolvedFrom, r.License)
	}
	want := map[string]string{"num_ctx": "131072", "num_gpu": "20", "temperature": "0.7", "stop": `["<|im_end|>","<|end|>"]`}
	for k, v := range want {
		if r.Settings[k] != v {
			t.Errorf("%s is %q, want %q", k, r.Settings[k], v)
		}
	}
	if len(r.Settings) != len(want) || provenance(r, "template") != "13 bytes" {
		t.Errorf("settings %v, template %q", r.Settings, provenance(r, "template"))
	}
	if len(r.Components) != 2 {
		t.Fatalf("components %+v", r.Components)
	}
	p, a := r.Components[0], r.Components[1]
	if p.Kind != "projector" || p.Details["general.name"] != "tower" || p.Parameters != 16 || p.Bytes != 40 || p.ByDType["F16"] != 24 || p.ByDType["F32"] != 16 {
		t.Errorf("projector %+v", p)
	}
	if a.Kind != "adapter" || a.Parameters != 0 || a.Files[0].Bytes != 8 || !slices.ContainsFunc(r.Provenance, func(f model.Fact) bool { return f.Field == "adapter" && strings.HasPrefix(f.From, "not read") }) {
		t.Errorf("adapter %+v", a)
	}
}

// provenance returns the value of the first fact about a field.
func provenance(r *Result, field string) string {
	for _, f := range r.Provenance {
		if f.Field == field {
			return f.Value
		}
	}
	return ""
}

func TestOllamaNames(t *testing.T) {
	s := newOllamaDir(t)
	f, _, _ := reported(t)
	l := s.gguf("model", f)
	for _, name := range []string{"registry.ollama.ai/library/a/latest", "registry.ollama.ai/me/b/v1.5", "hf.co/org/C-GGUF/Q4_K_M", "localhost:5000/team/d/latest"} {
		s.add(name, l, s.layer("license", "", []byte(llama31)))
	}
	for ref, full := range map[string]string{
		"ollama:a": "ollama:a:latest", "ollama:a:latest": "ollama:a:latest", "ollama:library/a": "ollama:a:latest",
		"ollama:registry.ollama.ai/library/a": "ollama:a:latest", "ollama:me/b:v1.5": "ollama:me/b:v1.5",
		"ollama:hf.co/org/C-GGUF:Q4_K_M": "ollama:hf.co/org/C-GGUF:Q4_K_M", "ollama:localhost:5000/team/d": "ollama:localhost:5000/team/d:latest",
		"ollama:https://hf.co/org/C-GGUF:Q4_K_M": "ollama:hf.co/org/C-GGUF:Q4_K_M",
	} {
		r, err := resolve(ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if r.Reference != full || r.License != "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT" {
			t.Errorf("%s: %s, licence %q", ref, r.Reference, r.License)
		}
	}
	for _, ref := range []string{"ollama:", "ollama:../a", "ollama:a/../../b", "ollama:.hidden", "ollama:a:b:c/d", "ollama:a/b/c/d", "ollama:a:", "ollama:a b", "ollama:/etc/passwd", `ollama:..\a`, "ollama:a@sha256:00"} {
		if _, err := resolve(ref); code(err) != model.InvalidArgument {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestOllamaMissing(t *testing.T) {
	s := newOllamaDir(t)
	f, _, _ := reported(t)
	l := s.gguf("model", f)
	s.add("registry.ollama.ai/library/llama3.2/3b", l)
	_, err := resolve("ollama:lama3.2:3b")
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.ModelNotFound || len(e.Candidates) != 1 || e.Candidates[0] != "ollama:llama3.2:3b" || !strings.Contains(e.Hint, "ollama pull lama3.2:3b") {
		t.Errorf("%+v", e)
	}
	if err := os.Remove(s.blob(l.Digest)); err != nil {
		t.Fatal(err)
	}
	_, err = resolve("ollama:llama3.2:3b")
	if !errors.As(err, &e) || e.Code != model.MalformedFile || !strings.Contains(e.Message, l.blobName()) || !strings.Contains(e.Hint, "ollama pull llama3.2:3b") {
		t.Errorf("%+v", e)
	}
	t.Setenv("OLLAMA_MODELS", filepath.Join(s.dir, "none"))
	if _, err := resolve("ollama:a"); code(err) != model.ModelNotFound {
		t.Error(err)
	}
	if models, err := listOllama(t.Context()); len(models) != 0 || err != nil {
		t.Error(models, err)
	}
}

// What a manifest says is not used as a path before it was checked.
func TestOllamaHostile(t *testing.T) {
	s := newOllamaDir(t)
	if err := os.WriteFile(filepath.Join(s.dir, "secret"), []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	zeros := strings.Repeat("0", 64)
	for i, digest := range []string{"../secret", "sha256:../../secret", "sha256-" + strings.Repeat("/", 64), "sha256:" + zeros[:63], "sha256:" + zeros + "0", "sha256:" + zeros[:63] + "g", "sha512:" + zeros, "SHA256:" + zeros, "sha256:" + zeros[:63] + "\x00", ""} {
		s.manifest(small, map[string]any{"layers": []any{map[string]any{"mediaType": ollamaMedia + "model", "digest": digest, "size": 4}}})
		if _, err := resolve("ollama:small:8b"); code(err) != model.MalformedFile {
			t.Errorf("%d %q: %v", i, digest, err)
		}
	}
	for _, content := range []any{
		[]any{}, "text", map[string]any{"layers": "x"}, map[string]any{}, map[string]any{"layers": []any{map[string]any{"digest": "sha256:" + zeros, "size": -1}}},
		map[string]any{"layers": []any{map[string]any{"digest": "sha256:" + zeros, "size": 1 << 60}}}, map[string]any{"config": map[string]any{"digest": "../secret"}},
	} {
		s.manifest(small, content)
		if _, err := resolve("ollama:small:8b"); code(err) != model.MalformedFile {
			t.Errorf("%v: %v", content, err)
		}
	}
	if models, err := listOllama(t.Context()); len(models) != 0 || err != nil {
		t.Error(models, err)
	}
}

// A model of Ollama's cloud has a manifest and no weights.
func TestOllamaCloud(t *testing.T) {
	s := newOllamaDir(t)
	config := s.layer("", "", []byte(`{"remote_host":"https://ollama.com:443","remote_model":"gpt-oss:120b"}`))
	s.manifest("registry.ollama.ai/library/gpt-oss/120b-cloud", map[string]any{"config": config, "layers": []any{}})
	_, err := resolve("ollama:gpt-oss:120b-cloud")
	if code(err) != model.ModelNotFound || !strings.Contains(err.Error(), "https://ollama.com:443") {
		t.Error(err)
	}
}

func TestOllamaList(t *testing.T) {
	s := newOllamaDir(t)
	f, _, _ := reported(t)
	l, p := s.gguf("model", f), s.gguf("projector", ollamaProjector())
	s.add(small, l, p, s.layer("license", "", []byte(apache)))
	s.add("registry.ollama.ai/me/mine/latest", l)
	if err := os.WriteFile(filepath.Join(s.dir, "manifests", "registry.ollama.ai", ".DS_Store"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	models, err := listOllama(t.Context())
	if err != nil || len(models) != 2 {
		t.Fatal(models, err)
	}
	for i, want := range []Listing{{Ref: "ollama:small:8b", Bytes: l.Size + p.Size}, {Ref: "ollama:me/mine:latest", Bytes: l.Size}} {
		if got := models[i]; got.Ref != want.Ref || got.Bytes != want.Bytes || got.Source != "ollama" || got.Modified.IsZero() {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestOllamaLicense(t *testing.T) {
	const grant = "Copyright (c) 2025 Somebody\n\nPermission is hereby granted, free of charge, to any person obtaining\na copy"
	for text, want := range map[string]string{
		apache: "apache-2.0", "MIT License\n\n" + grant: "mit", grant: "mit", "Modified MIT License\n\n" + grant: "",
		"                    GNU GENERAL PUBLIC LICENSE\n                       Version 3, 29 June 2007\n": "gpl-3.0",
		"                    GNU GENERAL PUBLIC LICENSE\n                       Version 2, June 1991\n":    "",
		"Attribution-NonCommercial 4.0 International\n":                                                    "cc-by-nc-4.0", "Attribution-NonCommercial-ShareAlike 4.0 International\n": "", llama31: "", "": "",
	} {
		if got := spdx(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := firstLine("\n \u202e\n Terms\tof use \nmore"); got != "Terms of use" {
		t.Errorf("first line %q", got)
	}
}

func FuzzOllamaName(f *testing.F) {
	for _, s := range []string{"a", "a:b", "ns/a:b", "host:80/ns/a:b", "https://h/n/m", "../..", "a/b/c/d", ":", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := parseOllama(s)
		if !ok {
			return
		}
		path := filepath.ToSlash(ollamaStore{"/store"}.manifestPath(n))
		if strings.Count(path, "/") != 6 || strings.Contains(path, "/.") {
			t.Errorf("%q leads to %s", s, path)
		}
		if back, ok := parseOllama(n.String()); !ok || !back.same(n) {
			t.Errorf("%q is %s, which is %s", s, n, back)
		}
	})
}

func FuzzOllamaManifest(f *testing.F) {
	f.Add([]byte(`{"config":{"digest":"sha256:00"},"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:` + strings.Repeat("a", 64) + `","size":5}]}`))
	f.Add([]byte(`{"layers":[{"size":-1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseManifest(raw)
		if err != nil {
			if code(err) != model.MalformedFile {
				t.Errorf("%v", err)
			}
			return
		}
		if m.weightBytes() < 0 {
			t.Error("negative size")
		}
		for _, l := range m.Layers {
			if n := l.blobName(); len(n) != 71 || filepath.Base(n) != n {
				t.Errorf("blob %q", n)
			}
		}
	})
}
