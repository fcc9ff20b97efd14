package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildDir is where the binary of these tests is, removed by TestMain.
var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hwledger-mcp")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	os.Setenv("HF_HUB_OFFLINE", "1")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// binary builds the program as it is released, and copies it as an
// installation does. Of a file that the C linker has just written, in large
// writes, Linux keeps large folios and maps each as a whole: two or three MiB
// that no page of was asked for, and that are gone after a restart.
var binary = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("HWLEDGER_TEST_BINARY"); given != "" { // for systems that the tests are built for elsewhere
		return given, nil
	}
	path := filepath.Join(buildDir, "hwledger-mcp")
	out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path+".linked", ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	from, err := os.Open(path + ".linked")
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return path, errors.Join(err, to.Close())
})

func program(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), path, args...)
}

const hello = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}` + "\n"

// session is a running server.
type session struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t testing.TB) *session {
	t.Helper()
	return startWith(t, nil)
}

// startWith starts a server in an environment, this process's own when nil.
func startWith(t testing.TB, env []string, args ...string) *session {
	t.Helper()
	return startCommand(t, program(t, append([]string{"serve"}, args...)...), env)
}

func startCommand(t testing.TB, cmd *exec.Cmd, env []string) *session {
	t.Helper()
	s := &session{t: t, cmd: cmd}
	s.cmd.Env = env
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.in, s.out = in, bufio.NewReaderSize(out, 1<<20)
	return s
}

func (s *session) send(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.in, text); err != nil {
		s.t.Fatal(err)
	}
}

type message struct {
	ID     json.RawMessage
	Result json.RawMessage
	Error  *struct{ Code int }
}

func (s *session) receive() message {
	s.t.Helper()
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		s.t.Fatalf("reading: %v", err)
	}
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		s.t.Fatalf("%v in %.200s", err, line)
	}
	return m
}

// end closes the input and wants the server to end well.
func (s *session) end() {
	s.t.Helper()
	s.in.Close()
	if _, err := io.Copy(io.Discard, s.out); err != nil {
		s.t.Error(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the server ended with %v", err)
	}
}

func toolCall(id int, name, args string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`+"\n", id, name, args)
}

const planArgs = `{"model":"Qwen/Qwen3-8B","engine":"vllm","hardware":"RTX 4090","detail":"summary"}`

// What a shell script pipes in is answered, all of it, though the input ends
// before the first answer.
func TestPipedCallsAreAllAnswered(t *testing.T) {
	const n = 1000
	var in bytes.Buffer
	in.WriteString(hello)
	for i := 1; i <= n; i++ {
		in.WriteString(toolCall(i, "plan_memory", planArgs))
	}
	cmd := program(t, "serve")
	cmd.Stdin = &in
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	seen := map[string]bool{}
	for i, line := range lines {
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Error != nil {
			t.Fatalf("%v: %.300s", err, line)
		}
		if i == 0 && string(m.ID) != "0" {
			t.Errorf("the first answer is to %s", m.ID)
		}
		if i > 0 && !strings.Contains(line, `"verdict":"fits"`) {
			t.Fatalf("%.300s", line)
		}
		seen[string(m.ID)] = true
	}
	if len(lines) != n+1 || len(seen) != n+1 {
		t.Errorf("%d lines with %d ids, want %d", len(lines), len(seen), n+1)
	}
}

// Nothing that arrives on a line ends the session.
func TestSessionSurvives(t *testing.T) {
	s := start(t)
	s.send(toolCall(1, "plan_memory", planArgs))
	if m := s.receive(); m.Error == nil || m.Error.Code != -32600 {
		t.Errorf("a call before initialize: %+v", m)
	}
	s.send(hello)
	if m := s.receive(); m.Error != nil {
		t.Errorf("initialize: %+v", m)
	}
	s.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n")
	for _, c := range []struct {
		line string
		code int
	}{
		{"{nonsense\n", -32700},
		{`[{"jsonrpc":"2.0","id":1,"method":"ping"}]` + "\n", -32600},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"` + strings.Repeat("x", 9<<20) + `"}}` + "\n", -32600},
		{toolCall(3, "no_such_tool", "{}"), -32602},
		{`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":7}` + "\n", -32600},
		{`{"jsonrpc":"2.0","id":5,"method":"no/such"}` + "\n", -32601},
	} {
		s.send(c.line)
		if m := s.receive(); m.Error == nil || m.Error.Code != c.code {
			t.Errorf("%.60q: %+v, want %d", c.line, m, c.code)
		}
	}
	for i := range 200 { // cancelled or answered, and never both or broken
		s.send(toolCall(1000+i, "plan_memory", planArgs) + fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`+"\n", 1000+i))
	}
	s.send(toolCall(9, "lookup_hardware", `{"name":"RTX 4090"}`))
	for {
		m := s.receive()
		if string(m.ID) == "9" {
			if !strings.Contains(string(m.Result), `"total_bytes":25757220864`) {
				t.Errorf("%s", m.Result)
			}
			break
		}
	}
	s.end()
}

// The 2026-07-28 protocol needs no handshake.
func TestStatelessSession(t *testing.T) {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	s := start(t)
	s.send(`{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{` + meta + `}}` + "\n")
	if m := s.receive(); !strings.Contains(string(m.Result), `"2026-07-28"`) || !strings.Contains(string(m.Result), `"instructions"`) {
		t.Errorf("%s", m.Result)
	}
	s.send(`{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{` + meta + `}}` + "\n")
	if m := s.receive(); !strings.Contains(string(m.Result), `"resultType":"complete"`) || !strings.Contains(string(m.Result), `"ttlMs":3600000`) {
		t.Errorf("%.500s", m.Result)
	}
	s.send(`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"lookup_hardware","arguments":{"name":"H200"},` + meta + `}}` + "\n")
	if m := s.receive(); !strings.Contains(string(m.Result), `"structuredContent"`) {
		t.Errorf("%.500s", m.Result)
	}
	s.end()
}

// Limits that the program keeps to.
const (
	mostSize     = 25 << 20 // of the stripped binary
	mostResident = 24 << 20 // after answering calls; about 15 of it are pages of the program's file, which processes share
)

func TestSize(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the binary is %.1f MiB", float64(info.Size())/(1<<20))
	if info.Size() > mostSize {
		t.Errorf("the binary is %d bytes, at most %d", info.Size(), mostSize)
	}
}

// resident returns a process's resident bytes and their peak, from Linux.
func resident(t testing.TB, pid int) (now, peak int64) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	read := func(name string) int64 {
		m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(raw)
		if m == nil {
			t.Skipf("/proc has no %s", name)
		}
		kb, _ := strconv.ParseInt(string(m[1]), 10, 64)
		return kb << 10
	}
	return read("VmRSS"), read("VmHWM")
}

func TestResident(t *testing.T) {
	s := start(t)
	s.send(hello)
	s.receive()
	idle, _ := resident(t, s.cmd.Process.Pid)
	for i := range 200 {
		s.send(toolCall(i+1, "plan_memory", planArgs))
		if m := s.receive(); m.Error != nil {
			t.Fatalf("%+v", m)
		}
	}
	now, peak := resident(t, s.cmd.Process.Pid)
	s.end()
	t.Logf("resident %.1f MiB after initialize, %.1f after 200 plans, %.1f at most", mib(idle), mib(now), mib(peak))
	if idle > mostResident || now > mostResident {
		t.Errorf("resident %d and %d bytes, at most %d", idle, now, mostResident)
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// startup is the time from starting a process to its answer to initialize.
func startup(t testing.TB) time.Duration {
	from := time.Now()
	s := start(t)
	s.send(hello)
	s.receive()
	d := time.Since(from)
	s.end()
	return d
}

// BenchmarkStart starts the program and waits for its answer to initialize.
func BenchmarkStart(b *testing.B) {
	if _, err := binary(); err != nil {
		b.Fatal(err)
	}
	var all []time.Duration
	for b.Loop() {
		all = append(all, startup(b))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*95/100].Microseconds())/1000, "p95-ms")
}

func BenchmarkCall(b *testing.B) {
	s := start(b)
	s.send(hello)
	s.receive()
	i := 0
	for b.Loop() {
		i++
		s.send(toolCall(i, "plan_memory", planArgs))
		s.receive()
	}
	now, peak := resident(b, s.cmd.Process.Pid)
	b.ReportMetric(mib(now), "resident-MiB")
	b.ReportMetric(mib(peak), "peak-MiB")
	s.end()
}
