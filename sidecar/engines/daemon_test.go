package engines_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hwledger/sidecar"
	"hwledger/sidecar/engines"
)

// ollama is a stand-in for Ollama's daemon, by what a real one answered
// (sidecar/ollama_test.go asks that).
type ollama struct {
	mu     sync.Mutex
	loaded map[string]int64 // contexts
	loads  int
}

func (o *ollama) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch r.URL.Path {
	case "/api/version":
		fmt.Fprint(w, `{"version":"0.12.3"}`)
	case "/api/ps":
		var models []string
		for name, ctx := range o.loaded {
			models = append(models, fmt.Sprintf(`{"name":%q,"model":%q,"size":6654289920,"digest":"a2af","details":{"format":"gguf"},"expires_at":"2318-06-04T14:38:31Z","size_vram":5454289920,"context_length":%d}`, name, name, ctx))
		}
		fmt.Fprintf(w, `{"models":[%s]}`, strings.Join(models, ","))
	case "/api/generate":
		var q struct {
			Model, Prompt string
			KeepAlive     *int `json:"keep_alive"`
			Options       struct {
				NumCtx int64 `json:"num_ctx"`
			}
		}
		if json.NewDecoder(r.Body).Decode(&q) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		unload := q.KeepAlive != nil && *q.KeepAlive == 0
		if held, there := o.loaded[q.Model]; q.Model != "absent" && !unload && (!there || held != q.Options.NumCtx) {
			o.loaded[q.Model] = q.Options.NumCtx
			o.loads++
		}
		switch {
		case q.Model == "absent":
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":"model 'absent' not found"}`)
		case unload:
			delete(o.loaded, q.Model)
			fmt.Fprintf(w, `{"model":%q,"response":"","done":true,"done_reason":"unload"}`, q.Model)
		case q.Prompt != "":
			fmt.Fprintf(w, `{"model":%q,"response":"yes","done":false}`+"\n"+`{"model":%q,"response":"","done":true,"done_reason":"stop","prompt_eval_count":2,"eval_count":1}`+"\n", q.Model, q.Model)
		default:
			fmt.Fprintf(w, `{"model":%q,"response":"","done":true,"done_reason":"load"}`, q.Model)
		}
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// lmStudio is a stand-in for LM Studio's server, by the shapes of its REST API.
type lmStudio struct {
	mu     sync.Mutex
	loaded int64 // its context, 0 for not loaded
}

func (l *lmStudio) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var q struct {
		Model    string `json:"model"`
		Context  int64  `json:"context_length"`
		Instance string `json:"instance_id"`
	}
	if r.Method == http.MethodPost {
		_ = json.NewDecoder(r.Body).Decode(&q) // as the zero value otherwise
	}
	switch r.URL.Path {
	case "/api/v1/models":
		instances := ""
		if l.loaded > 0 {
			instances = fmt.Sprintf(`{"id":"some/model:2","config":{"context_length":%d,"flash_attention":true}}`, l.loaded)
		}
		fmt.Fprintf(w, `{"models":[{"type":"llm","publisher":"some","key":"some/model","size_bytes":100,"loaded_instances":[%s],"max_context_length":8192}]}`, instances)
	case "/api/v1/models/load":
		if q.Model != "some/model" {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"type":"model_not_found","message":"Model not found: x","code":"model_not_found"}}`)
			return
		}
		l.loaded = q.Context
		fmt.Fprint(w, `{"type":"llm","instance_id":"some/model:2","status":"loaded","load_time_seconds":9.1}`)
	case "/api/v1/models/unload":
		if q.Instance != "some/model:2" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		l.loaded = 0
		fmt.Fprint(w, `{"instance_id":"some/model:2"}`)
	case "/v1/completions":
		fmt.Fprint(w, "data: {\"choices\":[{\"text\":\"yes\",\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestDaemons loads, calls and unloads models of daemons, and is told of those
// that are not there.
func TestDaemons(t *testing.T) {
	o, l := &ollama{loaded: map[string]int64{}}, &lmStudio{}
	oll, ls := httptest.NewServer(o), httptest.NewServer(l)
	defer oll.Close()
	defer ls.Close()
	m := sidecar.New(sidecar.Options{Dir: t.TempDir(), Engines: engines.All(engines.Config{OllamaURL: oll.URL, LMStudioURL: ls.URL + "/"})})
	defer m.Close()
	for _, c := range []struct {
		engine, model, absent string
		bytes                 int64
		holds                 func() bool
	}{
		{"ollama", "llama3.2:1b", "absent", 6654289920, func() bool { o.mu.Lock(); defer o.mu.Unlock(); return o.loaded["llama3.2:1b"] == 4096 }},
		{"lmstudio", "some/model", "x", 0, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.loaded == 4096 }},
	} {
		launch := func(name string) *sidecar.Status {
			st, err := m.Launch(t.Context(), sidecar.Spec{Engine: c.engine, Model: name, ContextTokens: 4096})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if st, err = m.Wait(ctx, st.ID, nil); err != nil {
				t.Fatal(err)
			}
			return st
		}
		st := launch(c.model)
		if st.State != sidecar.Ready || !c.holds() {
			t.Fatalf("%s: %+v %+v", c.engine, st, st.Failure)
		}
		if got := len(st.Measured) > 0 && st.Measured[0].Bytes == c.bytes; got != (c.bytes > 0) {
			t.Errorf("%s: measured %+v", c.engine, st.Measured)
		}
		if r, err := m.Call(t.Context(), st.ID, sidecar.Call{Prompt: "x"}, nil); err != nil || r.Text != "yes" {
			t.Errorf("%s: %v: %+v", c.engine, err, r)
		}
		if st, err := m.Stop(t.Context(), st.ID); err != nil || st.State != sidecar.Stopped || c.holds() {
			t.Errorf("%s: %v: %+v, still loaded %v", c.engine, err, st, c.holds())
		}
		if st := launch(c.absent); st.State != sidecar.Failed || st.Failure.Kind != sidecar.BadModel {
			t.Errorf("%s: a model that is not there: %+v", c.engine, st.Failure)
		}
	}
}

// A daemon that does not run is said so.
func TestDaemonVersion(t *testing.T) {
	o := httptest.NewServer(&ollama{loaded: map[string]int64{}})
	address := o.URL
	for _, e := range engines.All(engines.Config{OllamaURL: address}) {
		if e.Name != "ollama" {
			continue
		}
		if v, err := e.Daemon.Version(t.Context()); err != nil || v != "0.12.3" {
			t.Errorf("%v: %q", err, v)
		}
		o.Close()
		if _, err := e.Daemon.Version(t.Context()); err == nil {
			t.Error("one that does not run has a version")
		}
	}
}

// A model that a daemon held before is left to it; one that a detached sidecar
// had loaded is adopted by the next run, and one of a session that ended is
// unloaded by it.
func TestDaemonModels(t *testing.T) {
	o := &ollama{loaded: map[string]int64{"theirs": 8192}}
	srv := httptest.NewServer(o)
	defer srv.Close()
	holds := func(name string) bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		_, there := o.loaded[name]
		return there
	}
	dir := t.TempDir()
	manager := func(dir string) *sidecar.Manager {
		m := sidecar.New(sidecar.Options{Dir: dir, Engines: engines.All(engines.Config{OllamaURL: srv.URL})})
		t.Cleanup(func() { m.Close() })
		return m
	}
	first := manager(dir)
	launch := func(model string, l sidecar.Lifetime) *sidecar.Status {
		st, err := first.Launch(t.Context(), sidecar.Spec{Engine: "ollama", Model: model, ContextTokens: 4096, Lifetime: l})
		if err == nil {
			st, err = first.Wait(t.Context(), st.ID, nil)
		}
		if err != nil || st.State != sidecar.Ready {
			t.Fatalf("%s: %v: %+v", model, err, st)
		}
		return st
	}
	theirs := launch("theirs", sidecar.Session).ID
	if _, err := first.Call(t.Context(), theirs, sidecar.Call{Prompt: "x"}, nil); err != nil || o.loads != 0 {
		t.Errorf("%v: a model that was there before was loaded %d times", err, o.loads)
	}
	if _, err := first.Stop(t.Context(), theirs); err != nil || !holds("theirs") {
		t.Errorf("%v: a model that was there before was unloaded", err)
	}
	crashed := launch("session", sidecar.Session)
	record, err := os.ReadFile(filepath.Join(dir, crashed.ID, "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	detached := launch("detached", sidecar.Detached)
	if err := first.Close(); err != nil || !holds("detached") || holds("session") {
		t.Errorf("%v: after the end of the first: %v", err, o.loaded)
	}
	o.mu.Lock()
	o.loaded["session"] = 4096 // as if it had been killed
	o.mu.Unlock()
	folder := filepath.Join(dir, crashed.ID)
	if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, "record.json"), record, 0o600)); err != nil {
		t.Fatal(err)
	}
	second := manager(dir)
	if all := second.List(); len(all) != 1 || all[0].ID != detached.ID || all[0].State != sidecar.Ready {
		t.Fatalf("%d are known", len(all))
	}
	if holds("session") {
		t.Error("the model of a session that ended is still there")
	}
	loads := o.loads
	if _, err := second.Call(t.Context(), detached.ID, sidecar.Call{Prompt: "x"}, nil); err != nil || o.loads != loads {
		t.Errorf("%v: it was loaded again", err)
	}
	if _, err := second.Stop(t.Context(), detached.ID); err != nil || holds("detached") {
		t.Errorf("%v: the detached one is still there", err)
	}
}
