package stdio

import (
	"sync"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// client is what is known about the one client of a connection.
type client struct {
	initialized atomic.Bool

	mu      sync.Mutex
	info    mcp.Implementation
	caps    mcp.ClientCapabilities
	version string
	level   mcp.LoggingLevel
}

// SessionID returns the connection's name; there is only one.
func (c *client) SessionID() string { return "stdio" }

// Initialize marks the client ready for notifications.
func (c *client) Initialize() { c.initialized.Store(true) }

// Initialized reports whether the client is ready for notifications.
func (c *client) Initialized() bool { return c.initialized.Load() }

// GetClientInfo returns what the client calls itself.
func (c *client) GetClientInfo() mcp.Implementation { return locked(c, &c.info) }

// SetClientInfo records what the client calls itself.
func (c *client) SetClientInfo(v mcp.Implementation) { store(c, &c.info, v) }

// GetClientCapabilities returns what the client can do.
func (c *client) GetClientCapabilities() mcp.ClientCapabilities { return locked(c, &c.caps) }

// SetClientCapabilities records what the client can do.
func (c *client) SetClientCapabilities(v mcp.ClientCapabilities) { store(c, &c.caps, v) }

// ProtocolVersion returns the version agreed on by initialize.
func (c *client) ProtocolVersion() string { return locked(c, &c.version) }

// SetProtocolVersion records the version agreed on by initialize.
func (c *client) SetProtocolVersion(v string) { store(c, &c.version, v) }

// GetLogLevel returns the least level of log messages the client wants.
func (c *client) GetLogLevel() mcp.LoggingLevel {
	if l := locked(c, &c.level); l != "" {
		return l
	}
	return mcp.LoggingLevelError
}

// SetLogLevel records the least level of log messages the client wants.
func (c *client) SetLogLevel(v mcp.LoggingLevel) { store(c, &c.level, v) }

func locked[T any](c *client, v *T) T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *v
}

func store[T any](c *client, to *T, v T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*to = v
}

// session is the client as one request sees it. Each request has its own
// notification channel, so that what it sends is written before its result
// and nothing is written after.
type session struct {
	*client
	out  *writer
	asks *asker
	req  *request // nil for the connection itself

	once sync.Once
	ch   chan mcp.JSONRPCNotification
	stop chan struct{}
	done chan struct{}
}

var (
	_ server.SessionWithLogging         = (*session)(nil)
	_ server.SessionWithClientInfo      = (*session)(nil)
	_ server.SessionWithProtocolVersion = (*session)(nil)
)

// pendingNotifications is how many notifications of one request may wait for
// a slow reader; mcp-go drops what does not fit.
const pendingNotifications = 256

// NotificationChannel returns the request's channel, and starts writing from
// it. It is nil, and takes nothing, once the request was answered.
func (s *session) NotificationChannel() chan<- mcp.JSONRPCNotification {
	s.once.Do(func() {
		s.ch = make(chan mcp.JSONRPCNotification, pendingNotifications)
		s.stop, s.done = make(chan struct{}), make(chan struct{})
		go s.pump()
	})
	return s.ch
}

func (s *session) pump() {
	defer close(s.done)
	for {
		select {
		case n := <-s.ch:
			s.out.send(s.req, n)
		case <-s.stop:
			for {
				select {
				case n := <-s.ch:
					s.out.send(s.req, n)
				default:
					return
				}
			}
		}
	}
}

// finish writes what notifications are left and takes no more.
func (s *session) finish() {
	s.once.Do(func() {})
	if s.stop != nil {
		close(s.stop)
		<-s.done
	}
}
