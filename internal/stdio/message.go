package stdio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
)

// message is the envelope of a JSON-RPC message.
type message struct {
	JSONRPC json.RawMessage `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Name    json.RawMessage `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`

	Method string `json:"-"`
}

// parse reads the envelope of a line. When the line is no message, code is
// the JSON-RPC error to answer with and why its text; the message then has
// the id to answer to, if any.
func parse(line []byte) (m message, code int, why string) {
	if line[0] == '[' && json.Valid(line) {
		return m, mcp.INVALID_REQUEST, "batches are not part of MCP; send one message a line"
	}
	if err := json.Unmarshal(line, &m); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return message{}, mcp.PARSE_ERROR, fmt.Sprintf("the line is not JSON: %v at byte %d", err, syntax.Offset)
		}
		return message{}, mcp.INVALID_REQUEST, "the line is not a JSON object"
	}
	invalid := func(why string) (message, int, string) { return m, mcp.INVALID_REQUEST, why }
	if m.ID != nil && !validID(m.ID) {
		m.ID = nil
		return invalid("the id must be a string or a number")
	}
	if string(m.JSONRPC) != `"2.0"` {
		return invalid(`the member "jsonrpc" must be "2.0"`)
	}
	if m.Name == nil {
		if m.Result == nil && m.Error == nil {
			return invalid("the message has neither a method nor a result")
		}
		return m, 0, ""
	}
	if err := json.Unmarshal(m.Name, &m.Method); err != nil || m.Method == "" {
		return invalid("the method must be a string")
	}
	return m, 0, ""
}

// validID reports whether id is a JSON string or number.
func validID(id json.RawMessage) bool {
	if len(id) == 0 || !json.Valid(id) {
		return false
	}
	return id[0] == '"' || id[0] == '-' || id[0] >= '0' && id[0] <= '9'
}

// idKey returns a form in which equal ids are equal: 1 and "1" are not.
func idKey(id json.RawMessage) string {
	var s string
	if id[0] == '"' && json.Unmarshal(id, &s) == nil {
		return `"` + s
	}
	return string(bytes.TrimSpace(id))
}

// cancels returns the key of the request that a cancellation names.
func (m *message) cancels() string {
	var p struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	if json.Unmarshal(m.Params, &p) != nil || !validID(p.RequestID) {
		return ""
	}
	return idKey(p.RequestID)
}

// modern reports whether a request names its protocol version itself, as it
// does from 2026-07-28 on, and so needs no initialize before it.
func (m *message) modern() bool {
	var p struct {
		Meta map[string]json.RawMessage `json:"_meta"`
	}
	var version string
	if json.Unmarshal(m.Params, &p) != nil || json.Unmarshal(p.Meta[mcp.MetaKeyProtocolVersion], &version) != nil {
		return false
	}
	return mcp.IsModernProtocol(version)
}
