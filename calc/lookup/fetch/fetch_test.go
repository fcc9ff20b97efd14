package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hwledger/calc/model"
)

// client trusts the test server, as an operator who set HF_ENDPOINT does.
func client(t *testing.T, base string) *Client {
	t.Helper()
	return New(Options{Trusted: []string{base}, Tokens: map[string]string{base: "secret"}, Backoff: time.Millisecond, Timeout: 5 * time.Second})
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func code(err error) model.Code {
	var e *model.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestGet(t *testing.T) {
	var calls atomic.Int64
	base := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		switch r.URL.Path {
		case "/busy":
			if n < 3 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			_, _ = io.WriteString(w, "at last")
		case "/etag":
			w.Header().Set("ETag", `"v1"`)
			if r.Header.Get("If-None-Match") == `"v1"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = io.WriteString(w, "body")
		case "/private":
			w.WriteHeader(http.StatusForbidden)
		case "/gone":
			w.WriteHeader(http.StatusNotFound)
		case "/large":
			_, _ = w.Write(make([]byte, 2000))
		case "/down":
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	c := client(t, base)
	ctx := context.Background()

	if r, err := c.Get(ctx, base+"/busy", 100, ""); err != nil || string(r.Body) != "at last" || calls.Load() != 3 {
		t.Errorf("429 twice, then an answer: %v after %d calls", err, calls.Load())
	}
	r, err := c.Get(ctx, base+"/etag", 100, "")
	if err != nil || r.ETag != `"v1"` {
		t.Fatalf("%+v %v", r, err)
	}
	if r, err = c.Get(ctx, base+"/etag", 100, r.ETag); err != nil || !r.NotModified || r.Body != nil {
		t.Errorf("revalidated: %+v %v", r, err)
	}
	for path, want := range map[string]model.Code{
		"/private": model.Denied, "/gone": model.ModelNotFound, "/large": model.MalformedFile, "/down": model.Offline,
	} {
		if _, err := c.Get(ctx, base+path, 1000, ""); code(err) != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

// TestToken: the token goes to the endpoint it belongs to and nowhere else.
func TestToken(t *testing.T) {
	var leaked atomic.Value
	cdn := serve(t, func(_ http.ResponseWriter, r *http.Request) { leaked.Store(r.Header.Get("Authorization")) })
	var sent atomic.Value
	hub := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent.Store(r.Header.Get("Authorization"))
		http.Redirect(w, r, cdn+"/blob", http.StatusFound)
	})
	c := New(Options{Trusted: []string{hub, cdn}, Tokens: map[string]string{hub: "secret"}, Backoff: time.Millisecond})
	if _, err := c.Get(context.Background(), hub+"/x", 10, ""); err != nil {
		t.Fatal(err)
	}
	if sent.Load() != "Bearer secret" || leaked.Load() != "" {
		t.Errorf("endpoint got %q, the CDN %q", sent.Load(), leaked.Load())
	}
}

// TestPrivateAddresses are refused unless configured, by number and by name,
// and after a redirect.
func TestPrivateAddresses(t *testing.T) {
	inside := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") })
	port := inside[strings.LastIndex(inside, ":"):]
	stranger := New(Options{Backoff: time.Millisecond})
	for _, address := range []string{inside, "http://localhost" + port, "http://[::1]" + port, "http://[::ffff:127.0.0.1]" + port, "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://0.0.0.0" + port} {
		if r, err := stranger.Get(context.Background(), address, 100, ""); code(err) != model.Denied {
			t.Errorf("%s: %+v %v", address, r, err)
		}
	}
	hub := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inside, http.StatusFound) })
	if r, err := client(t, hub).Get(context.Background(), hub, 100, ""); code(err) != model.Denied {
		t.Errorf("redirected inside: %+v %v", r, err)
	}
	for _, address := range []string{"file:///etc/passwd", "ftp://example.com/x", "gopher://x", "http://", "http://user:pass@example.com/"} {
		if _, err := stranger.Get(context.Background(), address, 100, ""); code(err) != model.InvalidArgument {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// content is a file whose bytes tell their offset.
var content = func() []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 1<<20; i++ {
		fmt.Fprintf(&b, "%08d", i)
	}
	return b.Bytes()
}()

// TestPrefix reads a file in growing pieces from servers of every kind.
func TestPrefix(t *testing.T) {
	type server struct {
		name  string
		limit int64 // bytes the test may send in all
		h     func(sent *atomic.Int64) http.HandlerFunc
	}
	counted := func(sent *atomic.Int64, w http.ResponseWriter) http.ResponseWriter { return &counter{w, sent} }
	ranged := func(sent *atomic.Int64) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"c"`)
			http.ServeContent(counted(sent, w), r, "", time.Time{}, bytes.NewReader(content))
		}
	}
	for _, s := range []server{
		{"ranges", 300000, ranged},
		{"no ranges", 1 << 30, func(sent *atomic.Int64) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { _, _ = counted(sent, w).Write(content) }
		}},
		{"breaks off", 1 << 30, func(sent *atomic.Int64) http.HandlerFunc {
			var n atomic.Int64
			inner := ranged(sent)
			return func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1)%2 == 1 {
					w = &broken{ResponseWriter: w, left: 5000}
				}
				inner(w, r)
			}
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			var sent atomic.Int64
			base := serve(t, s.h(&sent))
			p := client(t, base).Prefix(base, 1<<20)
			for _, n := range []int64{1000, 70000, 300000} {
				if err := p.Grow(context.Background(), n); err != nil {
					t.Fatal(err)
				}
				if int64(len(p.Bytes())) < n || !bytes.Equal(p.Bytes(), content[:len(p.Bytes())]) {
					t.Fatalf("%d bytes asked for, %d there, equal: %v", n, len(p.Bytes()), bytes.Equal(p.Bytes(), content[:len(p.Bytes())]))
				}
			}
			if sent.Load() > s.limit {
				t.Errorf("%d bytes were sent for 300000", sent.Load())
			}
		})
	}
	t.Run("end of file", func(t *testing.T) {
		base := serve(t, ranged(new(atomic.Int64)))
		p := client(t, base).Prefix(base, 4<<20)
		if err := p.Grow(context.Background(), 2<<20); err != nil || len(p.Bytes()) != len(content) || p.Size() != int64(len(content)) {
			t.Errorf("%v: %d of %d bytes", err, len(p.Bytes()), len(content))
		}
		if err := p.Grow(context.Background(), 3<<20); err != io.EOF {
			t.Errorf("beyond the end: %v", err)
		}
	})
	t.Run("limit", func(t *testing.T) {
		base := serve(t, ranged(new(atomic.Int64)))
		if err := client(t, base).Prefix(base, 1000).Grow(context.Background(), 1001); code(err) != model.MalformedFile {
			t.Error(err)
		}
	})
}

// TestCancel stops a request whose server never answers.
func TestCancel(t *testing.T) {
	began, over := make(chan struct{}), make(chan struct{})
	base := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(over)
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-began; cancel() }()
	if _, err := client(t, base).Get(ctx, base, 10, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-over
}

type counter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.ResponseWriter.Write(b)
}

// broken drops the connection after left bytes.
type broken struct {
	http.ResponseWriter
	left int
}

func (b *broken) Write(p []byte) (int, error) {
	if len(p) > b.left {
		_, _ = b.ResponseWriter.Write(p[:b.left])
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-99/1000")
	f.Add("bytes 5-9/*")
	f.Add("bytes -1-/")
	f.Fuzz(func(t *testing.T, v string) {
		from, size, err := contentRange(v)
		if err == nil && (from < 0 || size >= 0 && size < from) {
			t.Errorf("%q: %d/%d", v, from, size)
		}
	})
}

// TestQuickRemembers: a server that does not answer is not waited for again by
// a caller that has another answer; one that must have it still asks.
func TestQuickRemembers(t *testing.T) {
	var asked atomic.Int64
	var up atomic.Bool
	base := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1); !up.Load() {
			panic(http.ErrAbortHandler)
		}
	})
	c := client(t, base)
	quick := Quick(context.Background())
	for range 3 {
		if _, err := c.Get(quick, base, 10, ""); !Unreached(err) {
			t.Fatal(err)
		}
	}
	// net/http itself repeats a request whose connection broke at once.
	if n := asked.Load(); n > 2 {
		t.Errorf("asked %d times", n)
	}
	up.Store(true)
	if _, err := c.Get(context.Background(), base, 10, ""); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(quick, base, 10, ""); err != nil {
		t.Errorf("after it answered: %v", err)
	}
}
