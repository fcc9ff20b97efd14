// Package fetch reads metadata over HTTP for people who did not choose the
// server: bounded bodies and headers, retries that honour Retry-After, no
// private addresses unless the operator configured them, and byte ranges that
// grow without reading anything twice.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"hwledger/calc/model"
)

// Options configure a Client. Zero values are defaults.
type Options struct {
	// Trusted are base URLs that the operator configured (HF_ENDPOINT,
	// OLLAMA_HOST): their hosts may be private addresses.
	Trusted []string
	// Tokens are bearer tokens by the base URL they belong to. A token is
	// never sent to another host, not even after a redirect.
	Tokens map[string]string
	// UserAgent names the program.
	UserAgent string
	// Attempts is how often a request is tried in all; 4 by default.
	Attempts int
	// Backoff is the pause before the second attempt, doubled for each one
	// after; 500 ms by default.
	Backoff time.Duration
	// Timeout bounds one attempt until its header is there, and each pause
	// within its body; 20 s by default.
	Timeout time.Duration
	// Dial bounds one connection's set-up; 5 s by default.
	Dial time.Duration
}

// Client makes requests. It may be used by many goroutines.
type Client struct {
	http    *http.Client
	opts    Options
	trusted map[string]bool   // host:port
	tokens  map[string]string // by host:port
	proxies sync.Map          // host:port of the operator's proxies
	down    sync.Map          // host:port that did not answer: when
}

// maxHeader bounds a response's header; maxRedirects the hops to a CDN.
const (
	maxHeader    = 64 << 10
	maxRedirects = 6
)

// New returns a client.
func New(o Options) *Client {
	if o.Attempts == 0 {
		o.Attempts = 4
	}
	if o.Backoff == 0 {
		o.Backoff = 500 * time.Millisecond
	}
	if o.Timeout == 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Dial == 0 {
		o.Dial = 5 * time.Second
	}
	c := &Client{opts: o, trusted: map[string]bool{}, tokens: map[string]string{}}
	for _, base := range o.Trusted {
		if u, err := url.Parse(base); err == nil {
			c.trusted[hostPort(u)] = true
		}
	}
	for base, token := range o.Tokens {
		if u, err := url.Parse(base); err == nil && token != "" {
			c.tokens[hostPort(u)] = token
		}
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                  c.proxy,
			DialContext:            c.dial,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    16,
			MaxConnsPerHost:        16,
			IdleConnTimeout:        30 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  o.Timeout,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: c.redirect,
	}
	return c
}

// hostPort returns the host and port that a URL connects to.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// check refuses URLs that a model reference has no business with.
func check(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return model.Errorf(model.InvalidArgument, "model", "%q is not an http or https address", u.Redacted())
	case u.Hostname() == "":
		return model.Errorf(model.InvalidArgument, "model", "%q names no host", u.Redacted())
	case u.User != nil:
		return model.Errorf(model.InvalidArgument, "model", "%q carries credentials", u.Redacted()).
			WithHint("set HF_TOKEN instead of writing a password into an address")
	}
	return nil
}

// proxy is the operator's proxy for a request; its address may be private. The
// proxy resolves names where they cannot be checked, but an address that is
// written as a number is.
func (c *Client) proxy(req *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(req)
	if u == nil || err != nil {
		return u, err
	}
	if ip, err := netip.ParseAddr(req.URL.Hostname()); err == nil && !public(ip.Unmap()) && !c.trusted[hostPort(req.URL)] {
		return nil, &privateError{addr: ip.String()}
	}
	c.proxies.Store(hostPort(u), true)
	return u, nil
}

func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme == "http" && !c.trusted[hostPort(req.URL)] {
		return errors.New("a redirect from https to http")
	}
	c.authorize(req)
	return check(req.URL)
}

// authorize sets the token of the request's own host and removes any other.
func (c *Client) authorize(req *http.Request) {
	req.Header.Del("Authorization")
	if t := c.tokens[hostPort(req.URL)]; t != "" {
		req.Header.Set("Authorization", "Bearer "+t)
	}
}

// privateError is a connection that was refused because of its address.
type privateError struct{ addr string }

func (e *privateError) Error() string { return e.addr + " is a private address" }

// dial connects, refusing private addresses after the name was resolved, so
// that a public name that points inside does not help.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: c.opts.Dial}
	if isQuick(ctx) {
		d.Timeout = min(d.Timeout, quickDial)
	}
	if _, proxy := c.proxies.Load(strings.ToLower(addr)); !proxy && !c.trusted[strings.ToLower(addr)] {
		d.Control = func(_, resolved string, _ syscall.RawConn) error {
			ip, err := netip.ParseAddrPort(resolved)
			if err != nil || !public(ip.Addr().Unmap()) {
				return &privateError{addr: resolved}
			}
			return nil
		}
	}
	return d.DialContext(ctx, network, addr)
}

// shared are ranges that are neither private by RFC 1918 nor public: carrier
// NAT, this network, benchmarks, protocol assignments, and reserved ones.
var shared = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
}

func public(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range shared {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// Reply is a small body with what its header said.
type Reply struct {
	Body []byte
	// ETag identifies the content; NotModified is set when it is the one that
	// was asked about, and Body is nil then.
	ETag        string
	NotModified bool
	// Commit is the repository's commit that the Hub served.
	Commit string
	// Next is the address of the next page, from a Link header.
	Next string
}

// Get reads a whole body of at most limit bytes. With an etag the server is
// asked whether it changed.
func (c *Client) Get(ctx context.Context, address string, limit int64, etag string) (*Reply, error) {
	var out *Reply
	err := c.retry(ctx, address, func(h http.Header) {
		if etag != "" {
			h.Set("If-None-Match", etag)
		}
	}, func(resp *http.Response) error {
		out = &Reply{ETag: resp.Header.Get("ETag"), Commit: resp.Header.Get("X-Repo-Commit"), Next: next(resp.Header.Get("Link"))}
		switch resp.StatusCode {
		case http.StatusNotModified:
			out.NotModified = true
			return nil
		case http.StatusOK:
		default:
			return status(resp, address)
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
		if err != nil {
			return err
		}
		if int64(len(b)) > limit {
			return model.Errorf(model.MalformedFile, "model", "%s is larger than %d bytes", shown(address), limit)
		}
		out.Body = b
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// next returns the target of a Link header with rel="next".
func next(link string) string {
	for _, part := range strings.Split(link, ",") {
		target, params, ok := strings.Cut(strings.TrimSpace(part), ">")
		if ok && strings.HasPrefix(target, "<") && strings.Contains(params, `rel="next"`) {
			return target[1:]
		}
	}
	return ""
}
