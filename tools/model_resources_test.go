package tools

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"

	"hwledger/internal/protocol"
)

// askServer sends one request of 2026-07-28 to the whole server, and returns its
// result, or its error and the code.
func askServer(t testing.TB, opts Options, method string, params map[string]any) (result map[string]any, code int, failed string) {
	t.Helper()
	opts.Offline = true
	srv, err := newSurface(t, opts).Server()
	if err != nil {
		t.Fatal(err)
	}
	params["_meta"] = map[string]any{"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": map[string]any{}}
	raw, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	ctx, caught := protocol.Catch(context.Background())
	answer := srv.HandleMessage(ctx, raw)
	if e := caught.Error(); e != nil {
		return nil, e.Code, e.Message
	}
	if e, ok := answer.(mcp.JSONRPCError); ok {
		return nil, e.Error.Code, e.Error.Message
	}
	b, err := json.Marshal(answer.(mcp.JSONRPCResponse).Result)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &result); err != nil {
		t.Fatal(err)
	}
	return result, 0, ""
}

func readResource(t testing.TB, uri string) (text string, code int, failed string) {
	t.Helper()
	r, code, failed := askServer(t, Options{}, "resources/read", map[string]any{"uri": uri})
	if code != 0 {
		return "", code, failed
	}
	return r["contents"].([]any)[0].(map[string]any)["text"].(string), 0, ""
}

// A model's resource is what lookup_model says of it.
func TestModelResource(t *testing.T) {
	text, code, failed := readResource(t, "hwledger://models/catalog:Qwen/Qwen3-8B")
	if code != 0 {
		t.Fatal(failed)
	}
	conforms(t, newSurface(t, Options{}), "lookup_model", json.RawMessage(text))
	if !strings.Contains(text, `"parameters_total":8190735360`) { // as its card counts
		t.Errorf("%.300s", text)
	}
}

// A resource's address reaches no file and no other machine, however it is
// written.
func TestModelResourceNamesNoFile(t *testing.T) {
	for _, ref := range []string{
		"", "..", "../..", "../../etc/passwd", "/etc/passwd", "//etc/passwd", "./testdata", "~/x.gguf", "Qwen/../../etc/passwd", "Qwen/..", "a/..%2f..%2fetc/passwd",
		"%2e%2e/%2e%2e/etc/passwd", "%2fetc%2fpasswd", "%252e%252e/x", "..%5c..%5cetc", `..\..\etc`, `C:\x.gguf`, "C:/x.gguf", "file:///etc/passwd", "https://127.0.0.1/x.gguf",
		"http://169.254.169.254/latest", "mlx:../x", "mlx:/etc", "hf:../x", "hf:/etc/passwd", "catalog:../x", "ollama:../../x", "a/b/c/d/e", "x\x00y", "x%00y", "x\ny", "x y", "\u202ex",
		strings.Repeat("a", 301), strings.Repeat("a/", 5000), "%", "%zz", "a?b", "a#b", "-rf", "--config/x/../y",
	} {
		_, code, failed := readResource(t, "hwledger://models/"+ref)
		if code != mcp.INVALID_PARAMS || strings.Contains(failed, "root:") {
			t.Errorf("%.60q: code %d: %.200s", ref, code, failed)
		}
	}
	if _, code, failed := readResource(t, "hwledger://models/catalog:nobody/nothing"); code != mcp.INVALID_PARAMS || !strings.Contains(failed, "model_not_found") {
		t.Errorf("an unknown model: %d %s", code, failed)
	}
}

// The formulas are those of each engine, with their sources.
func TestFormulas(t *testing.T) {
	text, code, failed := readResource(t, formulasURI)
	if code != 0 {
		t.Fatal(failed)
	}
	for _, want := range []string{"## vllm", "## llama.cpp", "## mlx", "v1/core/kv_cache_utils.py"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, engine := range strings.Split(text, "\n## ")[1:] {
		if name, rows, _ := strings.Cut(engine, "\n"); strings.Count(rows, "\n|") < 4 {
			t.Errorf("%s has no terms: %s", name, rows)
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 5 {
			t.Errorf("a row that is not of four cells: %s", line)
		}
	}
}

func TestResourceNotFound(t *testing.T) {
	for _, uri := range []string{"hwledger://nothing", "hwledger://formulas/../x", "file:///etc/passwd", "ui://hwledger/../x"} {
		if _, code, failed := readResource(t, uri); code != mcp.INVALID_PARAMS || !strings.Contains(failed, "resources/list") {
			t.Errorf("%s: %d %s", uri, code, failed)
		}
	}
}

// Each prompt names only tools that are there, and carries its arguments as one
// JSON object that the first tool takes.
func TestPrompts(t *testing.T) {
	list, _, _ := askServer(t, Options{}, "prompts/list", map[string]any{})
	if n := len(list["prompts"].([]any)); n != 3 {
		t.Errorf("%d prompts", n)
	}
	s := newSurface(t, Options{Offline: true})
	for name, args := range map[string]map[string]any{
		"will-it-fit":            {"model": "Qwen/Qwen3-8B", "hardware": "RTX 4090", "context_tokens": "32768"},
		"choose-a-quantization":  {"model": "Qwen/Qwen3-8B", "hardware": "RTX 4090"},
		"diagnose-out-of-memory": {"log": "vllm: Free memory on device (3.22/4.0 GiB) on startup is less than desired GPU memory utilization (0.9, 3.6 GiB)", "model": "Qwen/Qwen3-0.6B"},
	} {
		r, code, failed := askServer(t, Options{}, "prompts/get", map[string]any{"name": name, "arguments": args})
		if code != 0 {
			t.Fatalf("%s: %s", name, failed)
		}
		text := r["messages"].([]any)[0].(map[string]any)["content"].(map[string]any)["text"].(string)
		var call struct{ tool, args string }
		for line := range strings.Lines(text) {
			if from := strings.Index(line, "{"); from > 0 {
				words := strings.Fields(line[:from])
				call.tool, call.args = words[2], line[from:strings.LastIndex(line, "}")+1]
				break
			}
		}
		if got := s.Call(t.Context(), call.tool, json.RawMessage(call.args)); got.Failed {
			t.Errorf("%s: %s %s: %s", name, call.tool, call.args, got.Text)
		}
	}
	for _, args := range []map[string]any{{}, {"model": "x"}, {"model": "x", "hardware": " "}, {"model": "x", "hardware": "y", "other": "z"}, {"model": strings.Repeat("x", 2<<20), "hardware": "y"}} {
		if _, code, failed := askServer(t, Options{}, "prompts/get", map[string]any{"name": "will-it-fit", "arguments": args}); code != mcp.INVALID_PARAMS {
			t.Errorf("%.100v: %d %s", args, code, failed)
		}
	}
	if list, _, _ := askServer(t, Options{Toolsets: []string{"model"}}, "prompts/list", map[string]any{}); len(list["prompts"].([]any)) != 0 {
		t.Errorf("prompts without their tools: %v", list)
	}
}

func TestCompletions(t *testing.T) {
	complete := func(ref map[string]any, name, value string) []any {
		t.Helper()
		r, code, failed := askServer(t, Options{}, "completion/complete", map[string]any{"ref": ref, "argument": map[string]any{"name": name, "value": value}})
		if code != 0 {
			t.Fatal(failed)
		}
		return r["completion"].(map[string]any)["values"].([]any)
	}
	prompt := map[string]any{"type": "ref/prompt", "name": "will-it-fit"}
	template := map[string]any{"type": "ref/resource", "uri": modelsRef}
	for _, c := range []struct {
		ref         map[string]any
		name, typed string
		first       string
	}{
		{prompt, "model", "Qwen/Qwen3-8B", "Qwen/Qwen3-8B"},
		{prompt, "model", "qwen3-8b", "Qwen/Qwen3-8B"},
		{template, "ref", "Qwen/Qwen3-8B", "Qwen/Qwen3-8B"},
		{prompt, "engine", "llama", "llama.cpp"},
		{prompt, "hardware", "rtx 4090", "RTX 4090"},
		{prompt, "weights", "q4_k_m", "Q4_K_M"},
	} {
		if got := complete(c.ref, c.name, c.typed); len(got) == 0 || got[0] != c.first {
			t.Errorf("%s %q: %v, want %s first", c.name, c.typed, got, c.first)
		}
	}
	if n := len(complete(prompt, "model", "")); n != mostCompletions {
		t.Errorf("%d completions of nothing", n)
	}
	if got := complete(prompt, "log", "x"); len(got) != 0 {
		t.Errorf("a log was completed: %v", got)
	}
}
