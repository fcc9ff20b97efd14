package helpers_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hwledger/calc/model"
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

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

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
	py, script, err := helpers.Setup{Dir: t.TempDir(), Log: quiet()}.Find("llama-bridge")
	if err != nil {
		t.Fatal(err)
	}
	m := sidecar.New(sidecar.Options{Dir: t.TempDir(), Engines: engines.All(engines.Config{})})
	t.Cleanup(func() { m.Close() })
	run := func(args ...string) *sidecar.Status {
		t.Helper()
		st, err := m.Launch(t.Context(), sidecar.Spec{
			Engine: "llama-bridge", Model: path, Program: py, Args: []string{"-u", script},
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

// The environment of a helper is made once, with pinned requirements, and
// again when a first try failed.
func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	record := filepath.Join(dir, "record")
	t.Setenv("FAKE_UV", record)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := helpers.Setup{Dir: dir, Uv: program, Log: quiet()}
	t.Setenv("FAKE_UV_FAILS", "1")
	var e *model.Error
	if _, _, err := s.Find("mlx-bridge"); !errors.As(err, &e) || e.Code != model.EngineNotInstalled {
		t.Errorf("%v", err)
	}
	os.Unsetenv("FAKE_UV_FAILS")
	if err := os.Remove(record); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		py, script, err := s.Find("mlx-bridge")
		if err != nil || !strings.HasPrefix(py, dir) || !strings.HasSuffix(script, "lm_helper.py") {
			t.Fatalf("%v: %s %s", err, py, script)
		}
	}
	got, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(string(got)), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "venv --python 3.12 ") || !strings.HasPrefix(lines[1], "pip install --python ") {
		t.Errorf("uv was called with %q", lines)
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
