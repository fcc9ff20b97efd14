package protocol

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

const (
	// mostSubscriptions bounds those of all clients together.
	mostSubscriptions = 1024
	// mostLost is how many updates in a row a session may be gone for before
	// its subscription ends: over HTTP a client may subscribe before it opens
	// the stream that updates come on, and may vanish without a word.
	mostLost = 3
)

// Watcher calls changed whenever a resource changed, until end is called once.
type Watcher func(changed func()) (end func())

// subscription is one client's interest in one resource. The holder is the
// session's ID, or for a stream of subscriptions/listen the stream itself.
type subscription struct {
	holder any
	uri    string
}

// Subscriptions tell clients that resources changed: those of
// resources/subscribe through their session, those of subscriptions/listen on
// the stream that they hold open. A resource without a watcher never changes.
type Subscriptions struct {
	log *slog.Logger

	mu       sync.Mutex
	watchers map[string]watched
	ends     map[subscription]func()
}

type watched struct {
	srv   *server.MCPServer
	watch Watcher
}

// NewSubscriptions returns those of a server that has none yet.
func NewSubscriptions(log *slog.Logger) *Subscriptions {
	return &Subscriptions{log: log, watchers: map[string]watched{}, ends: map[subscription]func(){}}
}

// Offer lets clients of srv subscribe to a resource.
func (s *Subscriptions) Offer(srv *server.MCPServer, uri string, w Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[uri] = watched{srv, w}
}

// Hooks are what the server calls when clients come, go and subscribe.
func (s *Subscriptions) Hooks() *server.Hooks {
	h := &server.Hooks{}
	h.AddAfterSubscribe(func(ctx context.Context, _ any, req *mcp.SubscribeRequest, _ *mcp.EmptyResult) {
		if session := server.ClientSessionFromContext(ctx); session != nil {
			s.begin(subscription{session.SessionID(), req.Params.URI}, s.toSession(session.SessionID(), req.Params.URI))
		}
	})
	h.AddAfterUnsubscribe(func(ctx context.Context, _ any, req *mcp.UnsubscribeRequest, _ *mcp.EmptyResult) {
		if session := server.ClientSessionFromContext(ctx); session != nil {
			s.end(subscription{session.SessionID(), req.Params.URI})
		}
	})
	h.AddOnUnregisterSession(func(_ context.Context, session server.ClientSession) { s.endAll(session.SessionID()) })
	h.AddBeforeSubscriptionsListen(func(ctx context.Context, id any, req *mcp.SubscriptionsListenRequest) {
		session := server.ClientSessionFromContext(ctx)
		if session == nil {
			return
		}
		uris := slices.Clone(req.Params.Notifications.ResourceSubscriptions)
		slices.Sort(uris)
		for _, uri := range slices.Compact(uris) {
			key := subscription{session, uri}
			s.begin(key, func() error { return toStream(session, id, uri) })
			context.AfterFunc(ctx, func() { s.end(key) })
		}
	})
	return h
}

// begin watches a resource for a subscriber, which send tells. What is not
// watched, or is already, changes nothing.
func (s *Subscriptions) begin(key subscription, send func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.watchers[key.uri]
	if _, twice := s.ends[key]; !ok || twice {
		return
	}
	if len(s.ends) == mostSubscriptions {
		s.log.Warn("too many subscriptions: a client will not hear of changes", "uri", key.uri)
		return
	}
	lost := 0 // used by the watcher's goroutine only
	s.ends[key] = w.watch(func() {
		err := send()
		switch {
		case err == nil:
			lost = 0
			return
		case errors.Is(err, server.ErrSessionNotFound):
			if lost++; lost == mostLost {
				s.end(key)
			}
		}
		s.log.Debug("an update was not sent", "uri", key.uri, "error", err)
	})
}

// end ends a subscription if it is there.
func (s *Subscriptions) end(key subscription) {
	s.mu.Lock()
	end := s.ends[key]
	delete(s.ends, key)
	s.mu.Unlock()
	if end != nil {
		end()
	}
}

// endAll ends all subscriptions of a session.
func (s *Subscriptions) endAll(session string) {
	s.mu.Lock()
	var keys []subscription
	for key := range s.ends {
		if key.holder == session {
			keys = append(keys, key)
		}
	}
	s.mu.Unlock()
	for _, key := range keys {
		s.end(key)
	}
}

// toSession returns what sends an update to a session by its ID: the session
// that a request comes with may end with the request.
func (s *Subscriptions) toSession(id, uri string) func() error {
	return func() error {
		s.mu.Lock()
		srv := s.watchers[uri].srv
		s.mu.Unlock()
		return srv.SendNotificationToSpecificClient(id, mcp.MethodNotificationResourceUpdated, map[string]any{"uri": uri})
	}
}

// toStream sends an update on the stream that a subscriptions/listen request
// holds open; a client that does not read misses some.
func toStream(session server.ClientSession, id any, uri string) error {
	n := mcp.JSONRPCNotification{JSONRPC: mcp.JSONRPC_VERSION, Notification: mcp.Notification{
		Method: mcp.MethodNotificationResourceUpdated,
		Params: mcp.NotificationParams{
			Meta:             map[string]any{mcp.MetaKeySubscriptionID: id},
			AdditionalFields: map[string]any{"uri": uri},
		},
	}}
	select {
	case session.NotificationChannel() <- n:
		return nil
	default:
		return server.ErrNotificationChannelBlocked
	}
}
