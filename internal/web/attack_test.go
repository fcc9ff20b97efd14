package web

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// answersStill wants a server that was attacked to answer a friend.
func answersStill(t *testing.T, s *Server) {
	t.Helper()
	if status, body := send(t, http.DefaultClient, request(t, "http://"+s.Addr().String()+"/mcp", message("echo"), "echo")); status != 200 || !strings.Contains(body, "here") {
		t.Errorf("a friend got %d %.200s", status, body)
	}
}

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestBodies: whatever a body holds, its sender is told what is wrong with it,
// and the server goes on. Over SSE the post is answered before it is read.
func TestBodies(t *testing.T) {
	s, _, _ := start(t, Options{HTTP: true, SSE: true, MaxBody: 1 << 20}, nil)
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + strings.Repeat(end, n) }
	bodies := map[string]string{
		"nothing":                   "",
		"no JSON":                   "{nope",
		"bytes that are no text":    "\xff\xfe\x00",
		"an empty batch":            "[]",
		"a batch":                   "[" + message("echo") + "," + message("echo") + "]",
		"a batch after spaces":      " \r\n\t[" + message("echo") + "]",
		"a batch of batches":        deep("[", "]", 10_000),
		"deep objects":              `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000) + "}",
		"deep arrays":               `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":` + deep("[", "]", 100_000) + `}}}`,
		"deep and open":             strings.Repeat(`{"a":[`, 100_000),
		"a number as text":          "7",
		"a null":                    "null",
		"an id that is an object":   `{"jsonrpc":"2.0","id":{},"method":"tools/call","params":{"name":"echo"}}`,
		"a huge number":             `{"jsonrpc":"2.0","id":1e999999,"method":"ping"}`,
		"another version":           `{"jsonrpc":"1.0","id":1,"method":"ping"}`,
		"many keys":                 `{"jsonrpc":"2.0","id":1,"method":"ping","params":{` + strings.Repeat(`"a":1,`, 100_000) + `"b":1}}`,
		"a string without end":      `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("a", 500_000),
		"more than is allowed":      strings.Repeat(" ", 1<<20+1),
		"a method with line breaks": `{"jsonrpc":"2.0","id":1,"method":"ping\r\nX-Evil: 1"}`,
	}
	for name, body := range bodies {
		for _, path := range []string{"/mcp", "/message?sessionId=none"} {
			r := request(t, "http://"+s.Addr().String()+path, body, "echo")
			if status, answer := send(t, http.DefaultClient, r); status < 400 || status >= 500 || len(answer) > 4096 {
				t.Errorf("%s to %s: %d, %d bytes: %.200s", name, path, status, len(answer), answer)
			}
		}
	}
	answersStill(t, s)
}

// TestHeaders: no header is a way in, or a way to have memory taken.
func TestHeaders(t *testing.T) {
	const secret = "0123456789abcdef"
	s, _, _ := start(t, Options{Tokens: []string{secret}, HTTP: true, SSE: true}, nil)
	host := s.Addr().String()
	raw := func(head string) string {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, head) // the server may close while it is written
		b, _ := io.ReadAll(io.LimitReader(c, 1<<16))
		line, _, _ := strings.Cut(string(b), "\r\n")
		return line
	}
	post := "POST /mcp HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
	for _, c := range []struct{ name, head, want string }{
		{"no host", post + "Content-Length: 2\r\n\r\n{}", " 400 "},
		{"two hosts", post + "Host: localhost\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}", " 400 "},
		{"a host beside the target's", "POST http://localhost/mcp HTTP/1.1\r\nConnection: close\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}", " 401 "},
		{"a foreign target", "POST http://evil.example/mcp HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", " 403 "},
		{"a huge header", post + "Host: localhost\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", " 431 "},
		{"many headers", post + "Host: localhost\r\n" + strings.Repeat("X: y\r\n", 50_000) + "\r\n", " 431 "},
		{"two lengths", post + "Host: localhost\r\nContent-Length: 2\r\nContent-Length: 200\r\n\r\n{}", " 400 "},
		{"a length below 0", post + "Host: localhost\r\nContent-Length: -2\r\n\r\n{}", " 400 "},
		{"a token in the address", "POST /mcp?access_token=" + secret + " HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", " 401 "},
		{"two tokens", post + "Host: localhost\r\nAuthorization: Bearer wrong\r\nAuthorization: Bearer " + secret + "\r\nContent-Length: 2\r\n\r\n{}", " 401 "},
		{"a token with more", post + "Host: localhost\r\nAuthorization: Bearer " + secret + " x\r\nContent-Length: 2\r\n\r\n{}", " 401 "},
		{"an empty token", post + "Host: localhost\r\nAuthorization: Bearer \r\nContent-Length: 2\r\n\r\n{}", " 401 "},
		{"a stream without a token", "GET /sse HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n\r\n", " 401 "},
		{"a preflight for the stream that is none", "OPTIONS /sse HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n\r\n", " 401 "},
		{"a path around", "GET /mcp/../../etc/passwd HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n\r\n", " 307 "}, // to the path it means, which needs a token
	} {
		if got := raw(c.head); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want%s", c.name, got, c.want)
		}
	}
	for _, path := range []string{"/sse", "/message?sessionId=x", "/mcp"} {
		for _, change := range []func(*http.Request){
			func(r *http.Request) { r.Host = "evil.example" },
			func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
			func(r *http.Request) { r.Header.Set("Origin", "http://"+host+".evil.example") },
		} {
			r := request(t, "http://"+host+path, "{}", "")
			r.Header.Set("Authorization", "Bearer "+secret)
			change(r)
			if status, _ := send(t, http.DefaultClient, r); status != http.StatusForbidden {
				t.Errorf("%s of %s by %s: %d", path, r.Host, r.Header.Get("Origin"), status)
			}
		}
	}
}

// TestSlowClients: clients that never finish their headers or bodies are ended,
// and take nothing from others meanwhile.
func TestSlowClients(t *testing.T) {
	before := runtime.NumGoroutine()
	s, cancel, done := start(t, Options{HeaderTimeout: 200 * time.Millisecond, BodyTimeout: 200 * time.Millisecond, MaxRunning: 2}, nil)
	const slow = 200
	var ended sync.WaitGroup
	for i := range slow {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		head := "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
		if i%2 == 0 {
			head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
		}
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		ended.Go(func() { // until the server closes it
			defer c.Close()
			_, _ = io.Copy(io.Discard, c)
		})
	}
	answersStill(t, s)
	ended.Wait()
	answersStill(t, s)
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	settleGoroutines(t, before)
}

// settleGoroutines wants no more goroutines than before, give or take those of
// the runtime and the client.
func settleGoroutines(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before+5 && time.Now().Before(deadline) {
		http.DefaultClient.CloseIdleConnections()
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before+5 {
		buf := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before:\n%s", n, before, buf[:runtime.Stack(buf, true)])
	}
}

// TestTenThousandCalls: 10,000 calls, 256 at a time, are each answered or told
// to come back, and neither goroutines nor memory stay.
func TestTenThousandCalls(t *testing.T) {
	before := runtime.NumGoroutine()
	s, cancel, done := start(t, Options{}, nil)
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	client := &http.Client{Transport: transport}
	url := "http://" + s.Addr().String() + "/mcp"
	flood := func(n int) (answered, later int64) {
		var ok, busy, left atomic.Int64
		left.Store(int64(n))
		var wg sync.WaitGroup
		for range 256 {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					resp, err := client.Do(request(t, url, message("echo"), "echo"))
					if err != nil {
						t.Error(err)
						return
					}
					b, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					switch {
					case resp.StatusCode == 200 && bytes.Contains(b, []byte("here")):
						ok.Add(1)
					case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
						busy.Add(1)
					default:
						t.Errorf("%d %.200s", resp.StatusCode, b)
					}
				}
			})
		}
		wg.Wait()
		return ok.Load(), busy.Load()
	}
	flood(1000) // buffers and connections are there
	from := heap()
	answered, later := flood(10_000)
	grown := heap() - from
	t.Logf("%d answered, %d told to come back, heap grown by %d KiB", answered, later, grown>>10)
	if answered+later != 10_000 || answered < 5_000 {
		t.Errorf("%d answered and %d told to come back", answered, later)
	}
	if grown > 16<<20 {
		t.Errorf("%d bytes stay in use", grown)
	}
	transport.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	settleGoroutines(t, before)
}

// TestSessionExpiry: sessions end by their clients' word and by their silence,
// and there are only so many.
func TestSessionExpiry(t *testing.T) {
	s, _, _ := start(t, Options{SessionTTL: time.Second, MaxSessions: 3}, nil)
	url := "http://" + s.Addr().String() + "/mcp"
	hello := func() string {
		r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.Header.Get("Mcp-Session-Id")
	}
	in := func(session, method string) int {
		r, err := http.NewRequest(method, url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set("Mcp-Session-Id", session)
		status, _ := send(t, http.DefaultClient, r)
		return status
	}
	ended, silent := hello(), hello()
	if ended == "" || ended == silent {
		t.Fatalf("sessions %q and %q", ended, silent)
	}
	if got := in(silent, http.MethodPost); got != 200 {
		t.Errorf("in a session: %d", got)
	}
	if got := in(ended, http.MethodDelete); got != 200 {
		t.Errorf("the end of a session: %d", got)
	}
	for name, id := range map[string]string{"ended": ended, "made up": "mcp-session-00000000-0000-0000-0000-000000000000", "no id": "", "a path": "../../x", "long": strings.Repeat("x", 30_000)} {
		if got := in(id, http.MethodPost); got != 404 {
			t.Errorf("%s session: %d, want 404", name, got)
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); s.sessions.count() > 0; {
		select {
		case <-tick.C: // asking by a request would keep it alive
		case <-late:
			t.Fatal("a silent session does not end")
		}
	}
	if got := in(silent, http.MethodPost); got != 404 {
		t.Errorf("in a session that was silent too long: %d", got)
	}
	first := hello()
	for range 2 {
		hello()
	}
	if got := hello(); got != "" {
		t.Errorf("a session beyond the bound: %q", got)
	}
	if in(first, http.MethodDelete); hello() == "" {
		t.Error("no session after one ended")
	}
	for name, c := range map[string]struct {
		id   string
		want int
	}{"without a session": {"", 400}, "of a made up session": {"x", 404}} {
		if got := in(c.id, http.MethodGet); got != c.want {
			t.Errorf("a stream %s: %d, want %d", name, got, c.want)
		}
	}
}

// TestCORS: a configured origin's page gets what a browser asks for, another's
// nothing, and without configuration nobody.
func TestCORS(t *testing.T) {
	const good = "https://good.example"
	for _, c := range []struct {
		name, origin string
		origins      []string
		status       int
		allowed      string
	}{
		{"configured", good, []string{good}, 204, good},
		{"foreign", "https://evil.example", []string{good}, 403, ""},
		{"nothing configured", good, nil, 403, ""},
	} {
		s, _, _ := start(t, Options{Origins: c.origins, Tokens: []string{"0123456789abcdef"}}, nil)
		r, err := http.NewRequest(http.MethodOptions, "http://"+s.Addr().String()+"/mcp", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", c.origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,mcp-protocol-version,mcp-method,mcp-name")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		allowed := strings.ToLower(resp.Header.Get("Access-Control-Allow-Headers"))
		if resp.StatusCode != c.status || resp.Header.Get("Access-Control-Allow-Origin") != c.allowed {
			t.Errorf("%s: %d, for %q", c.name, resp.StatusCode, resp.Header.Get("Access-Control-Allow-Origin"))
		}
		for _, h := range []string{"authorization", "content-type", "mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id"} {
			if c.allowed != "" && !strings.Contains(allowed, h) {
				t.Errorf("%s: %s may not be sent: %s", c.name, h, allowed)
			}
		}
		if resp.Header.Get("Access-Control-Allow-Origin") == "*" || resp.Header.Get("Access-Control-Allow-Credentials") == "true" {
			t.Errorf("%s: open to all", c.name)
		}
	}
}
