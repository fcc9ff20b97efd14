package sidecar

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"
)

// proxy gives a sidecar that listens on a UNIX socket an address for other
// clients. The engine itself checks the key; the port cannot be another's,
// since we hold it.
type proxy struct {
	listener  net.Listener
	server    *http.Server
	transport *http.Transport
	done      chan struct{}
}

// transport is one to an engine. Connections are not kept: engines close idle
// ones at times of their own, and a call that meets that is lost, since it is
// not for us to send it twice.
func transport(dial func(ctx context.Context) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true, DisableCompression: true,
	}
}

// overSocket is a transport to a UNIX socket, overPort one to a port of this
// machine.
func overSocket(path string) *http.Transport {
	var d net.Dialer
	return transport(func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "unix", path) })
}

func overPort(port int) *http.Transport {
	var d net.Dialer
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return transport(func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) })
}

func newProxy(socket string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a port for a sidecar: %w", err)
	}
	p := &proxy{listener: l, transport: overSocket(socket), done: make(chan struct{})}
	quiet := log.New(io.Discard, "", 0) // an engine that is not there is no news
	p.server = &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "sidecar" },
			Transport: p.transport, FlushInterval: -1, ErrorLog: quiet,
		},
		ReadHeaderTimeout: 30 * time.Second, ErrorLog: quiet,
	}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(l) // until it is closed
	}()
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) close() {
	_ = p.server.Close() // nothing is lost: the engine has ended
	<-p.done
	p.transport.CloseIdleConnections()
}
