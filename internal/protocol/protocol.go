// Package protocol is what an MCP server needs between mcp-go's engine and our
// transports, whatever it serves: errors with codes of their own, subscriptions
// to resources in both eras, and states that clients carry and cannot make.
package protocol

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// TTL is how long clients may keep what a server lists, in milliseconds.
const TTL = 3_600_000

// PageSize is how many tools, resources or prompts a list shows at once.
const PageSize = 100

type acknowledgedKey struct{}

// WithAcknowledged returns a context in which subscriptions/listen is answered
// after wait: the acknowledgement has to be written first, and a stream that
// nothing was subscribed on ends at once.
func WithAcknowledged(ctx context.Context, wait func(context.Context)) context.Context {
	return context.WithValue(ctx, acknowledgedKey{}, wait)
}

// NewServer returns a server with hooks, whose handlers may return *Error. What
// it lists may be kept for TTL, and what is read may not be kept.
func NewServer(name, version string, hooks *server.Hooks, opts ...server.ServerOption) *server.MCPServer {
	catchErrors(hooks)
	hooks.AddAfterSubscriptionsListen(func(ctx context.Context, _ any, _ *mcp.SubscriptionsListenRequest, _ *mcp.SubscriptionsListenResult) {
		if wait, ok := ctx.Value(acknowledgedKey{}).(func(context.Context)); ok {
			wait(ctx)
		}
	})
	all := append([]server.ServerOption{
		server.WithRecovery(),
		server.WithResourceRecovery(),
		server.WithHooks(hooks),
		server.WithPaginationLimit(PageSize),
		server.WithCacheHints(TTL, mcp.CacheScopePrivate),
		server.WithMethodCacheHints(mcp.MethodResourcesRead, 0, mcp.CacheScopePrivate),
	}, opts...)
	return server.NewMCPServer(name, version, all...)
}
