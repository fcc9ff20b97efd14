package tools

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
)

// Call is one call of a tool by a client.
type Call struct {
	Tool string
	// Meta is what the client sent beside the arguments, for programs.
	Meta map[string]any
}

// Watcher hears that a call begins; what it returns hears how it ended. The
// call goes on with the context that it returns.
type Watcher func(context.Context, Call) (context.Context, func(*Result))

// watched answers a call before the watchers.
func (s *Surface) watched(ctx context.Context, req mcp.CallToolRequest, answer func(context.Context) *Result) *Result {
	c := Call{Tool: req.Params.Name}
	if req.Params.Meta != nil {
		c.Meta = req.Params.Meta.AdditionalFields
	}
	ends := make([]func(*Result), len(s.opts.Watchers))
	for i, w := range s.opts.Watchers {
		ctx, ends[i] = w(ctx, c)
	}
	r := answer(ctx)
	for i := len(ends) - 1; i >= 0; i-- {
		ends[i](r)
	}
	return r
}
