package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hwledger/calc/lookup/catalog"
	"hwledger/calc/lookup/fetch"
	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
	"hwledger/internal/ggufgen"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// standIn follows the Hub's API for one repository: its description, files at
// a commit with ranges, and a redirect of large files to another host.
type standIn struct {
	files map[string][]byte
	sent  atomic.Int64
	token string
}

func (s *standIn) start(t *testing.T) {
	t.Helper()
	cdn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to the CDN")
		}
		s.serve(w, r, strings.TrimPrefix(r.URL.Path, "/blob/"))
	}))
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, isFile := strings.CutPrefix(r.URL.Path, "/org/name/resolve/"+commit+"/")
		switch {
		case s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token:
			w.Header().Set("X-Error-Code", "GatedRepo")
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/api/models/org/name/revision/main":
			var siblings []map[string]string
			for n := range s.files {
				siblings = append(siblings, map[string]string{"rfilename": n})
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"id": "org/name", "sha": commit, "siblings": siblings, "cardData": map[string]any{"license": "apache-2.0"}})
		case isFile && strings.HasSuffix(name, ".gguf"):
			http.Redirect(w, r, cdn.URL+"/blob/"+name, http.StatusFound)
		case isFile:
			s.serve(w, r, name)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(hub.Close)
	t.Cleanup(cdn.Close)
	t.Setenv("HF_HUB_OFFLINE", "0")
	t.Setenv("HF_ENDPOINT", hub.URL)
	t.Setenv("HF_TOKEN", "hf_secret")
	old := client
	client = sync.OnceValue(func() *fetch.Client {
		return fetch.New(fetch.Options{Trusted: []string{hub.URL, cdn.URL}, Tokens: map[string]string{hub.URL: token()}, Backoff: time.Millisecond})
	})
	t.Cleanup(func() { client = old })
}

func (s *standIn) serve(w http.ResponseWriter, r *http.Request, name string) {
	b, ok := s.files[name]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("ETag", `"`+name+`"`)
	http.ServeContent(countingWriter{w, &s.sent}, r, "", time.Time{}, bytes.NewReader(b))
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c countingWriter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.ResponseWriter.Write(b)
}

// TestHubRepository: a repository with a configuration alone gives the exact
// count of the catalogue's model.
func TestHubRepository(t *testing.T) {
	e, ok, err := catalog.Find("meta-llama/Llama-3.1-8B")
	if err != nil || !ok {
		t.Fatal(err)
	}
	s := &standIn{files: map[string][]byte{"config.json": e.Config}}
	s.start(t)
	r, err := Resolve(context.Background(), Request{Ref: "org/name"})
	if err != nil {
		t.Fatal(err)
	}
	// The published count of Llama-3.1-8B.
	if got := r.Model.Count().Total; got != 8_030_261_248 || r.ResolvedFrom != "hub" || r.License != "apache-2.0" {
		t.Errorf("%d parameters from %s, licence %q", got, r.ResolvedFrom, r.License)
	}
}

// TestHubGGUF: the file is found by quantization or path, or by its address,
// and only its header is fetched.
func TestHubGGUF(t *testing.T) {
	// A header of several windows: 2.4 MB of merges.
	f, err := ggufgen.Build([]byte(`{"name":"tiny","arch":"llama","L":2,"d":64,"ff":128,"h":4,"kv":2,"vocab":1000,"ctx":2048}`))
	if err != nil {
		t.Fatal(err)
	}
	head := f.Set("tokenizer.ggml.merges", make([]string, 300_000)).Header()
	whole := append(bytes.Clone(head), make([]byte, 64<<20)...)
	s := &standIn{files: map[string][]byte{"model-Q4_K_M.gguf": whole, "model-Q8_0.gguf": whole, "mmproj-F16.gguf": append(projectorFile(ggml.F16).Header(), make([]byte, 64<<10)...)}}
	s.start(t)
	for _, ref := range []string{"org/name:Q4_K_M", "hf:org/name:q4_k_m", "org/name/model-Q8_0.gguf"} {
		s.sent.Store(0)
		r, err := Resolve(context.Background(), Request{Ref: ref})
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		if len(r.Components) != 1 || r.Components[0].Kind != KindProjector || !r.Components[0].Chosen {
			t.Errorf("%s: components %+v", ref, r.Components)
		}
		if r.Model.Arch != "llama" || len(r.Model.Layers) != 2 {
			t.Errorf("%s: %s with %d layers", ref, r.Model.Arch, len(r.Model.Layers))
		}
		if sent := s.sent.Load(); sent < int64(len(head)) || sent > int64(len(head))+(6<<20) {
			t.Errorf("%s: %d bytes sent for a header of %d", ref, sent, len(head))
		}
	}
	_, err = Resolve(context.Background(), Request{Ref: "org/name:Q2_K"})
	e, ok := err.(*model.Error)
	if !ok || e.Code != model.InvalidArgument || len(e.Candidates) != 2 {
		t.Errorf("a quantization that is not there: %v", err)
	}
}

// TestHubRefusals: what the Hub denies is said without the token.
func TestHubRefusals(t *testing.T) {
	s := &standIn{files: map[string][]byte{}, token: "another"}
	s.start(t)
	_, err := Resolve(context.Background(), Request{Ref: "org/name"})
	if code(err) != model.Denied || strings.Contains(err.Error(), "hf_secret") {
		t.Errorf("gated: %v", err)
	}
	if _, err := Resolve(context.Background(), Request{Ref: "org/name", Offline: true}); code(err) != model.ModelNotFound {
		t.Errorf("offline: %v", err)
	}
	if _, err := Resolve(context.Background(), Request{Ref: "https://example.com/x.gguf", Offline: true}); code(err) != model.Offline {
		t.Errorf("offline address: %v", err)
	}
}

func TestParseHub(t *testing.T) {
	for ref, want := range map[string]hubRef{
		"org/name":                {id: "org/name", revision: "main", whole: true},
		"hf:org/name@v1.0":        {id: "org/name", revision: "v1.0", whole: true},
		"org/name:Q4_K_M":         {id: "org/name", revision: "main", quant: "Q4_K_M"},
		"hf:org/name/a/b.gguf":    {id: "org/name", revision: "main", file: "a/b.gguf"},
		"org/name@refs/pr/1":      {id: "org/name", revision: "refs/pr/1", whole: true},
		"org/../x.gguf":           {},
		"hf:org/name/../../etc":   {},
		"/org/name":               {},
		"./org/name":              {},
		"name":                    {},
		"catalog:org/name":        {},
		"hf:org/name/x/../y.gguf": {},
		"org/na me":               {},
	} {
		got, ok := parseHub(ref)
		if ok != (want != hubRef{}) || ok && got != want {
			t.Errorf("%q: %+v %v, want %+v", ref, got, ok, want)
		}
	}
}

func TestMain(m *testing.M) {
	os.Setenv("HF_HUB_OFFLINE", "1") // tests that need a server start their own
	os.Exit(m.Run())
}
