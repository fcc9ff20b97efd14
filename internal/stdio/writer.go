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
	// line is memory for the next one, of mostKept bytes at most.
	line []byte
	// failed is closed when out no longer takes anything.
	failed chan struct{}
}

// mostKept is the longest line whose memory serves the next.
const mostKept = 64 << 10

// send writes a message that belongs to r, unless r was cancelled. It
// reports whether the message could be encoded.
func (w *writer) send(r *request, message any) error {
	head, body, err := encode(message)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil || r != nil && r.cancelled {
		return nil
	}
	line := body
	if head != nil {
		line = append(append(append(w.line[:0], head...), body...), "}\n"...)
		if w.line = nil; cap(line) <= mostKept {
			w.line = line
		}
	}
	if _, err := w.out.Write(line); err != nil {
		w.err = err
		close(w.failed)
	}
	return nil
}

// encode returns a message as one line. A result that writes itself is not read
// again: encoding/json would check and copy all of it once more, which for an
// answer of some kilobytes is most of the work. Its line is head, the result,
// and the end of the object; head is nil for a message that is a whole line.
func encode(message any) (head, body []byte, err error) {
	if r, ok := message.(response); ok && r.Error == nil {
		if m, ok := r.Result.(json.Marshaler); ok {
			result, err := m.MarshalJSON()
			if err != nil {
				return nil, nil, err
			}
			if bytes.IndexByte(result, '\n') < 0 {
				head = append(make([]byte, 0, len(r.ID)+40), `{"jsonrpc":"`+r.JSONRPC+`","id":`...)
				return append(append(head, r.ID...), `,"result":`...), result, nil
			}
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err = enc.Encode(message)
	return nil, buf.Bytes(), err
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
