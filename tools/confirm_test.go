package tools

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// asked is what tools/call returns to a client that can show questions.
type asked struct {
	Result struct {
		ResultType        string                     `json:"resultType"`
		IsError           bool                       `json:"isError"`
		InputRequests     map[string]json.RawMessage `json:"inputRequests"`
		RequestState      string                     `json:"requestState"`
		StructuredContent json.RawMessage            `json:"structuredContent"`
	} `json:"result"`
	Error json.RawMessage `json:"error"`
}

// modern calls launch_sidecar as a client of 2026-07-28 does, with more beside
// the arguments.
func askModern(t *testing.T, srv *server.MCPServer, args, more map[string]any) asked {
	t.Helper()
	params := map[string]any{"name": "launch_sidecar", "arguments": args, "_meta": map[string]any{
		mcp.MetaKeyProtocolVersion: "2026-07-28", mcp.MetaKeyClientInfo: map[string]any{"name": "test", "version": "1"},
		mcp.MetaKeyClientCapabilities: map[string]any{"elicitation": map[string]any{}},
	}}
	for k, v := range more {
		params[k] = v
	}
	raw, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
	if err != nil {
		t.Fatal(err)
	}
	raw, err = json.Marshal(srv.HandleMessage(t.Context(), raw))
	if err != nil {
		t.Fatal(err)
	}
	var out asked
	if err := json.Unmarshal(raw, &out); err != nil || out.Error != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return out
}

// fakeServer is a program that has a version and options, and does not run.
func fakeServer(t *testing.T, dir string) string {
	t.Helper()
	options := "-m --host --port --fit -c -np --no-kv-unified -b -ub -fa -ctk -ctv -ngl -sm -ts -mg --cache-ram --no-webui"
	return printer(t, filepath.Join(dir, "llama-server"), optionLines(strings.Fields(options)...)...)
}

// A client that can ask a person has to: what the model says in their place
// does not count, nor an answer to another question, nor one a second time.
func TestConfirmation(t *testing.T) {
	dir := t.TempDir()
	path := tinyModel(t, dir)
	srv, err := newSurface(t, sidecars(t, dir, fakeServer(t, dir), 1<<30)).Server()
	if err != nil {
		t.Fatal(err)
	}
	args := map[string]any{"model": path, "context_tokens": 512, "confirm": true}
	answer := func(action string, yes bool) map[string]any {
		return map[string]any{"confirm": map[string]any{"action": action, "content": map[string]any{"confirm": yes}}}
	}
	question := func() string {
		q := askModern(t, srv, args, nil)
		if q.Result.ResultType != "input_required" || !strings.Contains(string(q.Result.InputRequests["confirm"]), "llama-server") || q.Result.RequestState == "" {
			t.Fatalf("it was not asked: %+v", q.Result)
		}
		return q.Result.RequestState
	}
	state := question()
	started := askModern(t, srv, args, map[string]any{"inputResponses": answer("accept", true), "requestState": state})
	if started.Result.IsError || !strings.Contains(string(started.Result.StructuredContent), `"failed"`) {
		t.Errorf("agreed: %s", started.Result.StructuredContent)
	}
	resources(t, srv, started.Result.StructuredContent)
	other := map[string]any{"model": path, "context_tokens": 1024}
	for name, c := range map[string]struct {
		args map[string]any
		more map[string]any
	}{
		"declined":            {args, map[string]any{"inputResponses": answer("decline", true), "requestState": question()}},
		"not agreed":          {args, map[string]any{"inputResponses": answer("accept", false), "requestState": question()}},
		"a second time":       {args, map[string]any{"inputResponses": answer("accept", true), "requestState": state}},
		"another question's":  {other, map[string]any{"inputResponses": answer("accept", true), "requestState": question()}},
		"a state of its own":  {args, map[string]any{"inputResponses": answer("accept", true), "requestState": "AAAA"}},
		"without a state":     {args, map[string]any{"inputResponses": answer("accept", true)}},
		"something different": {args, map[string]any{"inputResponses": map[string]any{"confirm": map[string]any{"action": "accept", "content": "yes"}}, "requestState": question()}},
	} {
		r := askModern(t, srv, c.args, c.more)
		if !r.Result.IsError || !strings.Contains(string(r.Result.StructuredContent), `"denied"`) {
			t.Errorf("%s: %+v %s", name, r.Result.ResultType, r.Result.StructuredContent)
		}
	}
}

// resources reads the status and the log of the sidecar that was launched, and
// addresses that are none.
func resources(t *testing.T, srv *server.MCPServer, launched json.RawMessage) {
	t.Helper()
	var info SidecarInfo
	if err := json.Unmarshal(launched, &info); err != nil {
		t.Fatal(err)
	}
	base := "hwledger://sidecars/" + info.ID
	for uri, want := range map[string]string{
		base: info.ID, base + "/log": `"mimeType":"text/plain"`, base + "/key": `"error"`, base + "/../log": `"error"`, "hwledger://sidecars/none": `"error"`,
	} {
		raw, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": map[string]any{"uri": uri}})
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = json.Marshal(srv.HandleMessage(t.Context(), raw)); err != nil || !strings.Contains(string(raw), want) {
			t.Errorf("%s: %v: %s", uri, err, raw)
		}
	}
}
