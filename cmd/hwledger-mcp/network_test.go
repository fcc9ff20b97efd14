package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"hwledger/internal/ggufgen"
)

// hub serves one repository with a GGUF in parts, as the Hub does; hold is
// called for each request for a part.
func hub(t *testing.T, parts int, hold func(r *http.Request)) string {
	t.Helper()
	f, err := ggufgen.Build([]byte(`{"name":"tiny","arch":"llama","L":2,"d":64,"ff":128,"h":4,"kv":2,"vocab":1000,"ctx":2048}`))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	var names []string
	for i, p := range f.Split(parts) {
		name := fmt.Sprintf("tiny-%05d-of-%05d.gguf", i+1, parts)
		files[name] = append(p.Header(), make([]byte, p.DataBytes())...)
		names = append(names, fmt.Sprintf(`{"rfilename":%q}`, name))
	}
	const commit = "0123456789abcdef0123456789abcdef01234567"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/models/org/name/revision/main" {
			fmt.Fprintf(w, `{"id":"org/name","sha":%q,"siblings":[%s]}`, commit, strings.Join(names, ","))
			return
		}
		b, ok := files[strings.TrimPrefix(r.URL.Path, "/org/name/resolve/"+commit+"/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		hold(r)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// online starts a server that asks the hub at address.
func online(t *testing.T, address string) *session {
	t.Helper()
	dir := t.TempDir()
	s := startWith(t, append(os.Environ(), "HF_HUB_OFFLINE=0", "HF_ENDPOINT="+address, "HF_HOME="+dir, "HWLEDGER_HOME="+dir))
	s.send(hello)
	s.receive()
	s.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n")
	return s
}

const lookupTiny = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"lookup_model","arguments":{"model":"org/name"},"_meta":{"progressToken":"p1"}}}` + "\n"

// A client that asks for progress hears of each file, rising, before the
// answer.
func TestLookupReportsProgress(t *testing.T) {
	s := online(t, hub(t, 5, func(*http.Request) {}))
	s.send(lookupTiny)
	var last float64
	for {
		line, err := s.out.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			ID     json.RawMessage
			Method string
			Params struct {
				ProgressToken   string
				Progress, Total float64
			}
			Result json.RawMessage
		}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if m.ID != nil {
			if !bytes.Contains(m.Result, []byte(`"resolved_from":"hub"`)) {
				t.Errorf("%.300s", m.Result)
			}
			break
		}
		if m.Method != "notifications/progress" || m.Params.ProgressToken != "p1" || m.Params.Progress <= last || m.Params.Total != 5 {
			t.Errorf("after %v: %s", last, line)
		}
		last = m.Params.Progress
	}
	if last != 5 {
		t.Errorf("the last progress is %v of 5", last)
	}
	s.end()
}

// A cancelled lookup ends its requests.
func TestCancelledLookupStopsItsRequests(t *testing.T) {
	began, over := make(chan struct{}, 8), make(chan struct{}, 8)
	s := online(t, hub(t, 1, func(r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
		over <- struct{}{}
	}))
	s.send(lookupTiny)
	<-began
	s.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}` + "\n")
	<-over
	s.send(`{"jsonrpc":"2.0","id":2,"method":"ping"}` + "\n")
	if m := s.receive(); string(m.ID) != "2" {
		t.Errorf("an answer to %s", m.ID)
	}
	s.end()
}
