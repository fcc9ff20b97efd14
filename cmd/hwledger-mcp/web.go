package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"hwledger/internal/observe"
	"hwledger/internal/planner"
	"hwledger/internal/web"
	"hwledger/tools"
)

// network is what the command line says about HTTP.
type network struct {
	listen, tokenFile, cert, key, clientCA *string
	hosts, origins                         *string
	metrics                                *bool
}

func webFlags(f *flag.FlagSet) network {
	return network{
		listen:    f.String("listen", "127.0.0.1:8787", "address of http and sse: host:port or unix:/path"),
		tokenFile: f.String("token-file", "", "`file` with the bearer tokens that clients may use, one a line; also in HWLEDGER_TOKEN"),
		cert:      f.String("tls-cert", "", "`file` with the server's certificate, for https"),
		key:       f.String("tls-key", "", "`file` with its key"),
		clientCA:  f.String("client-ca", "", "`file` with the authorities whose clients may connect (mutual TLS)"),
		hosts:     f.String("allow-host", "", "names that the server is reached by beside localhost, comma separated"),
		origins:   f.String("allow-origin", "", "web origins whose pages may call the server, comma separated"),
		metrics:   f.Bool("metrics", false, "serve metrics for Prometheus at /metrics"),
	}
}

// options reads the files that the flags name.
func (n network) options(e *env) (web.Options, error) {
	o := web.Options{Listen: *n.listen, Hosts: words(*n.hosts), Origins: words(*n.origins)}
	var err error
	if o.Tokens, err = tokens(*n.tokenFile, e.getenv("HWLEDGER_TOKEN")); err != nil {
		return o, err
	}
	switch {
	case *n.cert != "" && *n.key != "":
		o.TLS, err = web.Certificates(*n.cert, *n.key, *n.clientCA)
	case *n.cert != "" || *n.key != "" || *n.clientCA != "":
		err = errors.New("--tls-cert and --tls-key go together, and --client-ca needs both")
	}
	return o, err
}

// leastToken is the fewest characters of a token that nobody guesses.
const leastToken = 16

// tokens returns those of the file and of the environment.
func tokens(file, env string) ([]string, error) {
	var out []string
	if env != "" {
		out = append(out, env)
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the tokens: %w", err)
		}
		lines := strings.Fields(string(b))
		if len(lines) == 0 {
			return nil, fmt.Errorf("%s holds no token", file)
		}
		out = append(out, lines...)
	}
	if slices.ContainsFunc(out, func(t string) bool { return len(t) < leastToken }) {
		return nil, fmt.Errorf("a token has fewer than %d characters", leastToken)
	}
	return out, nil
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// settle is how long an answer waits for notifications over HTTP.
const settle = 3 * time.Millisecond

func serveWeb(e *env, opts tools.Options, n network, transports string) int {
	o, err := n.options(e)
	if err != nil {
		return misuse(e, "%v", err)
	}
	opts.Settle = settle
	if *n.metrics {
		m := observe.NewMetrics(version())
		opts.Watchers = append(opts.Watchers, m.Watch)
		o.Pages = map[string]http.Handler{"GET /metrics": m}
	}
	srv, code := mcpServer(e, opts)
	if srv == nil {
		return code
	}
	o.Open = map[string]http.Handler{}
	if strings.Contains(transports, "http") { // which the page talks to
		o.Open["/planner"] = planner.Handler()
	}
	o.HTTP, o.SSE, o.Log = strings.Contains(transports, "http"), strings.Contains(transports, "sse"), opts.Log
	s, err := web.Listen(srv, o)
	if err != nil {
		fmt.Fprintf(e.stderr, "hwledger-mcp: %v\n", err)
		return exitError
	}
	scheme := "http"
	if o.TLS != nil {
		scheme = "https"
	}
	opts.Log.Info("listening", "address", s.Addr().String(), "scheme", scheme, "transports", transports, "tokens", len(o.Tokens), "client_certificates", o.TLS != nil && o.TLS.ClientAuth == tls.RequireAndVerifyClientCert)
	if err := s.Serve(e.ctx); err != nil {
		opts.Log.Error("the server ended", "error", err)
		return exitError
	}
	return exitOK
}
