package stdio

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
)

// writer writes one message per line, one at a time.
type writer struct {
	mu  sync.Mutex
	out io.Writer
	err error
	// failed is closed when out no longer takes anything.
	failed chan struct{}
}

// send writes a message that belongs to r, unless r was cancelled. It
// reports whether the message could be encoded.
func (w *writer) send(r *request, message any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(message); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || r != nil && r.cancelled {
		return nil
	}
	if _, err := w.out.Write(buf.Bytes()); err != nil {
		w.err = err
		close(w.failed)
	}
	return nil
}

// cancel makes sure that nothing more is written for r.
func (w *writer) cancel(r *request) {
	w.mu.Lock()
	r.cancelled = true
	w.mu.Unlock()
}

// response is an answer with the id exactly as the client wrote it, whatever
// its type and size.
type response struct {
	JSONRPC string                   `json:"jsonrpc"`
	ID      json.RawMessage          `json:"id"`
	Result  any                      `json:"result,omitempty"`
	Error   *mcp.JSONRPCErrorDetails `json:"error,omitempty"`
}

// answer puts id on a message from the protocol engine.
func answer(id json.RawMessage, m mcp.JSONRPCMessage) response {
	r := response{JSONRPC: mcp.JSONRPC_VERSION, ID: id}
	switch m := m.(type) {
	case mcp.JSONRPCResponse:
		r.Result = m.Result
	case mcp.JSONRPCError:
		r.Error = &m.Error
	default:
		r.Error = failure(mcp.INTERNAL_ERROR, "the request had no result")
	}
	return r
}

func failure(code int, message string) *mcp.JSONRPCErrorDetails {
	d := mcp.NewJSONRPCErrorDetails(code, message, nil)
	return &d
}
