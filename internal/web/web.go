// Package web serves MCP over HTTP: the Streamable HTTP transport of every
// protocol version and, when asked for, the older HTTP+SSE transport.
//
// The protocol is mcp-go's; this is what stands around its handlers: who may
// connect (addresses, hosts, origins, tokens, certificates), how much they may
// send, how long they may take, and an end that lets answers out.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/server"
)

// Options configure a server. Zero values mean the defaults.
type Options struct {
	// Listen is "host:port" or "unix:/path"; 127.0.0.1:8787.
	Listen string
	// HTTP and SSE choose the transports; HTTP when neither is set.
	HTTP, SSE bool
	// Tokens are the bearer tokens of which a request must carry one; without
	// any, none is asked for.
	Tokens []string
	// TLS serves https when it is set; with ClientCAs in it clients must have
	// a certificate.
	TLS *tls.Config
	// Hosts are names beside the loopback ones that the server is reached by.
	Hosts []string
	// Origins are web origins whose pages may call the server ("https://x").
	Origins []string

	// MaxBody bounds a message in bytes; 8 MiB.
	MaxBody int64
	// MaxRunning is how many messages are worked on at once, 64; MaxWaiting
	// how many more wait for that, 4096. Beyond, clients are told to come back.
	MaxRunning, MaxWaiting int
	// BodyTimeout bounds the arrival of a message; 30 s.
	BodyTimeout time.Duration
	// SessionTTL ends sessions that were silent for so long; 30 min.
	SessionTTL time.Duration
	// Drain is how long answers may take after the end was asked for; 10 s.
	Drain time.Duration
	// Pages are further handlers by pattern, behind the same guards.
	Pages map[string]http.Handler
	// Open are handlers by pattern of pages that are the same for everybody,
	// behind the checks of host and origin but without a token: a browser
	// cannot send one with the address of a page.
	Open map[string]http.Handler
	Log  *slog.Logger
}

func (o *Options) fill() {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:8787"
	}
	if !o.HTTP && !o.SSE {
		o.HTTP = true
	}
	for _, x := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&o.BodyTimeout, 30 * time.Second}, {&o.SessionTTL, 30 * time.Minute}, {&o.Drain, 10 * time.Second}} {
		if *x.v <= 0 {
			*x.v = x.def
		}
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 8 << 20
	}
	if o.MaxRunning <= 0 {
		o.MaxRunning = 64
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = 4096
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Server is a server that listens.
type Server struct {
	opts     Options
	listener net.Listener
	http     *http.Server
	// streams ends the responses that would go on for ever.
	streams context.Context
}

// Listen opens the address. It fails when clients from other machines could
// connect and none of them has to prove who it is.
func Listen(srv *server.MCPServer, opts Options) (*Server, error) {
	opts.fill()
	l, local, err := listen(opts.Listen)
	if err != nil {
		return nil, err
	}
	if !local && len(opts.Tokens) == 0 && (opts.TLS == nil || opts.TLS.ClientAuth != tls.RequireAndVerifyClientCert) {
		l.Close()
		return nil, fmt.Errorf("%s is reached from other machines: that needs tokens or client certificates", opts.Listen)
	}
	s := &Server{opts: opts, listener: l}
	var end context.CancelFunc
	s.streams, end = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s.handler(srv, local),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		TLSConfig:         opts.TLS,
		ErrorLog:          slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
	}
	s.http.RegisterOnShutdown(end)
	return s, nil
}

// maxHeader bounds the header of a request.
const maxHeader = 64 << 10

// Addr returns the address that clients connect to.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until ctx is done, and then until every message was answered
// or the time to drain is over.
func (s *Server) Serve(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		if s.opts.TLS != nil {
			done <- s.http.ServeTLS(s.listener, "", "")
			return
		}
		done <- s.http.Serve(s.listener)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), s.opts.Drain)
	defer cancel()
	if err := s.http.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("%s after the end: %w", s.opts.Drain, err), s.http.Close())
	}
	return nil
}

// handler puts the guards in front of the transports.
func (s *Server) handler(srv *server.MCPServer, local bool) http.Handler {
	mux := http.NewServeMux()
	if s.opts.HTTP {
		mux.Handle("/mcp", s.message(s.streamable(srv)))
	}
	if s.opts.SSE {
		sse := server.NewSSEServer(srv, server.WithKeepAlive(true), server.WithSSECORS(s.cors()...), server.WithUseFullURLForMessageEndpoint(false))
		mux.Handle("/sse", s.stream(sse.SSEHandler()))
		mux.Handle("/message", s.message(sse.MessageHandler()))
	}
	for pattern, h := range s.opts.Pages {
		mux.Handle(pattern, h)
	}
	open := http.NewServeMux()
	open.Handle("/", s.authorized(mux))
	for pattern, h := range s.opts.Open {
		open.Handle(pattern, h)
	}
	guarded := s.fromKnownOrigin(open)
	if local {
		guarded = s.toKnownHost(guarded)
	}
	return s.recovered(guarded)
}

func (s *Server) streamable(srv *server.MCPServer) http.Handler {
	return server.NewStreamableHTTPServer(srv,
		server.WithStateful(true),
		server.WithSessionIdleTTL(s.opts.SessionTTL),
		server.WithHeartbeatInterval(30*time.Second),
		server.WithStreamableHTTPLogger(s.opts.Log),
		server.WithStreamableHTTPCORS(s.cors()...),
		// toKnownHost does this, for configured names too.
		server.WithDisableLocalhostProtection(true),
	)
}

// cors allows the configured origins what a browser's client needs, and
// nothing when there are none.
func (s *Server) cors() []server.CORSOption {
	if len(s.opts.Origins) == 0 {
		return nil
	}
	return []server.CORSOption{
		server.WithCORSAllowedOrigins(s.opts.Origins...),
		server.WithCORSAllowedHeaders("Content-Type", "Accept", "Authorization", "Mcp-Session-Id", "Mcp-Protocol-Version", "Mcp-Method", "Mcp-Name", "Last-Event-ID"),
		server.WithCORSExposedHeaders("Mcp-Session-Id"),
	}
}
