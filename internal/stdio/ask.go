package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// asker holds the requests that the server sent its client: how the versions
// before 2026-07-28 ask the person behind it, its model, or for its roots.
// mcp-go refuses to send any to a client of the newer version.
type asker struct {
	mu    sync.Mutex
	last  int64
	open  map[string]chan message
	ended bool
}

var errEnded = errors.New("the client's messages have ended: it cannot answer")

// begin returns an id for a request, and where its answer will come.
func (a *asker) begin() (id json.RawMessage, answer chan message, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return nil, nil, errEnded
	}
	a.last++
	id = fmt.Appendf(nil, `"server-%d"`, a.last)
	answer = make(chan message, 1)
	if a.open == nil {
		a.open = map[string]chan message{}
	}
	a.open[idKey(id)] = answer
	return id, answer, nil
}

// take ends the wait for an answer, nil when nobody waits.
func (a *asker) take(id json.RawMessage) chan message {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer := a.open[idKey(id)]
	delete(a.open, idKey(id))
	return answer
}

// end lets everyone go who waits: no more answers come.
func (a *asker) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	for _, answer := range a.open {
		close(answer)
	}
	a.open = nil
}

// question is a request to the client.
type question struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  mcp.MCPMethod   `json:"method"`
	Params  any             `json:"params,omitempty"`
}

// ask sends the client a request for the one that runs, and decodes its answer
// into result.
func (s *session) ask(ctx context.Context, method mcp.MCPMethod, params, result any) error {
	if s.req == nil {
		return errors.New("there is no request that it could belong to")
	}
	id, answer, err := s.asks.begin()
	if err != nil {
		return err
	}
	defer s.asks.take(id)
	if err := s.out.send(s.req, question{mcp.JSONRPC_VERSION, id, method, params}); err != nil {
		return err
	}
	select {
	case m, ok := <-answer:
		switch {
		case !ok:
			return errEnded
		case m.Error != nil:
			var e mcp.JSONRPCErrorDetails
			if err := json.Unmarshal(m.Error, &e); err != nil {
				return fmt.Errorf("%s: the client's error cannot be read: %w", method, err)
			}
			return fmt.Errorf("%s: the client answered: %s", method, e.Message)
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			return fmt.Errorf("%s: the client's answer cannot be read: %w", method, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	_ server.SessionWithElicitation = (*session)(nil)
	_ server.SessionWithSampling    = (*session)(nil)
	_ server.SessionWithRoots       = (*session)(nil)
)

// RequestElicitation asks the person behind the client.
func (s *session) RequestElicitation(ctx context.Context, req mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	var r mcp.ElicitationResult
	return &r, s.ask(ctx, mcp.MethodElicitationCreate, req.Params, &r)
}

// RequestSampling asks the client's model.
func (s *session) RequestSampling(ctx context.Context, req mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	var r mcp.CreateMessageResult
	if err := s.ask(ctx, mcp.MethodSamplingCreateMessage, req.CreateMessageParams, &r); err != nil {
		return nil, err
	}
	var err error
	r.Content, err = mcp.ParseSamplingContent(r.Content)
	return &r, err
}

// ListRoots asks for the folders that the client works in.
func (s *session) ListRoots(ctx context.Context, _ mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	var r mcp.ListRootsResult
	return &r, s.ask(ctx, mcp.MethodListRoots, nil, &r)
}
