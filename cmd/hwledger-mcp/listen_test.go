package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"hwledger/internal/testcert"
)

const toolsList = "tools/list"

// A socket is its owner's, asks for the token of the file, and is gone after.
func TestServeUnixSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no modes there, and Wine has no such sockets")
	}
	dir := t.TempDir()
	socket, tokens := filepath.Join(dir, "mcp.sock"), filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, []byte("0123456789abcdef\nfedcba9876543210\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := listenHTTP(t, nil, "http", "--listen", "unix:"+socket, "--token-file", tokens)
	l.base = "http://localhost"
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	client := &http.Client{Transport: bearer{"fedcba9876543210", &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}}
	if status, body, err := l.post(client, toolsList, "", `"x":1`); err != nil || status != 200 || !strings.Contains(body, "plan_memory") {
		t.Errorf("%v %d %.200s", err, status, body)
	}
	client.Transport = bearer{"0123456789abcdeX", client.Transport.(bearer).next}
	if status, _, err := l.post(client, toolsList, "", `"x":1`); err != nil || status != http.StatusUnauthorized {
		t.Errorf("a wrong token: %v %d", err, status)
	}
	client.CloseIdleConnections()
	l.stop()
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

// bearer sends a token with each request.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// With --client-ca only clients whose certificate it issued are served.
func TestServeMutualTLS(t *testing.T) {
	dir := t.TempDir()
	authority := testcert.Issue(t, dir, "ca", nil)
	testcert.Issue(t, dir, "server", authority)
	pool := x509.NewCertPool()
	pool.AddCert(authority.Leaf)
	file := func(name string) string { return filepath.Join(dir, name) }
	l := listenHTTP(t, nil, "http", "--tls-cert", file("server.pem"), "--tls-key", file("server.key"), "--client-ca", file("ca.pem"))
	l.base = strings.Replace(l.base, "http:", "https:", 1)
	for name, c := range map[string]struct {
		by   *testcert.Issued
		want bool
	}{"a client": {authority, true}, "a stranger": {testcert.Issue(t, dir, "other", nil), false}, "nobody": {nil, false}} {
		config := &tls.Config{RootCAs: pool, ServerName: "localhost"}
		if c.by != nil {
			config.Certificates = []tls.Certificate{testcert.Issue(t, dir, "client", c.by).Pair}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		status, body, err := l.post(client, toolsList, "", `"x":1`)
		if (err == nil && status == 200 && strings.Contains(body, "plan_memory")) != c.want {
			t.Errorf("%s: %v %d %.100s", name, err, status, body)
		}
		client.CloseIdleConnections()
	}
	l.stop()
}

// A call that runs when the server is asked to end is answered first.
func TestServeDrains(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process without our console cannot be asked to end")
	}
	began, release := make(chan struct{}, 8), make(chan struct{})
	address := hub(t, 1, func(r *http.Request) {
		began <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	dir := t.TempDir()
	l := listenHTTP(t, []string{"HF_HUB_OFFLINE=0", "HF_ENDPOINT=" + address, "HF_HOME=" + dir, "HWLEDGER_HOME=" + dir}, "http")
	answered := make(chan string, 1)
	go func() {
		_, body, err := l.post(&http.Client{Transport: &http.Transport{}}, "tools/call", "lookup_model", `"name":"lookup_model","arguments":{"model":"org/name"}`)
		if err != nil {
			body = err.Error()
		}
		answered <- body
	}()
	<-began
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for { // until it listens no more
		c, err := net.Dial("tcp", strings.TrimPrefix(l.base, "http://"))
		if err != nil {
			break
		}
		c.Close()
	}
	close(release)
	if body := <-answered; !strings.Contains(body, `"resolved_from":"hub"`) {
		t.Errorf("%.300s", body)
	}
	if err := l.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// Addresses that other machines reach, and half a TLS, are refused at start.
func TestServeRefusesOpenAddresses(t *testing.T) {
	for _, args := range [][]string{{"--listen", "0.0.0.0:0"}, {"--listen", ":0"}, {"--tls-cert", "x"}, {"--client-ca", "x"}, {"--token-file", "/nowhere"}} {
		code, _, errs := try(t, "", nil, false, append([]string{"serve", "--transport", "http"}, args...)...)
		if code == exitOK || errs == "" {
			t.Errorf("%v: code %d: %s", args, code, errs)
		}
	}
}
