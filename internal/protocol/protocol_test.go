package protocol

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// TestSealer: a state holds for what it was made for, once, for a while, and is
// not made by others.
func TestSealer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mine, other Sealer
		a, _ := Digest("a")
		b, _ := Digest("b")
		state := func(s *Sealer) string {
			out, err := s.Seal(a)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		one := state(&mine)
		for name, s := range map[string]string{"empty": "", "no base64": "%", "short": "AAAA", "longer": one + "A", "tampered": strings.Repeat("A", 10) + one[10:], "another's": state(&other)} {
			if mine.Opens(s, a) {
				t.Errorf("%s was taken", name)
			}
		}
		if mine.Opens(one, b) {
			t.Error("it counts for something else")
		}
		if !mine.Opens(one, a) || mine.Opens(one, a) {
			t.Error("it does not count once")
		}
		late := state(&mine)
		time.Sleep(AnswerWithin + time.Second) // on the fake clock
		if mine.Opens(late, a) {
			t.Error("it counts too late")
		}
		if mine.Opens(state(&mine), a); len(mine.used) != 1 {
			t.Errorf("%d states are remembered", len(mine.used))
		}
	})
}

// session is a client that was told.
type session struct {
	id   string
	told chan mcp.JSONRPCNotification
}

func (s *session) SessionID() string                                   { return s.id }
func (s *session) NotificationChannel() chan<- mcp.JSONRPCNotification { return s.told }
func (s *session) Initialize()                                         {}
func (s *session) Initialized() bool                                   { return true }

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// TestSubscriptions: who subscribed is told, in either era, and nobody else, and
// not after.
func TestSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		subs := NewSubscriptions(slog.New(slog.DiscardHandler))
		srv := NewServer("test", "1", subs.Hooks(), server.WithResourceCapabilities(true, false))
		var changes Changes
		subs.Offer(srv, "x://a", changes.Watch)
		srv.AddResource(mcp.NewResource("x://a", "a"), func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) { return nil, nil })
		old, silent, stream := &session{"old", make(chan mcp.JSONRPCNotification, 9)}, &session{"silent", make(chan mcp.JSONRPCNotification, 9)}, &session{"stream", make(chan mcp.JSONRPCNotification, 9)}
		for _, s := range []*session{old, silent} {
			if err := srv.RegisterSession(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		send := func(ctx context.Context, s server.ClientSession, m string) {
			if e, bad := srv.HandleMessage(srv.WithContext(ctx, s), json.RawMessage(m)).(mcp.JSONRPCError); bad {
				t.Errorf("%s: %s", m, e.Error.Message)
			}
		}
		send(t.Context(), old, `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"x://a"}}`)
		ctx, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			send(ctx, stream, `{"jsonrpc":"2.0","id":2,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["x://b","x://a"]},`+meta+`}}`)
			close(done)
		}()
		synctest.Wait()
		if n := <-stream.told; n.Method != mcp.MethodNotificationSubscriptionsAcknowledged {
			t.Errorf("first came %s", n.Method)
		}
		changes.Tell()
		if len(old.told) != 1 || len(stream.told) != 1 || len(silent.told) != 0 {
			t.Errorf("told %d, %d and %d times, want 1, 1 and 0", len(old.told), len(stream.told), len(silent.told))
		}
		if n := <-stream.told; n.Method != mcp.MethodNotificationResourceUpdated || n.Params.AdditionalFields["uri"] != "x://a" {
			t.Errorf("%+v", n)
		}
		<-old.told
		end()
		<-done
		send(t.Context(), old, `{"jsonrpc":"2.0","id":3,"method":"resources/unsubscribe","params":{"uri":"x://a"}}`)
		synctest.Wait()
		changes.Tell()
		if len(old.told)+len(stream.told) != 0 {
			t.Error("told after the end")
		}
		send(t.Context(), silent, `{"jsonrpc":"2.0","id":4,"method":"resources/subscribe","params":{"uri":"x://a"}}`)
		srv.UnregisterSession(t.Context(), "silent")
		if changes.Tell(); len(subs.ends)+len(changes.all) != 0 {
			t.Errorf("what ended is remembered: %v %v", subs.ends, changes.all)
		}
	})
}

// The subscriptions of all clients together are bounded.
func TestManySubscriptions(t *testing.T) {
	subs := NewSubscriptions(slog.New(slog.DiscardHandler))
	srv := NewServer("test", "1", subs.Hooks(), server.WithResourceCapabilities(true, false))
	subs.Offer(srv, "x://a", new(Changes).Watch)
	for i := range mostSubscriptions + 10 {
		s := &session{strconv.Itoa(i), make(chan mcp.JSONRPCNotification, 1)}
		srv.HandleMessage(srv.WithContext(t.Context(), s), json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"x://a"}}`))
	}
	if n := len(subs.ends); n != mostSubscriptions {
		t.Errorf("%d subscriptions", n)
	}
}
