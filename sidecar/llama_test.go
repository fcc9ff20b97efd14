package sidecar_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
	"hwledger/sidecar"
	"hwledger/sidecar/engines"
	"hwledger/sidecar/proc"
)

// llamaServer is the real program that .ci/llama-server fetched.
func llamaServer(t testing.TB) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the llama-server that is fetched is for Linux")
	}
	path := os.Getenv("HWLEDGER_LLAMA_SERVER")
	if path == "" && os.Getenv("CI") != "" {
		t.Fatal("HWLEDGER_LLAMA_SERVER names no llama-server; .ci/llama-server fetches one")
	}
	if path == "" {
		t.Skip("HWLEDGER_LLAMA_SERVER names no llama-server; .ci/llama-server fetches one")
	}
	return path
}

// tiny writes a model that runs, and returns its path and what to plan.
func tiny(t testing.TB, load engine.Load) (string, calc.Request) {
	t.Helper()
	b, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := gguf.Parse(bytes.NewReader(b), -1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Model()
	if err != nil {
		t.Fatal(err)
	}
	return path, calc.Request{Model: m, Engine: "llama.cpp", Load: load,
		Hardware: engine.Hardware{Host: &engine.Device{Name: "host", Total: engine.GiB, Free: engine.GiB, Usable: engine.GiB}}}
}

// reader reads logs as the tools do.
type reader struct{}

func (reader) Read(_, log string) sidecar.Reading {
	r, err := enginelog.Parse(log)
	if err != nil {
		return sidecar.Reading{}
	}
	out := sidecar.Reading{Version: r.Version}
	for _, a := range r.Actual {
		out.Measured = append(out.Measured, sidecar.Figure{Name: a.Name, Bytes: int64(a.Bytes)})
	}
	return out
}

// recorder keeps events in memory.
type recorder struct {
	mu     sync.Mutex
	events []sidecar.Event
}

func (r *recorder) Record(_ context.Context, e sidecar.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return nil
}

// last is the payload of the last event of a type.
func (r *recorder) last(t testing.TB, typ string) map[string]any {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range slices.Backward(r.events) {
		if e.Type == typ {
			return e.Payload
		}
	}
	t.Fatalf("no %s was recorded", typ)
	return nil
}

func (r *recorder) types() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, e := range r.events {
		out = append(out, e.Type)
	}
	return strings.Join(out, " ")
}

// figure returns a figure by name, -1 when it is not there.
func figure(fs []sidecar.Figure, name string) int64 {
	for _, f := range fs {
		if f.Name == name {
			return f.Bytes
		}
	}
	return -1
}

// TestLlamaServer takes a real engine through its whole life: what it
// allocates is what was planned, it answers, and nothing is left of it.
func TestLlamaServer(t *testing.T) {
	for _, lifetime := range []sidecar.Lifetime{sidecar.Session, sidecar.Detached} {
		t.Run(string(lifetime), func(t *testing.T) { llamaLife(t, lifetime) })
	}
}

func llamaLife(t *testing.T, lifetime sidecar.Lifetime) {
	server := llamaServer(t)
	path, req := tiny(t, engine.Load{ContextTokens: 1024, Sequences: 3})
	res, err := calc.Plan(req)
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := calc.Launch(req, res, path, calc.Endpoint{Host: "127.0.0.1", Port: 1})
	if err != nil {
		t.Fatal(err)
	}
	all := engines.All(engines.Config{})
	programs := &sidecar.Programs{Dir: t.TempDir(), Paths: map[string]string{"llama-server": server}}
	e := all[0]
	p, err := programs.Find(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	args, err := e.WithOwnArgs(cmd.Argv[1:], p.Options)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{}
	m := sidecar.New(sidecar.Options{Dir: t.TempDir(), Engines: all, Recorder: rec, Reader: reader{}})
	t.Cleanup(func() { m.Close() })
	st, err := m.Launch(t.Context(), sidecar.Spec{
		Name: "tiny", Engine: e.Name, Version: p.Version, Model: path, Program: p.Path, Args: args, Lifetime: lifetime,
		Reserve: map[string]int64{sidecar.HostPool: int64(res.Totals.Required)},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if st, err = m.Wait(ctx, st.ID, nil); err != nil || st.State != sidecar.Ready {
		log, _ := m.LogText("tiny")
		t.Fatalf("%v: %+v %+v\n%s", err, st, st.Failure, log)
	}
	t.Logf("ready after %s at %s (%s), %s", st.Took, st.Endpoint, st.BaseURL, st.Version)
	compareBuffers(t, res, st.Measured)

	var pieces []string
	reply, err := m.Call(ctx, "tiny", sidecar.Call{Prompt: "hello", MaxTokens: 8}, func(s string) { pieces = append(pieces, s) })
	if err != nil {
		t.Fatal(err)
	}
	if reply.CompletionTokens != 8 || reply.FinishReason != "length" || reply.PerSecond <= 0 || strings.Join(pieces, "") != reply.Text {
		t.Errorf("%+v from %q", reply, pieces)
	}
	if reply, err = m.Call(ctx, "tiny", sidecar.Call{Messages: []sidecar.Message{{Role: "user", Content: "hi"}}, MaxTokens: 3}, nil); err != nil || reply.CompletionTokens != 3 {
		t.Errorf("%v: %+v", err, reply)
	}
	otherClient(t, st)

	pid, address := st.PID, strings.TrimSuffix(strings.TrimPrefix(st.BaseURL, "http://"), "/v1")
	if st, err = m.Stop(ctx, "tiny"); err != nil || st.State != sidecar.Stopped {
		t.Fatalf("%v: %+v", err, st)
	}
	if _, err := proc.Identify(pid); err == nil {
		t.Error("its process is still there")
	}
	if members, _ := proc.Members(pid); len(members) > 0 {
		t.Errorf("%v of its group are still there", members)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("its port still answers")
	}
	if got, want := rec.types(), "prediction launch measurement timing timing timing exit"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

// compareBuffers: the cache that the engine logs is exact, its compute buffer
// within 3 %. The log has MiB with two decimals.
func compareBuffers(t *testing.T, res *calc.Result, measured []sidecar.Figure) {
	t.Helper()
	const rounding = float64(engine.MiB) / 200
	if got, want := float64(figure(measured, "KV cache")), float64(res.Totals.KVCache); got-want > rounding || want-got > rounding {
		t.Errorf("the cache is %v bytes, planned were %v", got, want)
	}
	got, want := float64(figure(measured, "compute buffer")+max(0, figure(measured, "output buffer"))), float64(res.Totals.Workspace)
	if d := got - want; d > 0.03*want || -d > 0.03*want {
		t.Errorf("the buffers of its graph are %v bytes, planned were %v", got, want)
	}
}

// otherClient uses the base URL with the key from its file, and without.
func otherClient(t *testing.T, st *sidecar.Status) {
	t.Helper()
	key, err := os.ReadFile(st.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	for auth, want := range map[string]int{"": 401, "Bearer " + strings.TrimSpace(string(key)): 200} {
		req, err := http.NewRequest(http.MethodPost, st.BaseURL+"/completions", strings.NewReader(`{"prompt":"x","max_tokens":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if auth != "" {
			req.Header.Set("Authorization", auth)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("with key %v: status %d, want %d", auth != "", resp.StatusCode, want)
		}
	}
	cmdline, err := os.ReadFile("/proc/" + strconv.Itoa(st.PID) + "/cmdline")
	if err == nil && bytes.Contains(cmdline, bytes.TrimSpace(key)) {
		t.Error("the key is on the command line")
	}
}
