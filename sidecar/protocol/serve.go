package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"sync"

	"github.com/sourcegraph/jsonrpc2"
)

// Backend is an engine behind the protocol, for helpers that are written in
// Go. Errors that are *jsonrpc2.Error keep their code.
type Backend interface {
	Initialize(context.Context, InitializeParams) (*InitializeResult, error)
	Load(ctx context.Context, p LoadParams, progress func(ProgressParams)) (*LoadResult, error)
	Unload(context.Context) error
	Memory(context.Context) (*MemoryResult, error)
	// Generate calls token for each piece. When ctx is done it returns what
	// there is, with FinishReason "cancelled".
	Generate(ctx context.Context, p GenerateParams, token func(string)) (*GenerateResult, error)
}

// maxCalls is how many calls of a helper run at once; more are refused.
const maxCalls = 64

// Serve answers calls on in with b until the end of in, shutdown, or the end
// of ctx.
func Serve(ctx context.Context, in io.Reader, out io.Writer, b Backend) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &served{backend: b, stop: stop, slots: make(chan struct{}, maxCalls), cancel: map[string]context.CancelFunc{}}
	conn := jsonrpc2.NewConn(ctx, newStream(in, out, func() error { return nil }, func([]byte) {}), s, jsonrpc2.SetLogger(log.New(io.Discard, "", 0)))
	<-conn.DisconnectNotify()
	stop()
	s.running.Wait()
}

// served is one connection of a helper.
type served struct {
	backend Backend
	stop    context.CancelFunc
	slots   chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	cancel map[string]context.CancelFunc
}

// Handle starts a call; it runs on the read loop.
func (s *served) Handle(ctx context.Context, conn *jsonrpc2.Conn, r *jsonrpc2.Request) {
	raw := json.RawMessage("{}")
	if r.Params != nil {
		raw = *r.Params
	}
	if r.Notif {
		var p CancelParams
		if r.Method == Cancel && json.Unmarshal(raw, &p) == nil {
			s.end(p.Call)
		}
		return
	}
	if r.Method == Ping { // a sign of life takes no part in the work
		_ = conn.Reply(ctx, r.ID, Empty{}) // it may be gone
		return
	}
	select {
	case s.slots <- struct{}{}:
	default:
		_ = conn.ReplyWithError(ctx, r.ID, &jsonrpc2.Error{Code: jsonrpc2.CodeInternalError, Message: "too many calls at once"}) // it may be gone
		return
	}
	var p GenerateParams
	if r.Method == Generate && json.Unmarshal(raw, &p) == nil {
		ctx = s.begin(ctx, p.Call) // before the next message, which may cancel it
	}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		defer func() { <-s.slots }()
		defer s.end(p.Call)
		result, err := s.answer(ctx, conn, r.Method, raw)
		ctx := context.WithoutCancel(ctx)
		if err != nil {
			_ = conn.ReplyWithError(ctx, r.ID, coded(err)) // it may be gone
			return
		}
		_ = conn.Reply(ctx, r.ID, result) // it may be gone
		if r.Method == Shutdown {
			s.stop()
		}
	}()
}

func (s *served) begin(ctx context.Context, call string) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel[call] = cancel
	return ctx
}

func (s *served) end(call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.cancel[call]; cancel != nil {
		cancel()
		delete(s.cancel, call)
	}
}

// answer calls the backend.
func (s *served) answer(ctx context.Context, conn *jsonrpc2.Conn, method string, raw json.RawMessage) (any, error) {
	notify := func(method string, p any) { _ = conn.Notify(ctx, method, p) } // it may be gone
	switch method {
	case Initialize:
		var p InitializeParams
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, err
		}
		if p.ProtocolVersion != Version {
			return nil, &jsonrpc2.Error{Code: CodeVersion, Message: "this helper speaks version " + Version}
		}
		return s.backend.Initialize(ctx, p)
	case Load:
		var p LoadParams
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, err
		}
		return s.backend.Load(ctx, p, func(x ProgressParams) { notify(Progress, x) })
	case Generate:
		var p GenerateParams
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, err
		}
		return s.backend.Generate(ctx, p, func(text string) { notify(Token, TokenParams{Call: p.Call, Text: text}) })
	case Memory:
		return s.backend.Memory(ctx)
	case Unload:
		return Empty{}, s.backend.Unload(ctx)
	case Shutdown:
		return Empty{}, nil
	}
	return nil, &jsonrpc2.Error{Code: jsonrpc2.CodeMethodNotFound, Message: "there is no method " + method}
}

// coded gives an error a code: the library would send 0.
func coded(err error) *jsonrpc2.Error {
	var e *jsonrpc2.Error
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &syntax), errors.As(err, &typ):
		return &jsonrpc2.Error{Code: jsonrpc2.CodeInvalidParams, Message: err.Error()}
	}
	return &jsonrpc2.Error{Code: jsonrpc2.CodeInternalError, Message: err.Error()}
}
