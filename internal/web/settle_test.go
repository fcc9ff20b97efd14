package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/internal/protocol"
)

// fixtures serves tools that notify, fail and ask, and a resource that changes.
func fixtures(t *testing.T) (*Server, *protocol.Changes) {
	t.Helper()
	subs := protocol.NewSubscriptions(slog.New(slog.DiscardHandler))
	srv := protocol.NewServer("test", "1", subs.Hooks(), server.WithToolCapabilities(false), server.WithResourceCapabilities(true, false))
	changes := &protocol.Changes{}
	subs.Offer(srv, "x://a", changes.Watch)
	srv.AddTool(mcp.NewTool("notify"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for i := range 5 {
			if err := srv.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": "p", "progress": i + 1}); err != nil {
				return nil, err
			}
		}
		return mcp.NewToolResultText("done"), nil
	})
	srv.AddTool(mcp.NewTool("fail"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return nil, protocol.MissingCapability("sampling")
	})
	srv.AddTool(mcp.NewTool("notify_and_fail"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if err := srv.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": "p", "progress": 1}); err != nil {
			return nil, err
		}
		return nil, protocol.MissingCapability("sampling")
	})
	srv.AddResource(mcp.NewResource("x://a", "a"), func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: "x://a", Text: "a"}}, nil
	})
	s, err := Listen(srv, Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, changes
}

// events are the messages of a response, whatever its form.
func events(body string) (out []map[string]any) {
	for line := range strings.Lines(body) {
		var m map[string]any
		if json.Unmarshal([]byte(strings.TrimPrefix(strings.TrimSpace(line), "data: ")), &m) == nil {
			out = append(out, m)
		}
	}
	return out
}

// TestSettles: every notification of a call comes before its answer. Without
// settled the last one is lost in most calls.
func TestSettles(t *testing.T) {
	s, _ := fixtures(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				_, body := send(t, http.DefaultClient, request(t, "http://"+s.Addr().String()+"/mcp", message("notify"), "notify"))
				got := events(body)
				if len(got) != 6 || got[5]["result"] == nil {
					t.Errorf("%d messages: %s", len(got), body)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestOwnErrors: a handler's own error is the answer, with its status, in a
// JSON answer and at the end of a stream.
func TestOwnErrors(t *testing.T) {
	s, _ := fixtures(t)
	for tool, want := range map[string]int{"fail": 400, "notify_and_fail": 200} {
		status, body := send(t, http.DefaultClient, request(t, "http://"+s.Addr().String()+"/mcp", message(tool), tool))
		got := events(body)
		failed, _ := got[len(got)-1]["error"].(map[string]any)
		data, _ := json.Marshal(failed["data"])
		if status != want || failed["code"] != -32021.0 || string(data) != `{"requiredCapabilities":{"sampling":{}}}` {
			t.Errorf("%s: %d %s", tool, status, body)
		}
	}
	status, body := send(t, http.DefaultClient, read(t, s, "x://none"))
	if status != 400 || !strings.Contains(body, `"code":-32602`) || !strings.Contains(body, `"data":{"uri":"x://none"}`) {
		t.Errorf("%d %s", status, body)
	}
}

func read(t *testing.T, s *Server, uri string) *http.Request {
	t.Helper()
	r := request(t, "http://"+s.Addr().String()+"/mcp", strings.NewReplacer(`"tools/call"`, `"resources/read"`, `"name":"x",`, fmt.Sprintf(`"uri":%q,`, uri)).Replace(message("x")), uri)
	r.Header.Set("Mcp-Method", "resources/read")
	return r
}

// TestListens: a stream of 2026-07-28 hears of what it subscribed to, and ends
// with its client.
func TestListens(t *testing.T) {
	s, changes := fixtures(t)
	body := `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["x://a"]},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	r := request(t, "http://"+s.Addr().String()+"/mcp", body, "")
	r.Header.Set("Mcp-Method", "subscriptions/listen")
	r.Header.Del("Mcp-Name")
	ctx, hangUp := context.WithCancel(t.Context())
	resp, err := http.DefaultClient.Do(r.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() map[string]any {
		for lines.Scan() {
			if got := events(lines.Text()); len(got) > 0 {
				return got[0]
			}
		}
		t.Fatal(lines.Err())
		return nil
	}
	if got := next(); got["method"] != "notifications/subscriptions/acknowledged" {
		t.Errorf("%v", got)
	}
	changes.Tell()
	got := next()
	params, _ := got["params"].(map[string]any)
	meta, _ := params["_meta"].(map[string]any)
	if got["method"] != "notifications/resources/updated" || params["uri"] != "x://a" || meta["io.modelcontextprotocol/subscriptionId"] != 7.0 {
		t.Errorf("%v", got)
	}
	hangUp()
}

// A stream that nothing was subscribed on is acknowledged before it ends.
func TestListensToNothing(t *testing.T) {
	s, _ := fixtures(t)
	for range 200 {
		body := `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
		r := request(t, "http://"+s.Addr().String()+"/mcp", body, "")
		r.Header.Set("Mcp-Method", "subscriptions/listen")
		r.Header.Del("Mcp-Name")
		_, answer := send(t, http.DefaultClient, r)
		got := events(answer)
		if len(got) != 2 || got[0]["method"] != "notifications/subscriptions/acknowledged" || got[1]["result"] == nil {
			t.Fatalf("%s", answer)
		}
	}
}
