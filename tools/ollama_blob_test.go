package tools

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
)

// ollamaModel writes a model of GGUF files into a store as Ollama keeps it, and
// returns their paths.
func ollamaModel(t *testing.T, store, name string, files ...*ggufgen.File) []string {
	t.Helper()
	write := func(path string, content []byte) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var layers []map[string]any
	var paths []string
	for _, f := range files {
		content := append(f.Header(), make([]byte, f.DataBytes())...)
		sum := fmt.Sprintf("%x", sha256.Sum256(content))
		path := filepath.Join(store, "blobs", "sha256-"+sum)
		write(path, content)
		paths = append(paths, path)
		layers = append(layers, map[string]any{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + sum, "size": len(content)})
	}
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "layers": layers})
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(store, "manifests", "registry.ollama.ai", "library", name, "latest"), manifest)
	return paths
}

// codeOf is the code of an error, "" of one without.
func codeOf(err error) model.Code {
	var e *model.Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Code
}

// A model of Ollama's store is a file that llama-server opens, when the store
// is one that the server may load from and the file is of a form that it knows.
func TestOllamaBlob(t *testing.T) {
	store := t.TempDir()
	t.Setenv("OLLAMA_MODELS", store)
	t.Setenv("OLLAMA_HOST", "http://127.0.0.1:1")
	built := func() *ggufgen.File {
		f, err := ggufgen.Build([]byte(`{"name":"tiny","arch":"llama","L":2,"d":64,"ff":128,"h":4,"kv":2,"vocab":286,"ctx":2048}`))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	plain := ollamaModel(t, store, "plain", built())
	ollamaModel(t, store, "sees", built().Add("v.patch_embd.weight", ggml.F32, 8, 8))
	ollamaModel(t, store, "parts", built().Split(2)...)
	projector := &ggufgen.File{}
	projector.Set("general.architecture", "clip").Set("general.name", "tower").Add("v.patch_embd.weight", ggml.F32, 8, 8)
	ollamaModel(t, store, "tower", projector)

	inside, outside := &Sidecars{Roots: []string{t.TempDir(), store}}, &Sidecars{Roots: []string{t.TempDir()}}
	for _, c := range []struct {
		model, engine string
		s             *Sidecars
		want          string // a path, or a part of the error
		code          model.Code
	}{
		{"ollama:plain", "llama.cpp", inside, plain[0], ""},
		{"ollama:PLAIN:latest", "llama.cpp", inside, plain[0], ""},
		{"ollama:plain", "ollama", outside, "plain", ""},
		{"ollama:plain", "llama.cpp", outside, "outside the folders", model.Denied},
		{"ollama:plain", "vllm", inside, "vllm does not open", model.InvalidArgument},
		{"ollama:sees", "llama.cpp", inside, "encoder of images", model.InvalidArgument},
		{"ollama:parts", "llama.cpp", inside, "in parts", model.InvalidArgument},
		{"ollama:tower", "llama.cpp", inside, "no language model", model.InvalidArgument},
	} {
		found, err := lookup.Resolve(t.Context(), lookup.Request{Ref: c.model, Offline: true})
		if err != nil {
			t.Errorf("%s: %v", c.model, err)
			continue
		}
		got, err := c.s.source(c.model, found, c.engine, true)
		if c.code == "" && (err != nil || got != c.want) {
			t.Errorf("%s for %s: %v: %q, want %q", c.model, c.engine, err, got, c.want)
		}
		if c.code != "" && (codeOf(err) != c.code || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s for %s: %v: %q, want %s with %q", c.model, c.engine, err, got, c.code, c.want)
		}
	}
	// What only the daemon tells of has no file here.
	told := &lookup.Result{Reference: "ollama:far:latest", Model: &model.Model{Format: model.FormatGGUF}, Files: []lookup.File{{Path: "sha256-1", Role: "weights"}}}
	if _, err := inside.source("ollama:far", told, "llama.cpp", true); codeOf(err) != model.NotReady {
		t.Errorf("%v", err)
	}
}
