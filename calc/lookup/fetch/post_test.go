package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hwledger/calc/model"
)

func TestPost(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/echo":
			if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s with %s", r.Method, r.Header.Get("Content-Type"))
			}
			_, _ = w.Write(b)
		case "/long":
			_, _ = io.WriteString(w, strings.Repeat("x", 101))
		case "/stall":
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "/away":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer s.Close()
	c := New(Options{Trusted: []string{s.URL}, Attempts: 1, Timeout: 200 * time.Millisecond})
	b, err := c.Post(context.Background(), s.URL+"/echo", []byte(`{"model":"a"}`), 100)
	if err != nil || string(b) != `{"model":"a"}` {
		t.Fatalf("%q, %v", b, err)
	}
	for path, want := range map[string]model.Code{"/long": model.MalformedFile, "/stall": model.Offline, "/none": model.ModelNotFound, "/away": model.Denied} {
		_, err := c.Post(context.Background(), s.URL+path, nil, 100)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if _, err := c.Post(context.Background(), "ftp://host/", nil, 100); err == nil {
		t.Error("another scheme was accepted")
	}
}

// A server that is not there is told from one that refuses.
func TestPostUnreached(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	gone := s.URL
	s.Close()
	_, err := New(Options{Trusted: []string{gone}}).Post(context.Background(), gone, nil, 100)
	if !Unreached(err) {
		t.Errorf("%v is not a server that cannot be reached", err)
	}
}
