package lookup

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hwledger/calc/lookup/fetch"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// standIn follows the Hub for one repository: the API's description with an
// ETag, small files behind a redirect on the same host, large ones behind a
// signed redirect to a CDN with ranges, and its way to say what it refuses.
type standIn struct {
	id    string // org/name when empty
	files map[string][]byte
	// sizes are those of files that go on with zeros after what files has.
	sizes   map[string]int64
	license string
	token   string // what reads need when it is set
	gated   bool   // files are refused, the description is not
	dead    atomic.Bool
	// cut breaks the bodies of files off after so many bytes when positive.
	cut atomic.Int64
	// hold, when set, is called for each request for a weight file.
	hold func()

	sent     atomic.Int64 // bytes of files
	requests atomic.Int64 // for files
	asked    atomic.Int64 // for descriptions
	current  atomic.Int64 // descriptions that had not changed

	hub, cdn *httptest.Server
}

func (s *standIn) start(t testing.TB) {
	t.Helper()
	if s.id == "" {
		s.id = "org/name"
	}
	s.cdn = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "":
			t.Error("the token went to the CDN")
		case r.URL.Query().Get("Signature") != "s3cr3t":
			w.WriteHeader(http.StatusForbidden)
		default:
			s.serve(w, r, strings.TrimPrefix(r.URL.Path, "/blob/"))
		}
	}))
	s.hub = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.hub.Close)
	t.Cleanup(s.cdn.Close)
	t.Setenv("HF_HUB_OFFLINE", "0")
	t.Setenv("HF_ENDPOINT", s.hub.URL)
	t.Setenv("HF_TOKEN", "hf_secret")
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HWLEDGER_HOME", t.TempDir())
	old := client
	client = sync.OnceValue(func() *fetch.Client {
		return fetch.New(fetch.Options{Trusted: []string{s.hub.URL, s.cdn.URL}, Tokens: map[string]string{s.hub.URL: token()}, Backoff: time.Millisecond})
	})
	t.Cleanup(func() { client = old })
}

func (s *standIn) answer(w http.ResponseWriter, r *http.Request) {
	small := "/api/resolve-cache/models/" + s.id + "/" + commit + "/"
	name, isFile := strings.CutPrefix(r.URL.Path, "/"+s.id+"/resolve/"+commit+"/")
	cached, isSmall := strings.CutPrefix(r.URL.Path, small)
	allowed := s.token == "" || r.Header.Get("Authorization") == "Bearer "+s.token
	switch {
	case s.dead.Load():
		panic(http.ErrAbortHandler)
	case !allowed && !s.gated, !allowed && isFile:
		w.Header().Set("X-Error-Code", "GatedRepo")
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/api/models/"+s.id+"/revision/main":
		s.describe(w, r)
	case strings.HasPrefix(r.URL.Path, "/api/models/"+s.id+"/revision/"):
		w.Header().Set("X-Error-Code", "RevisionNotFound")
		w.WriteHeader(http.StatusNotFound)
	case strings.HasPrefix(r.URL.Path, "/api/models/"):
		w.Header().Set("X-Error-Code", "RepoNotFound")
		w.WriteHeader(http.StatusUnauthorized)
	case isFile && (strings.HasSuffix(name, ".gguf") || strings.HasSuffix(name, ".safetensors")):
		w.Header().Set("X-Repo-Commit", commit)
		w.Header().Set("X-Linked-Size", fmt.Sprint(len(s.files[name])))
		http.Redirect(w, r, s.cdn.URL+"/blob/"+name+"?Signature=s3cr3t", http.StatusFound)
	case isFile:
		w.Header().Set("X-Repo-Commit", commit)
		http.Redirect(w, r, small+name, http.StatusTemporaryRedirect)
	case isSmall:
		s.serve(w, r, cached)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *standIn) describe(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	siblings := []map[string]string{}
	for n := range s.files {
		siblings = append(siblings, map[string]string{"rfilename": n})
	}
	tags := []string{"text-generation"}
	if s.license != "" {
		tags = append(tags, "license:"+s.license)
	}
	b, _ := json.Marshal(map[string]any{"_id": "65a", "id": s.id, "modelId": s.id, "sha": commit, "private": false, "gated": s.gated,
		"tags": tags, "siblings": siblings, "cardData": map[string]any{"license": s.license}, "downloads": 10})
	etag := fmt.Sprintf(`W/"%x"`, sha256.Sum256(fmt.Append(nil, len(siblings), tags)))
	w.Header().Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		s.current.Add(1)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(b)
}

func (s *standIn) serve(w http.ResponseWriter, r *http.Request, name string) {
	b, ok := s.files[name]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.requests.Add(1)
	if s.hold != nil {
		s.hold()
	}
	w.Header().Set("ETag", `"`+name+`"`)
	content := io.NewSectionReader(padded(b), 0, max(int64(len(b)), s.sizes[name]))
	http.ServeContent(&body{w, s, s.cut.Load()}, r, "", time.Time{}, content)
}

// padded is content that zeros follow.
type padded []byte

func (b padded) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(b)) {
		n = copy(p, b[off:])
	}
	clear(p[n:])
	return len(p), nil
}

// body counts what is sent, and breaks off where it is told to.
type body struct {
	http.ResponseWriter
	s   *standIn
	cut int64
}

func (b *body) Write(p []byte) (int, error) {
	if b.cut > 0 && int64(len(p)) > b.cut {
		_, _ = b.ResponseWriter.Write(p[:b.cut])
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	b.s.sent.Add(int64(len(p)))
	return b.ResponseWriter.Write(p)
}
