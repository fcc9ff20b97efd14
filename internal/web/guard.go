package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
)

// refuse answers with a status and one line of text.
func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // a client that is gone reads nothing
}

// recovered answers 500 when a handler panics, instead of breaking off.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p) // means to break off
			}
			s.opts.Log.Error("panic", "path", r.URL.Path, "value", p, "stack", string(debug.Stack()))
			refuse(w, http.StatusInternalServerError, "internal error")
		}()
		next.ServeHTTP(w, r)
	})
}

// toKnownHost refuses requests for a host that is not one of ours: a page whose
// name was made to point at this machine (DNS rebinding) sends its own.
func (s *Server) toKnownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.knows(r.Host) {
			refuse(w, http.StatusForbidden, "this server is not "+printable(r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) knows(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(strings.ToLower(name), "[]")
	if name == "localhost" {
		return true
	}
	if ip := net.ParseIP(name); ip != nil && ip.IsLoopback() {
		return true
	}
	return slices.ContainsFunc(s.opts.Hosts, func(h string) bool { return strings.EqualFold(h, name) || strings.EqualFold(h, host) })
}

// fromKnownOrigin refuses requests of web pages that are not this server's own
// and not configured. Programs send no Origin.
func (s *Server) fromKnownOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin != "" && !s.trusts(origin, r) {
			refuse(w, http.StatusForbidden, "pages of this origin may not call this server")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) trusts(origin string, r *http.Request) bool {
	if slices.Contains(s.opts.Origins, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == r.Host && (u.Scheme == "https") == (r.TLS != nil)
}

// authorized asks for one of the tokens. Comparing digests takes the same time
// for every token, right or wrong, long or short.
func (s *Server) authorized(next http.Handler) http.Handler {
	if len(s.opts.Tokens) == 0 {
		return next
	}
	want := make([][sha256.Size]byte, len(s.opts.Tokens))
	for i, t := range s.opts.Tokens {
		want[i] = sha256.Sum256([]byte(t))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(token))
		ok := 0
		for i := range want {
			ok |= subtle.ConstantTimeCompare(got[:], want[i][:])
		}
		preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
		if !preflight && (ok != 1 || !strings.EqualFold(scheme, "bearer")) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "a bearer token is needed")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// printable keeps what may stand in a message.
func printable(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}
