package helpers_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hwledger/internal/ggufgen"
	"hwledger/sidecar"
	"hwledger/sidecar/engines"
	"hwledger/sidecar/helpers"
	"hwledger/sidecar/proc"
)

// TestMain is uv when it is asked to be.
func TestMain(m *testing.M) {
	if record := os.Getenv("FAKE_UV"); record != "" {
		os.Exit(uv(record))
	}
	os.Exit(m.Run())
}

// uv notes its arguments, and makes the folder of an environment.
func uv(record string) int {
	f, err := os.OpenFile(record, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 1
	}
	defer f.Close()
	line := strings.Join(os.Args[1:], " ")
	if os.Getenv("FAKE_UV_FAILS") != "" {
		os.Stderr.WriteString("no luck\n")
	}
	if _, err := f.WriteString(line + "\n"); err != nil || os.Getenv("FAKE_UV_FAILS") != "" {
		return 1
	}
	if os.Args[1] == "venv" && os.MkdirAll(os.Args[len(os.Args)-1], 0o700) != nil {
		return 1
	}
	return 0
}

func python(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
}

// TestLlamaHelper runs the protocol against a real model: the helper around
// the real llama-server.
func TestLlamaHelper(t *testing.T) {
	python(t)
	server := os.Getenv("HWLEDGER_LLAMA_SERVER")
	if server == "" {
		t.Skip("HWLEDGER_LLAMA_SERVER names no llama-server; .ci/llama-server fetches one")
	}
	b, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := helpers.Setup{Dir: t.TempDir()}.Find("llama-bridge")
	if err != nil || h.Prepare != nil {
		t.Fatalf("%v: %+v", err, h)
	}
	m := sidecar.New(sidecar.Options{Dir: t.TempDir(), Engines: engines.All(engines.Config{})})
	t.Cleanup(func() { m.Close() })
	run := func(args ...string) *sidecar.Status {
		t.Helper()
		st, err := m.Launch(t.Context(), sidecar.Spec{
			Engine: "llama-bridge", Model: path, Program: h.Python, Args: []string{"-u", h.Script},
			HelperArgs: append([]string{server, "--host", "127.0.0.1", "--port", "1", "-c", "1024", "-np", "1", "-fa", "on", "-lv", "4"}, args...),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if st, err = m.Wait(ctx, st.ID, nil); err != nil {
			t.Fatal(err)
		}
		return st
	}
	st := run("-m", path)
	if st.State != sidecar.Ready {
		log, _ := m.LogText(st.ID) // what there is
		t.Fatalf("%+v\n%s", st.Failure, log)
	}
	// llama-server 0.7.0 logs a cache of 0.25 MiB for 1024 tokens of this model.
	for _, f := range st.Measured {
		if f.Name == "kv_cache" && f.Bytes != 256<<10 {
			t.Errorf("the cache is %d bytes", f.Bytes)
		}
	}
	if len(st.Measured) < 3 {
		t.Errorf("measured only %+v", st.Measured)
	}
	var pieces []string
	r, err := m.Call(t.Context(), st.ID, sidecar.Call{Prompt: "hello", MaxTokens: 6}, func(s string) { pieces = append(pieces, s) })
	if err != nil || r.CompletionTokens != 6 || r.FinishReason != "length" || strings.Join(pieces, "") != r.Text || r.PerSecond <= 0 {
		t.Errorf("%v: %+v from %q", err, r, pieces)
	}
	if r, err = m.Call(t.Context(), st.ID, sidecar.Call{Messages: []sidecar.Message{{Role: "user", Content: "hi"}}, MaxTokens: 2}, nil); err != nil || r.CompletionTokens != 2 {
		t.Errorf("%v: %+v", err, r)
	}
	cancelled(t, m, st.ID)
	if st, err = m.Stop(t.Context(), st.ID); err != nil || st.State != sidecar.Stopped {
		t.Fatalf("%v: %+v", err, st)
	}
	if left := proc.AllMarked("HWLEDGER_SIDECAR=" + st.ID); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	if bad := run("-m", filepath.Join(t.TempDir(), "none.gguf")); bad.State != sidecar.Failed || bad.Failure.Kind != sidecar.BadModel {
		t.Errorf("a model that is not there: %+v", bad.Failure)
	}
}

// cancelled ends a call that would be long, by the first piece of it.
func cancelled(t *testing.T, m *sidecar.Manager, id string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := m.Call(ctx, id, sidecar.Call{Prompt: "x", MaxTokens: 100000}, func(string) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
	if r, err := m.Call(t.Context(), id, sidecar.Call{Prompt: "x", MaxTokens: 1}, nil); err != nil || r.CompletionTokens != 1 {
		t.Errorf("after it: %v: %+v", err, r)
	}
}

// The environment of a helper is made when it is needed and no sooner, once,
// with pinned requirements; what a failed try left is removed first.
func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	record := filepath.Join(dir, "record")
	t.Setenv("FAKE_UV", record)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := helpers.Setup{Dir: dir, Uv: program}
	h, err := s.Find("mlx-bridge")
	if err != nil || h.Prepare == nil || !strings.HasPrefix(h.Python, dir) || !strings.HasSuffix(h.Script, "lm_helper.py") {
		t.Fatalf("%v: %+v", err, h)
	}
	if _, err := os.Stat(record); err == nil {
		t.Error("uv was called before it was asked for")
	}
	t.Setenv("FAKE_UV_FAILS", "1")
	var said bytes.Buffer
	if err := h.Prepare(t.Context(), &said); err == nil || !strings.Contains(said.String(), "no luck") {
		t.Errorf("%v: %q", err, &said)
	}
	os.Unsetenv("FAKE_UV_FAILS")
	rest := filepath.Join(filepath.Dir(filepath.Dir(h.Python)), "rest")
	if err := errors.Join(os.Remove(record), os.MkdirAll(filepath.Dir(rest), 0o700), os.WriteFile(rest, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	makers := make(chan error)
	for range 4 { // at once
		go func() { makers <- h.Prepare(t.Context(), io.Discard) }()
	}
	for range 4 {
		if err := <-makers; err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(rest); err == nil {
		t.Error("what a failed try left is still there")
	}
	if again, err := s.Find("mlx-bridge"); err != nil || again.Prepare != nil || again.Python != h.Python {
		t.Errorf("%v: %+v", err, again)
	}
	got, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(string(got)), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "venv ") || !strings.HasPrefix(lines[1], "pip install ") {
		t.Errorf("uv was called with %q", lines)
	}
	if _, err := (helpers.Setup{Dir: t.TempDir(), Uv: ""}).Find("nothing"); err == nil {
		t.Error("a helper that there is none of was found")
	}
	for _, name := range []string{"mlx.txt", "transformers.txt"} {
		text, err := helpers.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Fields(string(text)) {
			if !strings.Contains(l, "==") {
				t.Errorf("%s: %s is not pinned", name, l)
			}
		}
	}
}

// The scripts compile on the oldest Python that is about.
func TestScriptsCompile(t *testing.T) {
	python(t)
	for _, name := range []string{"helper.py", "llama_helper.py", "lm_helper.py"} {
		text, err := helpers.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("python3", "-c", "import sys; compile(sys.stdin.read(), sys.argv[1], 'exec')", name)
		cmd.Stdin = strings.NewReader(string(text))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
