package tools

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/internal/protocol"
)

// Server returns an MCP server that offers the surface.
func (s *Surface) Server() (*server.MCPServer, error) {
	subs := protocol.NewSubscriptions(s.opts.Log)
	options := []server.ServerOption{
		server.WithTitle("hwLedger"),
		server.WithDescription("Will a model fit on this hardware, under this engine, with this load?"),
		server.WithInstructions(s.Instructions()),
		server.WithToolCapabilities(false),
		server.WithResourceCapabilities(s.offers("probe_hardware"), false), // which is what changes
		server.WithPromptCapabilities(false),
		server.WithCompletions(),
		server.WithPromptCompletionProvider(completions{}),
		server.WithResourceCompletionProvider(completions{}),
		server.WithExtensions(s.extensions()),
	}
	hooks := subs.Hooks()
	srv := protocol.NewServer("hwledger", s.opts.Version, hooks, options...)
	defs, err := s.Definitions()
	if err != nil {
		return nil, err
	}
	srv.AddTools(s.offered(defs, hooks)...)
	s.addPlanner(srv)
	s.addResources(srv, subs)
	s.addLedgerResources(srv)
	s.addSidecarResources(srv)
	s.addModelResources(srv)
	s.addPrompts(srv)
	return srv, nil
}

// anyArguments is the input schema of every tool as mcp-go knows it.
var anyArguments = json.RawMessage(`{"type":"object"}`)

// offered returns the tools for mcp-go without their input schemas, which are
// put in where tools are listed. mcp-go has no other use for them than to look,
// on every call over HTTP, for parameters that headers repeat (x-mcp-header).
// No tool has any, and reading the schema of plan_memory is a quarter of a call.
func (s *Surface) offered(defs []mcp.Tool, hooks *server.Hooks) []server.ServerTool {
	out := make([]server.ServerTool, len(defs))
	inputs := make(map[string]json.RawMessage, len(defs))
	for i, d := range defs {
		inputs[d.Name] = d.RawInputSchema
		d.RawInputSchema = anyArguments
		out[i] = server.ServerTool{Tool: d, Handler: s.handle}
	}
	hooks.AddAfterListTools(func(_ context.Context, _ any, _ *mcp.ListToolsRequest, r *mcp.ListToolsResult) {
		for i := range r.Tools {
			r.Tools[i].RawInputSchema = inputs[r.Tools[i].Name]
		}
	})
	return out
}

// Definitions returns the tools as tools/list shows them.
func (s *Surface) Definitions() ([]mcp.Tool, error) {
	out := make([]mcp.Tool, len(s.tools))
	for i := range s.tools {
		var err error
		if out[i], err = s.tools[i].definition(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// handle answers tools/call.
func (s *Surface) handle(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	args := req.Params.RawArguments
	if args == nil && req.Params.Arguments != nil {
		raw, err := json.Marshal(req.Params.Arguments)
		if err != nil {
			return nil, err
		}
		args = raw
	}
	ctx = withClient(withProgress(ctx, req), req)
	r := s.watched(ctx, req, func(ctx context.Context) *Result { return s.Call(ctx, req.Params.Name, args) })
	if r.question != nil {
		return r.question.ask(), nil
	}
	answer := &mcp.CallToolResult{
		Content:           []mcp.Content{mcp.NewTextContent(r.Text)},
		StructuredContent: r.Structured,
		IsError:           r.Failed,
	}
	if r.Picture != nil {
		answer.Content = append(answer.Content, mcp.NewImageContent(base64.StdEncoding.EncodeToString(r.Picture), "image/png"))
	}
	if r.Meta != nil {
		answer.Meta = &mcp.Meta{AdditionalFields: r.Meta}
	}
	return answer, nil
}

// definition is the tool as tools/list shows it.
func (t *Tool) definition() (mcp.Tool, error) {
	in, err := json.Marshal(t.In)
	if err != nil {
		return mcp.Tool{}, err
	}
	out, err := json.Marshal(t.Out.Gist())
	if err != nil {
		return mcp.Tool{}, err
	}
	readOnly := !t.Effect.Writes
	hints := mcp.ToolAnnotation{ReadOnlyHint: &readOnly, OpenWorldHint: &t.Effect.Network}
	if !readOnly { // of tools that only read these say nothing
		hints.DestructiveHint, hints.IdempotentHint = &t.Effect.Destructive, &t.Effect.Repeatable
	}
	def := mcp.Tool{
		Name: t.Name, Title: t.Title, Description: t.Description,
		RawInputSchema: in, RawOutputSchema: out,
		Annotations: hints,
	}
	if t.App != "" {
		def.Meta = &mcp.Meta{AdditionalFields: map[string]any{"ui": map[string]any{"resourceUri": t.App}}}
	}
	return def, nil
}

// Instructions tell a client how the tools that are offered go together.
func (s *Surface) Instructions() string {
	steps := map[Toolset]string{
		ModelSet:    "search_models finds models by name and by what they must be or fit on; lookup_model says what one is and whether its name is known.",
		PlanSet:     "plan_memory answers \"will it fit\": give model and hardware, and engine, context_tokens and sequences when they are known; it lists what it assumed for the rest. find_fit turns the question round, compare_plans sets alternatives side by side, export_launch writes the command, and explain_memory reads the log of a start or of its failure.",
		SidecarSet:  "list_sidecars and get_sidecar show engines that were launched here, with predicted beside measured memory; where launch_sidecar is offered it starts one when its plan fits what is free, call_sidecar asks it, stop_sidecar ends it.",
		HardwareSet: "probe_hardware says what this machine has and what is free on it, which plan_memory plans against with hardware \"local\"; lookup_hardware lists accelerators by name and their memory.",
		LedgerSet:   "query_ledger and report_usage say what was predicted, measured and spent; record_event adds to it.",
	}
	var b strings.Builder
	b.WriteString("hwLedger computes the memory that a language model needs under an inference engine, exactly where the engine's rules allow it. ")
	seen := map[Toolset]bool{}
	for _, t := range s.tools {
		if !seen[t.Toolset] {
			seen[t.Toolset] = true
			b.WriteString(steps[t.Toolset] + " ")
		}
	}
	b.WriteString("Fields ending in _bytes are bytes; GiB in text is 2^30 bytes. An error names the field, a hint and candidates: follow them and call again.")
	return b.String()
}
