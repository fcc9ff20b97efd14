package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// message reads a POST whole, within bounds of size, time and number, before
// its transport sees it. Other methods are streams or ends of sessions.
func (s *Server) message(next http.Handler) http.Handler {
	running := make(chan struct{}, s.opts.MaxRunning)
	waiting := make(chan struct{}, s.opts.MaxRunning+s.opts.MaxWaiting)
	streams := s.stream(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			streams.ServeHTTP(w, r)
			return
		}
		body, ok := s.read(w, r)
		if !ok {
			return
		}
		select {
		case waiting <- struct{}{}:
			defer func() { <-waiting }()
		default:
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable, "too many requests at once")
			return
		}
		if !isListen(body) { // a subscription runs for as long as its client likes
			select {
			case running <- struct{}{}:
				defer func() { <-running }()
			case <-r.Context().Done():
				return
			}
		} else {
			if !s.openStream(w) {
				return
			}
			defer func() { <-s.open }()
			var end context.CancelFunc
			r, end = s.untilEnd(r)
			defer end()
		}
		r.Body = newBody(body)
		r.ContentLength = int64(len(body))
		next.ServeHTTP(w, r)
	})
}

// read returns the body, or answers why not.
func (s *Server) read(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.opts.BodyTimeout)) // every real connection has one
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.opts.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the message is larger than %d bytes", s.opts.MaxBody))
		return nil, false
	case err != nil:
		refuse(w, http.StatusRequestTimeout, "the message did not arrive whole")
		return nil, false
	}
	_ = control.SetReadDeadline(time.Time{})
	if text := bytes.TrimSpace(body); len(text) > 0 && text[0] == '[' {
		// Batches are no part of the protocol since 2025-06-18.
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batches are not supported: send one message at a time"}}`+"\n")
		return nil, false
	}
	return body, true
}

// isListen reports a request that asks for a stream of notifications.
func isListen(body []byte) bool { return bytes.Contains(body, []byte(`"subscriptions/listen"`)) }

// stream ends a response without end when the server ends.
func (s *Server) stream(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.openStream(w) {
			return
		}
		defer func() { <-s.open }()
		r, end := s.untilEnd(r)
		defer end()
		next.ServeHTTP(w, r)
	})
}

// openStream counts a response without end, or refuses it.
func (s *Server) openStream(w http.ResponseWriter) bool {
	select {
	case s.open <- struct{}{}:
		return true
	default:
		w.Header().Set("Retry-After", "60")
		refuse(w, http.StatusServiceUnavailable, "too many streams at once")
		return false
	}
}

// untilEnd returns the request with a context that ends with the server.
func (s *Server) untilEnd(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(s.streams, cancel)
	return r.WithContext(ctx), func() { stop(); cancel() }
}
