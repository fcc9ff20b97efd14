// Package protocol is the helper protocol: JSON-RPC 2.0 on the standard input
// and output of a child process, one message a line. README.md describes it,
// schema.json is its schema. It exists for engines that have no server of
// their own, such as an MLX or transformers script.
//
// Whatever else the helper prints on standard output goes to the log: a stray
// line never ends the connection.
package protocol

import _ "embed"

// Version is the protocol's version. A helper of another version is refused
// in the handshake.
const Version = "1"

// Schema is the JSON Schema of every message's parameters and results.
//
//go:embed schema.json
var Schema []byte

// The methods. Cancel, Token and Progress are notifications; the latter two
// come from the helper.
const (
	Initialize = "initialize"
	Ping       = "ping"
	Load       = "load"
	Unload     = "unload"
	Memory     = "memory"
	Generate   = "generate"
	Cancel     = "cancel"
	Shutdown   = "shutdown"
	Token      = "token"
	Progress   = "progress"
)

// InitializeParams begin a connection.
type InitializeParams struct {
	ProtocolVersion string `json:"protocol_version"`
	Client          string `json:"client,omitempty"`
}

// InitializeResult is what the helper is.
type InitializeResult struct {
	ProtocolVersion string `json:"protocol_version"`
	// Name and Version are those of the engine.
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// LoadParams say what to load.
type LoadParams struct {
	// Model is a path, or a repository's name where the helper may fetch.
	Model         string `json:"model"`
	ContextTokens int64  `json:"context_tokens,omitempty"`
	Sequences     int64  `json:"sequences,omitempty"`
	// Offline forbids the network.
	Offline bool `json:"offline,omitempty"`
	// Arguments are the engine's own, for a helper that wraps a program.
	Arguments []string `json:"arguments,omitempty"`
}

// LoadResult is what was loaded.
type LoadResult struct {
	Model string `json:"model"`
}

// MemoryResult is what the engine holds. What it does not know it leaves out.
type MemoryResult struct {
	Buffers []Buffer `json:"buffers,omitempty"`
	// Resident is system memory of the helper and its children in bytes, Peak
	// the most that it was.
	Resident int64 `json:"resident_bytes,omitempty"`
	Peak     int64 `json:"peak_bytes,omitempty"`
}

// Buffer is one allocation.
type Buffer struct {
	// Kind is weights, kv_cache, state, workspace or runtime.
	Kind   string `json:"kind"`
	Device string `json:"device,omitempty"`
	Bytes  int64  `json:"bytes"`
}

// Message is one turn of a chat.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// GenerateParams ask for text: Messages for a chat, or Prompt.
type GenerateParams struct {
	// Call names this call in Token and Cancel; the caller chooses it.
	Call        string    `json:"call"`
	Messages    []Message `json:"messages,omitempty"`
	Prompt      string    `json:"prompt,omitempty"`
	MaxTokens   int64     `json:"max_tokens,omitempty"`
	Temperature *float64  `json:"temperature,omitempty"`
}

// GenerateResult is the whole of a generated text.
type GenerateResult struct {
	Text             string `json:"text"`
	FinishReason     string `json:"finish_reason"`
	PromptTokens     int64  `json:"prompt_tokens,omitempty"`
	CompletionTokens int64  `json:"completion_tokens,omitempty"`
}

// CancelParams end a call: it is answered with what there is, and
// finish_reason "cancelled".
type CancelParams struct {
	Call string `json:"call"`
}

// TokenParams are a piece of a call's text.
type TokenParams struct {
	Call string `json:"call"`
	Text string `json:"text"`
}

// ProgressParams say how far a load is.
type ProgressParams struct {
	Message string `json:"message,omitempty"`
	Done    int64  `json:"done,omitempty"`
	Total   int64  `json:"total,omitempty"`
}

// Empty is the parameters or the result of methods that have none.
type Empty struct{}

// The error codes beside JSON-RPC's own.
const (
	CodeVersion     = -32001 // protocol versions differ
	CodeNotLoaded   = -32002 // no model is loaded
	CodeBadModel    = -32003 // the model cannot be loaded
	CodeOutOfMemory = -32004
)
