package web

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// sessions are those of the protocol's older versions. mcp-go's own manager
// remembers every session that ever ended, and takes any number of them.
type sessions struct {
	most int

	mu   sync.Mutex
	live map[string]struct{}
}

var _ server.SessionIdManager = (*sessions)(nil)

// Generate begins a session.
func (s *sessions) Generate() string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[id] = struct{}{}
	return id
}

// Validate fails for a session that is not there or no more.
func (s *sessions) Validate(id string) (terminated bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.live[id]; !there {
		return false, errors.New("there is no such session")
	}
	return false, nil
}

// Terminate ends a session: its client asked for that, or it was silent.
func (s *sessions) Terminate(id string) (notAllowed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, id)
	return false, nil
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

// bounded refuses what would begin a session too many, and streams of no
// session: mcp-go begins one for each.
func (s *sessions) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
			if mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion)) {
				break // has no streams of this kind, and is told so
			}
			id := r.Header.Get(server.HeaderKeySessionID)
			if id == "" {
				refuse(w, http.StatusBadRequest, "a stream needs the header "+server.HeaderKeySessionID+" of a session that initialize began")
				return
			}
			if _, err := s.Validate(id); err != nil {
				refuse(w, http.StatusNotFound, "there is no such session; send initialize")
				return
			}
		case http.MethodPost:
			if isInitialize(r) && s.count() >= s.most {
				w.Header().Set("Retry-After", "60")
				refuse(w, http.StatusServiceUnavailable, "too many sessions; end one, or use protocol version "+mcp.LATEST_PROTOCOL_VERSION+", which has none")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// isInitialize reports a message that may begin a session.
func isInitialize(r *http.Request) bool {
	body, ok := r.Body.(*wholeBody)
	return ok && bytes.Contains(body.text, []byte(`initialize"`)) && !bytes.Contains(body.text, []byte(`"notifications/initialized"`))
}

// wholeBody is a body that was read, and can be looked into.
type wholeBody struct {
	*bytes.Reader
	text []byte
}

func newBody(text []byte) *wholeBody { return &wholeBody{bytes.NewReader(text), text} }

// Close does nothing.
func (*wholeBody) Close() error { return nil }
