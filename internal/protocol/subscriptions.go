package protocol

import (
	"context"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// Subscriptions are the clients that want to hear of changed resources: those
// of the older versions by resources/subscribe, those of 2026-07-28 by
// subscriptions/listen.
type Subscriptions struct {
	srv *server.MCPServer

	mu sync.Mutex
	// sessions are the addresses by session, streams by the session that a
	// subscriptions/listen request has for itself.
	sessions map[string]map[string]bool
	streams  map[server.ClientSession][]string
}

// mostSubscriptions bounds what one session may subscribe to.
const mostSubscriptions = 1000

// Serve makes the server that tells them; Hooks are what it is made with.
func (s *Subscriptions) Serve(srv *server.MCPServer) { s.srv = srv }

// Hooks are what the server calls when clients subscribe and go.
func (s *Subscriptions) Hooks() *server.Hooks {
	hooks := &server.Hooks{}
	hooks.AddAfterSubscribe(func(ctx context.Context, _ any, req *mcp.SubscribeRequest, _ *mcp.EmptyResult) {
		s.subscribe(ctx, req.Params.URI)
	})
	hooks.AddAfterUnsubscribe(func(ctx context.Context, _ any, req *mcp.UnsubscribeRequest, _ *mcp.EmptyResult) {
		session := server.ClientSessionFromContext(ctx)
		if session == nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.sessions[session.SessionID()], req.Params.URI)
	})
	hooks.AddOnUnregisterSession(func(_ context.Context, session server.ClientSession) {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.sessions, session.SessionID())
	})
	hooks.AddBeforeSubscriptionsListen(func(ctx context.Context, _ any, req *mcp.SubscriptionsListenRequest) {
		s.listen(ctx, req.Params.Notifications.ResourceSubscriptions)
	})
	return hooks
}

func (s *Subscriptions) subscribe(ctx context.Context, uri string) {
	session := server.ClientSessionFromContext(ctx)
	if session == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions == nil {
		s.sessions = map[string]map[string]bool{}
	}
	uris := s.sessions[session.SessionID()]
	if uris == nil {
		uris = map[string]bool{}
		s.sessions[session.SessionID()] = uris
	}
	if len(uris) < mostSubscriptions {
		uris[uri] = true
	}
}

// listen keeps a stream's addresses for as long as its request runs.
func (s *Subscriptions) listen(ctx context.Context, uris []string) {
	session := server.ClientSessionFromContext(ctx)
	if session == nil || len(uris) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams == nil {
		s.streams = map[server.ClientSession][]string{}
	}
	s.streams[session] = uris[:min(len(uris), mostSubscriptions)]
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.streams, session)
	})
}

// Updated tells who subscribed to the resource that it has changed.
func (s *Subscriptions) Updated(uri string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, uris := range s.sessions {
		if uris[uri] {
			// A client that is gone or does not read misses what it did not want.
			_ = s.srv.SendNotificationToSpecificClient(id, mcp.MethodNotificationResourceUpdated, map[string]any{"uri": uri})
		}
	}
	for session, uris := range s.streams {
		for _, want := range uris {
			if want != uri {
				continue
			}
			n := mcp.JSONRPCNotification{JSONRPC: mcp.JSONRPC_VERSION, Notification: mcp.Notification{
				Method: mcp.MethodNotificationResourceUpdated,
				Params: mcp.NotificationParams{AdditionalFields: map[string]any{"uri": uri}},
			}}
			select {
			case session.NotificationChannel() <- n:
			default: // it does not read
			}
		}
	}
}
