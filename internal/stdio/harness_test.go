package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// stock runs the same tests on mcp-go's own stdio transport, where each test
// of a cure fails: go test ./internal/stdio -stock.
var stock = flag.Bool("stock", false, "test mcp-go's ServeStdio instead")

// bubble runs f with a fake clock, which mcp-go's transport cannot have.
func bubble(t *testing.T, f func(t *testing.T)) {
	if *stock {
		f(t)
		return
	}
	synctest.Test(t, f)
}

// peer is a client that speaks raw lines.
type peer struct {
	t      *testing.T
	in     *io.PipeWriter
	out    *output
	served chan error
	tools  *fakeTools
	cancel context.CancelFunc
}

// output collects what the server writes, and catches concurrent writes.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	writing atomic.Bool
	torn    atomic.Bool
	arrived chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	if !o.writing.CompareAndSwap(false, true) {
		o.torn.Store(true)
	}
	o.mu.Lock()
	n, err := o.buf.Write(b)
	o.mu.Unlock()
	o.writing.Store(false)
	select {
	case o.arrived <- struct{}{}:
	default:
	}
	return n, err
}

func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := strings.TrimSuffix(o.buf.String(), "\n")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// fakeTools are tools that behave as a test needs.
type fakeTools struct {
	started   chan string // ids of "block" and "slow" calls
	cancelled atomic.Int64
	ran       atomic.Int64
	running   atomic.Int64
	most      atomic.Int64
}

func (f *fakeTools) enter() func() {
	f.ran.Add(1)
	n := f.running.Add(1)
	for {
		m := f.most.Load()
		if n <= m || f.most.CompareAndSwap(m, n) {
			return func() { f.running.Add(-1) }
		}
	}
}

func (f *fakeTools) server() *server.MCPServer {
	srv := server.NewMCPServer("test", "1", server.WithToolCapabilities(true))
	text := func(s string) (*mcp.CallToolResult, error) { return mcp.NewToolResultText(s), nil }
	add := func(name string, h server.ToolHandlerFunc) {
		srv.AddTool(mcp.NewTool(name), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			defer f.enter()()
			return h(ctx, r)
		})
	}
	add("echo", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return text(r.GetString("text", ""))
	})
	add("slow", func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		f.started <- "slow"
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(r.GetInt("ms", 300)) * time.Millisecond):
			return text("done")
		}
	})
	add("block", func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		f.started <- "block"
		<-ctx.Done()
		f.cancelled.Add(1)
		return nil, ctx.Err()
	})
	add("panic", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { panic("secret of the panic") })
	add("notify", func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		n := r.GetInt("n", 1)
		for i := range n {
			if err := srv.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": "p", "progress": i}); err != nil {
				return nil, err
			}
		}
		go func() { // a tool that does not stop when it should
			time.Sleep(time.Millisecond)
			_ = srv.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": "p", "progress": n})
		}()
		return text("notified")
	})
	return srv
}

func connect(t *testing.T, opts Options) *peer {
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	p := &peer{
		t: t, in: w, served: make(chan error, 1), cancel: cancel,
		out:   &output{arrived: make(chan struct{}, 1)},
		tools: &fakeTools{started: make(chan string, 10000)},
	}
	srv := p.tools.server()
	go func() {
		if *stock {
			p.served <- server.NewStdioServer(srv).Listen(ctx, r, p.out)
		} else {
			p.served <- Serve(ctx, srv, r, p.out, opts)
		}
		r.Close()
	}()
	t.Cleanup(cancel)
	return p
}

func (p *peer) send(lines ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, strings.Join(lines, "\n")+"\n"); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		p.t.Fatal(err)
	}
}

// finish ends the input and waits for the server.
func (p *peer) finish() []string {
	p.t.Helper()
	p.in.Close()
	if err := <-p.served; err != nil {
		p.t.Errorf("Serve: %v", err)
	}
	if p.out.torn.Load() {
		p.t.Error("two writes at once")
	}
	lines := p.out.lines()
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			p.t.Errorf("not a line of JSON: %.200s", l)
		}
	}
	return lines
}

// wait returns when a line has the answer to id.
func (p *peer) wait(id string) {
	for find(p.out.lines(), id) == nil {
		<-p.out.arrived
	}
}

// reply is any message of the server.
type reply struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func decode(lines []string) []reply {
	out := make([]reply, len(lines))
	for i, l := range lines {
		_ = json.Unmarshal([]byte(l), &out[i])
	}
	return out
}

// find returns the answer to an id as it stands in JSON, nil when there is
// none.
func find(lines []string, id string) *reply {
	for _, r := range decode(lines) {
		if string(r.ID) == id && r.Method == "" {
			return &r
		}
	}
	return nil
}

const initialize = `{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

func call(id, tool, args string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"arguments":{%s}}}`, id, tool, args)
}

func cancelled(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, id)
}
