package stdio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// asking serves one tool, that asks for a name and greets.
func asking(t *testing.T) *peer {
	srv := server.NewMCPServer("test", "1")
	srv.AddTool(mcp.NewTool("greet"), func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		said := server.ElicitationResponse(req.Params.InputResponses, "name")
		if said == nil {
			return server.NewInputRequestBuilder("").Elicit("name", mcp.ElicitationParams{Mode: mcp.ElicitationModeForm, Message: "Who?", RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}}}}).ToolResult(), nil
		}
		return mcp.NewToolResultText(fmt.Sprintf("%s %v", said.Action, said.Content)), nil
	})
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	p := &peer{t: t, in: w, served: make(chan error, 1), cancel: cancel, out: &output{arrived: make(chan struct{}, 1)}}
	go func() { p.served <- Serve(ctx, srv, r, p.out, Options{}); r.Close() }()
	t.Cleanup(cancel)
	return p
}

// asked waits for the server's question, and returns its id.
func (p *peer) asked() string {
	synctest.Wait()
	for _, r := range decode(p.out.lines()) {
		if r.Method == "elicitation/create" {
			return string(r.ID)
		}
	}
	p.t.Fatalf("nothing was asked: %v", p.out.lines())
	return ""
}

// TestAsks: a client of the older versions is asked by a request, and its
// answer reaches the tool.
func TestAsks(t *testing.T) {
	for answer, want := range map[string]string{
		`"result":{"action":"accept","content":{"name":"Ada"}}`: "accept map[name:Ada]",
		`"result":{"action":"decline"}`:                         "decline",
		`"error":{"code":-1,"message":"no person here"}`:        "no person here",
		`"result":7`: "cannot be read",
	} {
		synctest.Test(t, func(t *testing.T) {
			p := asking(t)
			p.send(initialize, call("1", "greet", ""))
			id := p.asked()
			p.send(`{"jsonrpc":"2.0","id":"server-99","result":{}}`, `{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"x"}}`, `{"jsonrpc":"2.0","id":`+id+`,`+answer+`}`)
			synctest.Wait()
			lines := p.finish()
			r := find(lines, "1")
			if r == nil || !strings.Contains(string(r.Result)+fmt.Sprint(r.Error), want) {
				t.Errorf("%s: %v", answer, lines)
			}
		})
	}
}

// TestAskedAtTheEnd: a client that is gone does not hold the server.
func TestAskedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := asking(t)
		p.send(initialize, call("1", "greet", ""))
		p.asked()
		if r := find(p.finish(), "1"); r == nil || r.Error == nil {
			t.Errorf("the call was not ended: %+v", r)
		}
	})
}

// TestAskedAndCancelled: the call ends, unanswered, and a late answer is
// ignored.
func TestAskedAndCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := asking(t)
		p.send(initialize, call("1", "greet", ""))
		id := p.asked()
		p.send(cancelled("1"), `{"jsonrpc":"2.0","id":`+id+`,"result":{"action":"accept"}}`)
		if r := find(p.finish(), "1"); r != nil {
			t.Errorf("the cancelled call was answered: %+v", r)
		}
	})
}

// TestModernClientsAreNotAsked: they get the question as a result.
func TestModernClientsAreNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := asking(t)
		p.send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"greet","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}}}`)
		synctest.Wait()
		lines := p.finish()
		var got struct {
			ResultType    string
			InputRequests map[string]struct{ Method string }
		}
		if r := find(lines, "1"); len(lines) != 1 || json.Unmarshal(r.Result, &got) != nil || got.ResultType != "input_required" || got.InputRequests["name"].Method != "elicitation/create" {
			t.Errorf("%v", lines)
		}
	})
}
