package enginelog_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
	"hwledger/calc/model/gguf"
	"hwledger/internal/ggufgen"
)

// failed runs the real llama-server that .ci/llama-server fetched until it
// fails, and reads its log.
func failed(t *testing.T, limit string, args ...string) *enginelog.Report {
	t.Helper()
	path := os.Getenv("HWLEDGER_LLAMA_SERVER")
	if path == "" && os.Getenv("CI") != "" {
		t.Fatal("HWLEDGER_LLAMA_SERVER names no llama-server; .ci/llama-server fetches one")
	}
	if path == "" || runtime.GOOS != "linux" {
		t.Skip("HWLEDGER_LLAMA_SERVER names no llama-server; .ci/llama-server fetches one")
	}
	argv := append([]string{"-c", limit + `exec "$0" "$@"`, path}, append(args, "-lv", "4")...)
	out, err := exec.CommandContext(t.Context(), "sh", argv...).CombinedOutput()
	if err == nil {
		t.Fatalf("it did not fail: %.600s", out)
	}
	r, err := enginelog.Parse(string(out))
	if err != nil {
		t.Fatal(err)
	}
	if r.Engine != "llama.cpp" || r.Started || r.Failure == nil || r.Remedy() == "" {
		t.Fatalf("read as %+v: %.600s", r, out)
	}
	return r
}

// A real server that may not have the memory of its cache says so, and what it
// could not have is the cache that is planned.
func TestRealOutOfMemory(t *testing.T) {
	b, err := ggufgen.TinyRunnable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	const context = 20_000_000
	r := failed(t, "ulimit -v 3000000; ", "-m", path, "-c", strconv.Itoa(context), "-np", "1", "--port", "9", "-fit", "off")
	if f := r.Failure; f.Kind != enginelog.OutOfMemory || f.Stage != "cache" || !f.Host || r.ContextTokens != context {
		t.Errorf("%+v of %+v", f, r)
	}
	h, err := gguf.Parse(bytes.NewReader(b), -1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Model()
	if err != nil {
		t.Fatal(err)
	}
	host := &engine.Device{Name: "host", Total: engine.GiB, Free: engine.GiB, Usable: engine.GiB}
	res, err := calc.Plan(calc.Request{Model: m, Engine: "llama.cpp", Load: r.Load(engine.Load{}), Hardware: engine.Hardware{Host: host}})
	if err != nil {
		t.Fatal(err)
	}
	planned := res.Totals.KVCache
	if res.Host != nil {
		planned += res.Host.KVCache
	}
	if !strings.Contains(r.Failure.Cause, planned.String()) {
		t.Errorf("%q, planned is a cache of %s", r.Failure.Cause, planned)
	}
}

func TestRealRefusals(t *testing.T) {
	if r := failed(t, "", "-m", "/nowhere/x.gguf"); r.Failure.Kind != enginelog.BadModel || r.Model != "/nowhere/x.gguf" {
		t.Errorf("%+v", r.Failure)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	if r := failed(t, "", "-m", "/nowhere/x.gguf", "--port", port); r.Failure.Kind != enginelog.PortInUse {
		t.Errorf("%+v", r.Failure)
	}
	if r := failed(t, "", "-m", "/nowhere/x.gguf", "--no-such-option"); r.Failure.Kind != enginelog.DoesNotStart {
		t.Errorf("%+v", r.Failure)
	}
}
