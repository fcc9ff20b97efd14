package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/internal/protocol"
)

// reply is the response to one message. It knows which notifications went out
// on it, and puts a handler's own error in the place of mcp-go's.
type reply struct {
	http.ResponseWriter
	caught *protocol.Caught
	modern bool

	status  int // of a JSON answer, until its body is there
	written atomic.Int64
	wrote   chan struct{} // has an entry after each notification
}

type replyKey struct{}

// replies gives each message its reply.
func replies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, caught := protocol.Catch(r.Context())
		p := &reply{ResponseWriter: w, caught: caught, modern: mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion)), wrote: make(chan struct{}, 1)}
		ctx = protocol.WithAcknowledged(ctx, func(ctx context.Context) { p.settle(ctx, 1) })
		next.ServeHTTP(p, r.WithContext(context.WithValue(ctx, replyKey{}, p)))
		p.header()
	})
}

// Flush sends what was written. mcp-go streams only when there is one.
func (p *reply) Flush() {
	p.header()
	_ = http.NewResponseController(p.ResponseWriter).Flush() // a client that is gone reads nothing
}

// Unwrap is for http.ResponseController.
func (p *reply) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader waits for the body of a JSON answer: the error in it decides.
func (p *reply) WriteHeader(status int) {
	if strings.HasPrefix(p.Header().Get("Content-Type"), "application/json") {
		p.status = status
		return
	}
	p.ResponseWriter.WriteHeader(status)
}

func (p *reply) header() {
	if p.status != 0 {
		p.ResponseWriter.WriteHeader(p.status)
		p.status = 0
	}
}

// notification is in every event that is one: mcp-go writes an event at once.
var notification = []byte(`"method":"notifications/`)

func (p *reply) Write(b []byte) (int, error) {
	n := len(b)
	event, isEvent := bytes.CutPrefix(b, []byte("event: message\ndata: "))
	switch {
	case isEvent && bytes.Contains(b, notification):
		defer p.sent()
	case p.caught.Error() != nil && isEvent:
		b = append([]byte("event: message\ndata: "), p.replaced(bytes.TrimSpace(event))...)
		b = append(b, "\n\n"...)
	case p.caught.Error() != nil && p.status != 0:
		b = append(p.replaced(b), '\n')
	}
	p.header()
	if _, err := p.ResponseWriter.Write(b); err != nil {
		return 0, err
	}
	return n, nil
}

// sent counts a notification that was written.
func (p *reply) sent() {
	p.written.Add(1)
	select {
	case p.wrote <- struct{}{}:
	default:
	}
}

// replaced is a JSON-RPC answer with the handler's error.
func (p *reply) replaced(answer []byte) []byte {
	var m struct {
		JSONRPC string                   `json:"jsonrpc"`
		ID      json.RawMessage          `json:"id"`
		Error   *mcp.JSONRPCErrorDetails `json:"error"`
	}
	if json.Unmarshal(answer, &m) != nil || m.Error == nil {
		return answer
	}
	e := p.caught.Error()
	details := mcp.NewJSONRPCErrorDetails(e.Code, e.Message, e.Data)
	m.Error = &details
	out, err := json.Marshal(m)
	if err != nil {
		return answer
	}
	if p.status != 0 && p.modern {
		p.status = statusOf(e.Code)
	}
	return out
}

// statusOf is the HTTP status of an error, since 2026-07-28.
func statusOf(code int) int {
	switch code {
	case mcp.METHOD_NOT_FOUND:
		return http.StatusNotFound
	case mcp.INVALID_PARAMS, mcp.INVALID_REQUEST, mcp.MISSING_REQUIRED_CLIENT_CAPABILITY:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

const (
	// settleWithin bounds the wait for notifications to be written: only those
	// that a full channel refused never are. sessionSettleWithin does so where a
	// session has other streams that they may go out on.
	settleWithin, sessionSettleWithin = time.Second, 50 * time.Millisecond
	// gap is what the TypeScript client needs between a notification and the
	// answer: of two that come in one piece it loses the first.
	gap = 2 * time.Millisecond
)

// settled holds a tool's result back until the notifications that its handler
// sent are written. mcp-go drops one that it has taken from the session's
// channel when the result comes before it is written.
func settled(next server.ToolHandlerFunc) server.ToolHandlerFunc {
	return func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		p, _ := ctx.Value(replyKey{}).(*reply)
		real, ok := server.ClientSessionFromContext(ctx).(httpSession)
		srv := server.ServerFromContext(ctx)
		if p == nil || !ok || srv == nil {
			return next(ctx, req)
		}
		counted := &countedSession{httpSession: real}
		result, err := next(srv.WithContext(ctx, counted), req)
		if sent := counted.sent.Load(); sent > 0 {
			p.settle(ctx, sent)
		}
		return result, err
	}
}

func (p *reply) settle(ctx context.Context, sent int64) {
	within := settleWithin
	if !p.modern {
		within = sessionSettleWithin
	}
	late := time.NewTimer(within)
	defer late.Stop()
	for p.written.Load() < sent {
		select {
		case <-p.wrote:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
	pause := time.NewTimer(gap)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
}

// httpSession is everything that a session of mcp-go's transport can do, so
// that one around it can do no less.
type httpSession interface {
	server.SessionWithTools
	server.SessionWithResources
	server.SessionWithResourceTemplates
	server.SessionWithLogging
	server.SessionWithClientInfo
	server.SessionWithProtocolVersion
	server.SessionWithStreamableHTTPConfig
	server.SessionWithSubscriptionFilter
	server.SessionWithSampling
	server.SessionWithElicitation
	server.SessionWithRoots
}

// countedSession counts the notifications of one call: mcp-go asks for the
// channel once for each.
type countedSession struct {
	httpSession
	sent atomic.Int64
}

func (s *countedSession) NotificationChannel() chan<- mcp.JSONRPCNotification {
	s.sent.Add(1)
	return s.httpSession.NotificationChannel()
}
