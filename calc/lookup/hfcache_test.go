package lookup

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"hwledger/calc/model"
	"hwledger/internal/ggufgen"
)

// hubCache is a cache as the Hub's own libraries write it: blobs by their
// hash, a snapshot of links to them, and the commit that a branch means.
type hubCache struct{ dir string }

func newHubCache(t *testing.T) hubCache {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HF_HUB_CACHE", dir)
	return hubCache{dir}
}

func (c hubCache) repo(id string) string {
	return filepath.Join(c.dir, "models--"+filepath.Dir(id)+"--"+filepath.Base(id))
}

func (c hubCache) add(t *testing.T, id, name string, content []byte) {
	t.Helper()
	snapshot := filepath.Join(c.repo(id), "snapshots", commit)
	blob := filepath.Join(c.repo(id), "blobs", "b"+filepath.Base(name))
	link := filepath.Join(snapshot, filepath.FromSlash(name))
	for _, dir := range []string{filepath.Dir(blob), filepath.Dir(link), filepath.Join(c.repo(id), "refs")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	target, err := filepath.Rel(filepath.Dir(link), blob)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blob, content, 0o644); err != nil {
		t.Fatal(err)
	}
	err = os.Symlink(target, link)
	if runtime.GOOS == "windows" { // where the Hub's library copies, without the right to make links
		_ = os.Remove(link) // there may be one
		err = os.WriteFile(link, content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.repo(id), "refs", "main"), []byte(commit), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestHubCache: what the cache has is not asked of anybody else, and what it
// lacks is.
func TestHubCache(t *testing.T) {
	s := &standIn{files: map[string][]byte{"config.json": published(t, "meta-llama/Llama-3.1-8B").Config}}
	s.start(t)
	c := newHubCache(t)
	f, err := ggufgen.Build([]byte(`{"name":"tiny","arch":"llama","L":2,"d":64,"ff":128,"h":4,"kv":2,"vocab":1000,"ctx":2048}`))
	if err != nil {
		t.Fatal(err)
	}
	c.add(t, "Qwen/Qwen3-8B", "config.json", published(t, "Qwen/Qwen3-8B").Config)
	c.add(t, "org/quants", "sub/tiny-Q8_0.gguf", f.Header())
	c.add(t, "org/quants", "tiny-Q4_0.gguf", f.Header())
	c.add(t, "org/name", "tokenizer.json", []byte("{}")) // not what describes it

	for _, x := range []struct {
		ref, from string
		layers    int
	}{
		{"Qwen/Qwen3-8B", "hf-cache", 36},
		{"hf:Qwen/Qwen3-8B@" + commit, "hf-cache", 36},
		{"org/quants:Q8_0", "hf-cache", 2},
		{"org/quants/tiny-Q4_0.gguf", "hf-cache", 2},
		{"org/name", "hub", 32},
		{"Qwen/Qwen3-4B", "catalog", 36}, // the Hub says that there is no such repository
	} {
		r, err := Resolve(context.Background(), Request{Ref: x.ref})
		if err != nil {
			t.Errorf("%s: %v", x.ref, err)
		} else if r.ResolvedFrom != x.from || len(r.Model.Layers) != x.layers {
			t.Errorf("%s: %d layers from %s, want %d from %s", x.ref, len(r.Model.Layers), r.ResolvedFrom, x.layers, x.from)
		}
	}
	if _, err := Resolve(context.Background(), Request{Ref: "org/quants:Q2_K", Offline: true}); code(err) != model.ModelNotFound {
		t.Errorf("a quantization that is not there: %v", err)
	}

	got := map[string]bool{}
	for _, l := range List(context.Background()) {
		for _, m := range l.Models {
			got[m.Source+" "+m.Ref] = m.Bytes >= 0
		}
	}
	for _, want := range []string{"hf-cache hf:Qwen/Qwen3-8B", "hf-cache hf:org/quants/sub/tiny-Q8_0.gguf", "hf-cache hf:org/quants/tiny-Q4_0.gguf"} {
		if !got[want] {
			t.Errorf("%s is not listed: %v", want, got)
		}
	}
}

// TestHubCacheDamaged: refs and snapshots that are not what the libraries
// write do not count.
func TestHubCacheDamaged(t *testing.T) {
	c := newHubCache(t)
	c.add(t, "org/name", "config.json", []byte("{}"))
	for _, ref := range []string{"../../../../etc", "0123", ""} {
		if err := os.WriteFile(filepath.Join(c.repo("org/name"), "refs", "main"), []byte(ref), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := fromHubCache(context.Background(), "org/name", Request{}); code(err) != model.ModelNotFound {
			t.Errorf("ref %q: %v", ref, err)
		}
	}
	if got, err := listHubCache(context.Background()); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}
