package tools

import (
	"encoding/json"
	"strings"
	"testing"

	"hwledger/internal/planner"
)

// exchange sends one message of protocol 2026-07-28 to a server of the surface, and
// decodes the result.
func exchange(t *testing.T, opts Options, method, params string, result any) {
	t.Helper()
	srv, err := newSurface(t, opts).Server()
	if err != nil {
		t.Fatal(err)
	}
	meta := `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	raw, err := json.Marshal(srv.HandleMessage(t.Context(), json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+params+meta+`}}`)))
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Result, Error json.RawMessage }
	if err := json.Unmarshal(raw, &m); err != nil || m.Error != nil {
		t.Fatalf("%s: %s", method, raw)
	}
	if err := json.Unmarshal(m.Result, result); err != nil {
		t.Fatal(err)
	}
}

type appMeta struct {
	UI struct {
		ResourceURI string         `json:"resourceUri"`
		CSP         map[string]any `json:"csp"`
	} `json:"ui"`
	Choices *planChoices `json:"hwledger/choices"`
}

// A client finds the app from the tool, and it asks for no other origin.
func TestApp(t *testing.T) {
	var list struct {
		Tools []struct {
			Name string
			Meta appMeta `json:"_meta"`
		}
	}
	exchange(t, Options{}, "tools/list", "", &list)
	var uri string
	for _, tool := range list.Tools {
		if tool.Name == planTool {
			uri = tool.Meta.UI.ResourceURI
		} else if tool.Meta.UI.ResourceURI != "" {
			t.Errorf("%s has an app", tool.Name)
		}
	}
	var read struct {
		Contents []struct {
			URI, MIMEType, Text string
			Meta                appMeta `json:"_meta"`
		}
	}
	exchange(t, Options{}, "resources/read", `"uri":"`+uri+`",`, &read)
	if len(read.Contents) != 1 {
		t.Fatalf("%d contents", len(read.Contents))
	}
	c := read.Contents[0]
	if c.URI != uri || c.MIMEType != planner.MIME || !strings.HasPrefix(c.Text, "<!doctype html>") || c.Meta.UI.CSP == nil || len(c.Meta.UI.CSP) > 0 {
		t.Errorf("%s, %s, %.20q, %v", c.URI, c.MIMEType, c.Text, c.Meta.UI.CSP)
	}
	var found struct {
		Capabilities struct{ Extensions map[string]any }
	}
	exchange(t, Options{}, "server/discover", "", &found)
	if found.Capabilities.Extensions[planner.Extension] == nil {
		t.Errorf("extensions: %v", found.Capabilities.Extensions)
	}
}

// The planner offers what the engine can do with the model, and the engine
// takes each of it.
func TestPlanChoices(t *testing.T) {
	s := newSurface(t, Options{})
	for _, engine := range []string{"vllm", "llama.cpp", "mlx", "sglang"} {
		var answer struct {
			Meta appMeta `json:"_meta"`
		}
		args := `{"model":"Qwen/Qwen3-8B","engine":"` + engine + `"`
		exchange(t, Options{}, "tools/call", `"name":"plan_memory","arguments":`+args+`},`, &answer)
		c := answer.Meta.Choices
		if c == nil || len(c.Weights) == 0 || c.ContextTokens != 40960 {
			t.Fatalf("%s: %+v", engine, c)
		}
		for field, values := range map[string][]string{"weights": c.Weights, "kv_cache_dtype": c.KVCacheDType} {
			for _, v := range values {
				if r := s.Call(t.Context(), planTool, json.RawMessage(args+`,"`+field+`":"`+v+`"}`)); r.Failed {
					t.Errorf("%s refuses %s %s: %s", engine, field, v, r.Text)
				}
			}
		}
	}
}
