package protocol

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// Error is a handler's error that reaches the client as it is. mcp-go makes
// every other one an internal error.
type Error struct {
	Code    int
	Message string
	Data    any
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// NotFound is the error for a resource that is not there, with its address in
// the data as the specification of 2026-07-28 wants it.
func NotFound(ctx context.Context, uri, why string) *Error {
	code := mcp.RESOURCE_NOT_FOUND
	if mcp.IsModernProtocol(server.RequestProtocolVersion(ctx)) {
		code = mcp.INVALID_PARAMS
	}
	return &Error{Code: code, Message: why, Data: map[string]any{"uri": uri}}
}

// MissingCapability is the error for a request that its client would have to
// declare a capability for.
func MissingCapability(name string) *Error {
	return &Error{
		Code: mcp.MISSING_REQUIRED_CLIENT_CAPABILITY, Message: "the request needs the client's capability " + name,
		Data: map[string]any{"requiredCapabilities": map[string]any{name: struct{}{}}},
	}
}

type caughtKey struct{}

// Caught holds the error that a request's handler returned.
type Caught struct{ err atomic.Pointer[Error] }

// Error returns the *Error that the request failed with, nil for none.
func (c *Caught) Error() *Error { return c.err.Load() }

// Catch returns a context in which a request's *Error is caught, for the
// transport to send in place of the internal error.
func Catch(ctx context.Context) (context.Context, *Caught) {
	c := &Caught{}
	return context.WithValue(ctx, caughtKey{}, c), c
}

func catchErrors(hooks *server.Hooks) {
	hooks.AddOnError(func(ctx context.Context, _ any, method mcp.MCPMethod, message any, err error) {
		caught, _ := ctx.Value(caughtKey{}).(*Caught)
		if caught == nil {
			return
		}
		var e *Error
		read, isRead := message.(*mcp.ReadResourceRequest)
		switch {
		case errors.As(err, &e):
			caught.err.Store(e)
		case isRead && errors.Is(err, server.ErrResourceNotFound):
			caught.err.Store(NotFound(ctx, read.Params.URI, "there is no such resource; resources/list and resources/templates/list name those there are"))
		}
	})
}
