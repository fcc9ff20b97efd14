package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// listening is a server process on HTTP.
type listening struct {
	*session
	base string
}

// listenHTTP starts the program on a free port, and returns when it listens.
func listenHTTP(t testing.TB, env []string, args ...string) *listening {
	t.Helper()
	cmd := program(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--transport"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	return awaitAddress(t, cmd)
}

// awaitAddress starts a server that prints its address first.
func awaitAddress(t testing.TB, cmd *exec.Cmd) *listening {
	t.Helper()
	s := &session{t: t, cmd: cmd}
	log, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(log)
	line, err := lines.ReadString('\n')
	m := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(line)
	if err != nil || m == nil {
		t.Fatalf("%v: %s", err, line)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return &listening{s, "http://" + m[1]}
}

// stop asks the server to end, and wants it to end well.
func (l *listening) stop() {
	l.t.Helper()
	if runtime.GOOS == "windows" { // a process without our console cannot be asked
		if err := l.cmd.Process.Kill(); err != nil {
			l.t.Fatal(err)
		}
		_ = l.cmd.Wait() // it was killed
		return
	}
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	if err := l.cmd.Wait(); err != nil {
		l.t.Errorf("the server ended with %v", err)
	}
}

// post sends one message of 2026-07-28.
func (l *listening) post(client *http.Client, method, name, params string) (int, string, error) {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	r, err := http.NewRequest(http.MethodPost, l.base+"/mcp", strings.NewReader(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":{%s,%s}}`, method, params, meta)))
	if err != nil {
		return 0, "", err
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Name": name} {
		r.Header.Set(k, v)
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

const hardwareArgs = `{"name":"RTX 4090"}`

// mostUnderLoad is what the program may hold while it is flooded.
const mostUnderLoad = 300 << 20

// Ten thousand calls at once over standard input are all answered, in bounded
// memory.
func TestFloodStdio(t *testing.T) {
	const n = 10_000
	s := start(t)
	s.send(hello)
	s.receive()
	go func() {
		for i := range n {
			if _, err := io.WriteString(s.in, toolCall(i+1, "lookup_hardware", hardwareArgs)); err != nil {
				return // the reader reports it
			}
		}
	}()
	seen := map[string]bool{}
	for range n {
		m := s.receive()
		if m.Error != nil || !strings.Contains(string(m.Result), `"total_bytes":25757220864`) {
			t.Fatalf("%s: %+v %.200s", m.ID, m.Error, m.Result)
		}
		seen[string(m.ID)] = true
	}
	now, peak := resident(t, s.cmd.Process.Pid)
	s.end()
	t.Logf("resident %.1f MiB after %d calls, %.1f at most", mib(now), n, mib(peak))
	if len(seen) != n || peak > mostUnderLoad {
		t.Errorf("%d of %d were answered, in at most %d bytes", len(seen), n, peak)
	}
}

// The same over HTTP, from 500 clients.
func TestFloodHTTP(t *testing.T) {
	l := listenHTTP(t, nil, "http")
	const n = 10_000
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 500}}
	var left, answered atomic.Int64
	left.Store(n)
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				status, body, err := l.post(client, "tools/call", "lookup_hardware", `"name":"lookup_hardware","arguments":`+hardwareArgs)
				if err != nil || status != http.StatusOK || !strings.Contains(body, `"total_bytes":25757220864`) {
					t.Errorf("%v: %d %.200s", err, status, body)
					return
				}
				answered.Add(1)
			}
		})
	}
	wg.Wait()
	now, peak := resident(t, l.cmd.Process.Pid)
	client.CloseIdleConnections()
	l.stop()
	t.Logf("resident %.1f MiB after %d calls, %.1f at most", mib(now), answered.Load(), mib(peak))
	if answered.Load() != n || peak > mostUnderLoad {
		t.Errorf("%d of %d were answered, in at most %d bytes", answered.Load(), n, peak)
	}
}

// Big, deep and broken lines take bounded memory, and end nothing.
func TestHostileLines(t *testing.T) {
	s := start(t)
	s.send(hello)
	s.receive()
	deep := strings.Repeat(`{"a":`, 1_000_000)
	for i := range 20 {
		for _, line := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("x", 20<<20) + `"}`, // over the limit
			deep, // cut off
			deep + "1" + strings.Repeat("}", 1_000_000),
			toolCallText(2, "plan_memory", `{"model":"x","config":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`}`),
			strings.Repeat("[", 1_000_000),
			"[" + strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"ping"},`, 10_000) + "null]",
			"\x00\xff\xfe",
		} {
			s.send(line + "\n")
			if m := s.receive(); m.Error == nil && !strings.Contains(string(m.Result), `"isError":true`) {
				t.Fatalf("%d: %.60q was taken: %.200s", i, line, m.Result)
			}
		}
	}
	_, peak := resident(t, s.cmd.Process.Pid)
	s.send(toolCall(3, "lookup_hardware", `{"name":"H200"}`))
	if m := s.receive(); m.Error != nil {
		t.Errorf("afterwards: %+v", m.Error)
	}
	s.end()
	t.Logf("resident at most %.1f MiB", mib(peak))
	if peak > mostUnderLoad {
		t.Errorf("%d bytes", peak)
	}
}

func toolCallText(id int, name, args string) string {
	return strings.TrimSuffix(toolCall(id, name, args), "\n")
}

// References that lead elsewhere are refused with a reason, and nothing of what
// they lead to is shown.
func TestHostileReferences(t *testing.T) {
	l := listenHTTP(t, nil, "http")
	for _, ref := range []string{
		"/etc/passwd", "../../../../../../etc/passwd", "./../../../../../etc/shadow", "/proc/self/environ", "/dev/zero", "/dev/stdin", "file:///etc/passwd",
		"hf:../../etc/passwd", "catalog:../../etc/passwd", "ollama:../../../etc/passwd", "lmstudio:../../etc/passwd", "mlx:../../../../etc/passwd", "org/../../etc/passwd", "org/name/../../../etc/passwd.gguf",
		"http://169.254.169.254/latest/meta-data/x.gguf", "https://localhost/x.gguf", "https://127.0.0.1/x.gguf", "https://[::1]/x.gguf", "gopher://x/x.gguf",
		"org/name@../../x", "org/name:../../x", "org/name\u0000", "org/name\n", "\u202egnp.exe", "-rf", "$(id)", "`id`", strings.Repeat("../", 2000),
		`\\host\share\x.gguf`, "//host/share/config.json", `\\.\PhysicalDrive0`, `\\?\C:\Windows\win.ini`, `C:\Windows\win.ini`, `C:x.gguf`, "file:///C:/Windows/win.ini", "CON", "NUL.json", "COM1",
	} {
		args, err := json.Marshal(map[string]any{"model": ref})
		if err != nil {
			t.Fatal(err)
		}
		status, body, err := l.post(http.DefaultClient, "tools/call", "lookup_model", `"name":"lookup_model","arguments":`+string(args))
		if err != nil || status != http.StatusOK || !strings.Contains(body, `"isError":true`) || strings.Contains(body, "root:") || strings.Contains(body, "PATH=") || strings.Contains(body, `"code":"internal"`) {
			t.Errorf("%.60q: %v, %d %.400s", ref, err, status, body)
		}
	}
	for _, uri := range []string{"hwledger://models/../../etc/passwd", "hwledger://models//etc/passwd", "hwledger://models/%2e%2e/%2e%2e/etc/passwd", "file:///etc/passwd", "hwledger://../../etc/passwd", "ui://hwledger/../../etc/passwd"} {
		status, body, err := l.post(http.DefaultClient, "resources/read", uri, fmt.Sprintf(`"uri":%q`, uri))
		if err != nil || status != http.StatusBadRequest || !strings.Contains(body, `"code":-32602`) || strings.Contains(body, "root:") {
			t.Errorf("%s: %v, %d %.300s", uri, err, status, body)
		}
	}
	l.stop()
}
