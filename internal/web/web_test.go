package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hwledger/internal/testcert"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// start serves two tools: echo answers at once, hold when release is closed.
func start(t *testing.T, o Options, release chan struct{}) (*Server, context.CancelFunc, chan error) {
	t.Helper()
	srv := server.NewMCPServer("test", "1", server.WithToolCapabilities(false))
	srv.AddTool(mcp.NewTool("echo"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("here"), nil
	})
	srv.AddTool(mcp.NewTool("hold"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return mcp.NewToolResultText("held"), nil
	})
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	s, err := Listen(srv, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(cancel)
	return s, cancel, done
}

func message(tool string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`
}

func request(t *testing.T, url, body, tool string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool} {
		r.Header.Set(k, v)
	}
	return r
}

func send(t *testing.T, c *http.Client, r *http.Request) (int, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestGuards: who may call, and what.
func TestGuards(t *testing.T) {
	const secret = "0123456789abcdef"
	s, _, _ := start(t, Options{Tokens: []string{"another-token-of-16", secret}, Origins: []string{"https://good.example"}, Hosts: []string{"box.lan"}, SSE: true, HTTP: true, MaxBody: 1 << 16}, nil)
	url := "http://" + s.Addr().String() + "/mcp"
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"a program with a token", func(*http.Request) {}, 200},
		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"a wrong token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret+"0") }, 401},
		{"another scheme", func(r *http.Request) { r.Header.Set("Authorization", "Basic "+secret) }, 401},
		{"a foreign host", func(r *http.Request) { r.Host = "evil.example" }, 403},
		{"a foreign host that looks local", func(r *http.Request) { r.Host = "127.0.0.1.evil.example" }, 403},
		{"a configured host", func(r *http.Request) { r.Host = "box.lan:1" }, 200},
		{"localhost", func(r *http.Request) { r.Host = "localhost:1" }, 200},
		{"a foreign page", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, 403},
		{"a page without origin", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"a page of another scheme", func(r *http.Request) { r.Header.Set("Origin", "https://"+s.Addr().String()) }, 403},
		{"our own page", func(r *http.Request) { r.Header.Set("Origin", "http://"+s.Addr().String()) }, 200},
		{"a configured page", func(r *http.Request) { r.Header.Set("Origin", "https://good.example") }, 200},
		{"a foreign page that listens", func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = http.MethodGet, nil, 0
			r.Header.Set("Origin", "http://evil.example")
		}, 403},
		{"a batch", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("[]")), 2 }, 400},
		{"an oversize body", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, 1<<17))), 1<<17
		}, 413},
		{"an oversize body of unknown length", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, 1<<17))), -1
		}, 413},
		{"malformed JSON", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{nope")), 5 }, 400},
		{"deep nesting", func(r *http.Request) {
			deep := `{"jsonrpc":"2.0","id":1,"method":"ping","params":` + strings.Repeat(`{"a":`, 20_00) + "1" + strings.Repeat("}", 20_00) + "}"
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(deep)), int64(len(deep))
		}, 400},
	} {
		r := request(t, url, message("echo"), "echo")
		r.Header.Set("Authorization", "Bearer "+secret)
		c.change(r)
		got, body := send(t, http.DefaultClient, r)
		if got != c.status || strings.Contains(body, secret) {
			t.Errorf("%s: %d, want %d: %.200s", c.name, got, c.status, body)
		}
		if c.status == 200 && !strings.Contains(body, "here") {
			t.Errorf("%s: %.300s", c.name, body)
		}
	}
	if _, err := Listen(server.NewMCPServer("test", "1"), Options{Listen: "0.0.0.0:0"}); err == nil {
		t.Error("a server for other machines without tokens was started")
	}
}

// TestOpen: a page without secrets needs no token, and is behind the other
// guards; what is beside it needs one.
func TestOpen(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the page") })
	s, _, _ := start(t, Options{Tokens: []string{"0123456789abcdef"}, Open: map[string]http.Handler{"/page": page}}, nil)
	for _, c := range []struct {
		path, host, origin string
		status             int
	}{
		{"/page", "localhost", "", 200},
		{"/page", "evil.example", "", 403},
		{"/page", "localhost", "http://evil.example", 403},
		{"/page/more", "localhost", "", 401},
		{"/mcp", "localhost", "", 401},
		{"/page/../mcp", "localhost", "", 401},
	} {
		r, err := http.NewRequest(http.MethodGet, "http://"+s.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque, r.Host = c.path, c.host // as it is, uncleaned
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if status, body := send(t, http.DefaultClient, r); status != c.status {
			t.Errorf("%+v: %d %s", c, status, body)
		}
	}
}

// TestSlowBody: a client that sends a byte now and then is ended, and does not
// hold up others.
func TestSlowBody(t *testing.T) {
	s, _, _ := start(t, Options{BodyTimeout: 50 * time.Millisecond, MaxRunning: 1}, nil)
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	if status, body := send(t, http.DefaultClient, request(t, "http://"+s.Addr().String()+"/mcp", message("echo"), "echo")); status != 200 {
		t.Errorf("another client: %d %s", status, body)
	}
	b, err := io.ReadAll(c)
	if err != nil || !bytes.Contains(b, []byte(" 408 ")) {
		t.Errorf("the slow client got %q, %v", b, err)
	}
}

// TestManyCalls: what is beyond the bounds is told to come back, everything
// else is answered, and nothing is left running.
func TestManyCalls(t *testing.T) {
	before := runtime.NumGoroutine()
	release := make(chan struct{})
	s, cancel, done := start(t, Options{MaxRunning: 4, MaxWaiting: 8}, release)
	url := "http://" + s.Addr().String() + "/mcp"
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	client := &http.Client{Transport: transport}
	const calls = 40
	statuses := make(chan int, calls)
	var wg sync.WaitGroup
	for range calls {
		r := request(t, url, message("hold"), "hold")
		wg.Go(func() {
			resp, err := client.Do(r)
			if err != nil {
				statuses <- -1
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			statuses <- resp.StatusCode
		})
	}
	for range calls - 12 {
		if got := <-statuses; got != http.StatusServiceUnavailable {
			t.Errorf("beyond the bounds: %d", got)
		}
	}
	close(release)
	wg.Wait()
	for range 12 {
		if got := <-statuses; got != http.StatusOK {
			t.Errorf("within the bounds: %d", got)
		}
	}
	transport.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	settleGoroutines(t, before)
}

// TestDrains: a call that runs when the end is asked for is answered; streams
// are ended.
func TestDrains(t *testing.T) {
	release := make(chan struct{})
	s, cancel, done := start(t, Options{SSE: true, HTTP: true}, release)
	stream, err := http.Get("http://" + s.Addr().String() + "/sse")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(stream.Body, first); err != nil {
		t.Fatal(err)
	}
	r := request(t, "http://"+s.Addr().String()+"/mcp", message("hold"), "hold")
	answered := make(chan string, 1)
	go func() {
		_, body := send(t, &http.Client{Transport: &http.Transport{}}, r)
		answered <- body
	}()
	held := make(chan struct{})
	go func() { // the stream ends when the server began to end
		_, _ = io.Copy(io.Discard, stream.Body)
		close(held)
	}()
	for len(answered) == 0 && !running(s) {
		runtime.Gosched()
	}
	cancel()
	<-held
	close(release)
	if body := <-answered; !strings.Contains(body, "held") {
		t.Errorf("%.300s", body)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// running reports whether a call is being worked on.
func running(s *Server) bool {
	buf := make([]byte, 1<<20)
	return bytes.Contains(buf[:runtime.Stack(buf, true)], []byte("web.start.func2"))
}

// TestUnixSocket: the socket is its owner's, a dead one is replaced, a living
// one is not, and none is left.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mcp.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close() // as a killed server leaves it
	_, cancel, done := start(t, Options{Listen: "unix:" + path}, nil)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, _, err := listen("unix:" + path); err == nil {
		t.Error("a second server took the socket")
	}
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	if status, body := send(t, c, request(t, "http://localhost/mcp", message("echo"), "echo")); status != 200 || !strings.Contains(body, "here") {
		t.Errorf("%d %s", status, body)
	}
	c.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestMutualTLS: only clients of the authority connect.
func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	authority := testcert.Issue(t, dir, "ca", nil)
	testcert.Issue(t, dir, "server", authority)
	client := testcert.Issue(t, dir, "client", authority)
	stranger := testcert.Issue(t, dir, "stranger", nil)
	config, err := Certificates(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"), filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s, _, _ := start(t, Options{TLS: config}, nil)
	roots := x509.NewCertPool()
	roots.AddCert(authority.Leaf)
	for _, c := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{{"a client of the authority", []tls.Certificate{client.Pair}, true}, {"a stranger", []tls.Certificate{stranger.Pair}, false}, {"nobody", nil, false}} {
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: c.certs, ServerName: "localhost"}}}
		resp, err := h.Do(request(t, "https://"+s.Addr().String()+"/mcp", message("echo"), "echo"))
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
