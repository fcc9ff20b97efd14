package tools

import (
	"context"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/calc/lookup"
)

// withProgress returns a context whose lookups tell the client how far they
// are, when the call asked for that. reported says afterwards whether they did.
func withProgress(ctx context.Context, req mcp.CallToolRequest) (_ context.Context, reported func() bool) {
	srv := server.ServerFromContext(ctx)
	if srv == nil || req.Params.Meta == nil || req.Params.Meta.ProgressToken == nil {
		return ctx, func() bool { return false }
	}
	p := &progress{token: req.Params.Meta.ProgressToken}
	send := func(done, total int64, what string) {
		if params := p.step(done, total, what); params != nil {
			_ = srv.SendNotificationToClient(ctx, "notifications/progress", params) // a client that does not listen loses nothing
		}
	}
	return context.WithValue(lookup.WithProgress(ctx, send), tellKey{}, send), func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.shown > 0 }
}

type tellKey struct{}

// tellProgress tells the client of the call how far it is, when it asked for
// that: done of total steps, 0 when the total is not known.
func tellProgress(ctx context.Context, done, total int64, what string) {
	if send, ok := ctx.Value(tellKey{}).(func(done, total int64, what string)); ok {
		send(done, total, what)
	}
}

// progress makes one rising count of the steps of several lookups, which
// arrive out of order.
type progress struct {
	token any

	mu                 sync.Mutex
	before             int64 // steps of lookups that are over
	done, total, shown int64
}

// step returns the notification's parameters, nil when there is nothing new.
func (p *progress) step(done, total int64, what string) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	if total != p.total || done == 1 && p.done == p.total {
		p.before, p.done, p.total = p.before+p.done, 0, total
	}
	p.done = max(p.done, done)
	now := p.before + p.done
	if now <= p.shown {
		return nil
	}
	p.shown = now
	params := map[string]any{"progressToken": p.token, "progress": now, "message": what}
	if total > 0 {
		params["total"] = p.before + total
	}
	return params
}
