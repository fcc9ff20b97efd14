package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"hwledger/calc/lookup/fetch"
	"hwledger/calc/model"
)

// ollamaDaemon is a running Ollama, which the operator names with OLLAMA_HOST: its
// address may be private.
type ollamaDaemon struct {
	base   string // without a slash at its end
	local  bool   // on this machine
	client *fetch.Client
}

// What a daemon's answers may take, in bytes and time. A verbose description
// has the whole vocabulary in it.
const (
	maxShow       = 128 << 20
	maxTags       = 16 << 20
	maxRunning    = 1 << 20
	daemonDial    = time.Second
	daemonShow    = 20 * time.Second
	daemonTags    = 3 * time.Second
	daemonRunning = time.Second
)

// newOllamaDaemon returns the daemon that OLLAMA_HOST names, or the one at its
// usual address. It fails with InvalidArgument when the address is none.
func newOllamaDaemon() (*ollamaDaemon, error) {
	u := ollamaAddress(ollamaEnv("OLLAMA_HOST"))
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, model.Errorf(model.InvalidArgument, "OLLAMA_HOST", "is not the address of an http server")
	}
	d := &ollamaDaemon{base: strings.TrimRight(u.String(), "/"), local: u.Hostname() == "localhost"}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		d.local = ip.IsLoopback()
	}
	d.client = fetch.New(fetch.Options{Trusted: []string{d.base}, UserAgent: "hwledger", Attempts: 1, Dial: daemonDial, Timeout: daemonShow})
	return d, nil
}

// ollamaAddress reads OLLAMA_HOST as Ollama does: [scheme://]host[:port][/path],
// where a scheme changes the port that is meant, a port that is none means the
// usual one, and an address to listen on everywhere means this machine.
// (ollama envconfig: Host, ConnectableHost)
func ollamaAddress(s string) *url.URL {
	usual := "11434"
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case !ok && s == "ollama.com":
		scheme, rest = "https", "ollama.com:443"
	case !ok:
		scheme, rest = "http", s
	case scheme == "http":
		usual = "80"
	case scheme == "https":
		usual = "443"
	}
	rest, path, _ := strings.Cut(rest, "/")
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		host, port = strings.Trim(rest, "[]"), usual
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		port = usual
	} else {
		port = strconv.FormatUint(n, 10)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		if host = "127.0.0.1"; ip.Is6() {
			host = "::1"
		}
	}
	u := &url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port)}
	if path != "" {
		u.Path = "/" + path
	}
	return u
}

// decode reads an answer; numbers keep their digits.
func (d *ollamaDaemon) decode(raw []byte, path string, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return &model.Error{Code: model.MalformedFile, Field: d.base + path, Message: "the answer is not what Ollama's API documents", Err: err}
	}
	return nil
}

// get reads an answer of the daemon within a time.
func (d *ollamaDaemon) get(ctx context.Context, path string, limit int64, within time.Duration, into any) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	reply, err := d.client.Get(ctx, d.base+path, limit, "")
	if err != nil {
		return err
	}
	return d.decode(reply.Body, path, into)
}

// tags lists the daemon's models, without those that run in a cloud.
func (d *ollamaDaemon) tags(ctx context.Context) ([]Listing, error) {
	var reply struct {
		Models []struct {
			Name       string    `json:"name"`
			Size       int64     `json:"size"`
			Modified   time.Time `json:"modified_at"`
			RemoteHost string    `json:"remote_host"`
		} `json:"models"`
	}
	if err := d.get(ctx, "/api/tags", maxTags, daemonTags, &reply); err != nil {
		return nil, err
	}
	var out []Listing
	for _, m := range reply.Models {
		n, ok := parseOllama(m.Name)
		if !ok || m.RemoteHost != "" || len(out) == maxOllamaModels {
			continue
		}
		out = append(out, Listing{Ref: ollamaPrefix + n.String(), Source: "ollama", Bytes: max(0, m.Size), Modified: m.Modified})
	}
	return out, nil
}

// addRunning adds what the daemon says of the model when it is loaded now. A
// daemon that does not answer says nothing.
func (d *ollamaDaemon) addRunning(ctx context.Context, r *Result, name ollamaName) {
	var reply struct {
		Models []struct {
			Name    string    `json:"name"`
			Size    int64     `json:"size"`
			VRAM    int64     `json:"size_vram"`
			Context int64     `json:"context_length"`
			Expires time.Time `json:"expires_at"`
		} `json:"models"`
	}
	const path = "/api/ps"
	if err := d.get(ctx, path, maxRunning, daemonRunning, &reply); err != nil {
		return
	}
	for _, m := range reply.Models {
		n, ok := parseOllama(m.Name)
		if !ok || !n.same(name) {
			continue
		}
		from := "Ollama at " + d.base + ": " + path
		r.Provenance = append(r.Provenance,
			fact("running_bytes", strconv.FormatInt(m.Size, 10), from+": size"),
			fact("running_vram_bytes", strconv.FormatInt(m.VRAM, 10), from+": size_vram"))
		if !m.Expires.IsZero() {
			r.Provenance = append(r.Provenance, fact("running_until", m.Expires.UTC().Format(time.RFC3339), from+": expires_at"))
		}
		if m.Context > 0 { // older daemons do not say
			tokens := strconv.FormatInt(m.Context, 10)
			r.Provenance = append(r.Provenance, fact("running_context_tokens", tokens, from+": context_length"))
			if r.Settings == nil {
				r.Settings = map[string]string{}
			}
			r.Settings["context_length"] = tokens
		}
		return
	}
}
