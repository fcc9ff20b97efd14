package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/internal/protocol"
)

// fixtures are the suite's tools, resources and prompts.
type fixtures struct {
	srv     *server.MCPServer
	subs    *protocol.Subscriptions
	changes protocol.Changes
	seal    protocol.Sealer
}

func newServer() *server.MCPServer {
	f := &fixtures{}
	f.subs = protocol.NewSubscriptions(slog.New(slog.DiscardHandler))
	f.srv = protocol.NewServer("hwledger-conformance", "1", f.subs.Hooks(),
		server.WithToolCapabilities(true),
		server.WithResourceCapabilities(true, false),
		server.WithPromptCapabilities(true),
		server.WithLogging(),
		server.WithCompletions(),
		server.WithPromptCompletionProvider(completions{}),
		server.WithInputSchemaValidation(),
	)
	f.subs.Offer(f.srv, "test://watched-resource", f.changes.Watch)
	f.addContent()
	f.addSignals()
	f.addAsking()
	f.addRounds()
	f.addChanges()
	f.addResources()
	f.addPrompts()
	return f.srv
}

// add registers a tool without arguments beyond those of opts.
func (f *fixtures) add(name, what string, h server.ToolHandlerFunc, opts ...mcp.ToolOption) {
	f.srv.AddTool(mcp.NewTool(name, append([]mcp.ToolOption{mcp.WithDescription(what)}, opts...)...), h)
}

// text is a result of one text.
func text(s string) (*mcp.CallToolResult, error) { return mcp.NewToolResultText(s), nil }

// One pixel, and a tenth of a millisecond of silence.
const (
	pixel   = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
	silence = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
)

func (f *fixtures) addResources() {
	read := func(c mcp.ResourceContents) server.ResourceHandlerFunc {
		return func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{c}, nil
		}
	}
	f.srv.AddResource(mcp.NewResource("test://static-text", "static-text", mcp.WithResourceDescription("A text"), mcp.WithMIMEType("text/plain")),
		read(mcp.TextResourceContents{URI: "test://static-text", MIMEType: "text/plain", Text: "This is the content of the static text resource."}))
	f.srv.AddResource(mcp.NewResource("test://static-binary", "static-binary", mcp.WithResourceDescription("A picture"), mcp.WithMIMEType("image/png")),
		read(mcp.BlobResourceContents{URI: "test://static-binary", MIMEType: "image/png", Blob: pixel}))
	f.srv.AddResource(mcp.NewResource("test://watched-resource", "watched-resource", mcp.WithResourceDescription("What test_touch_resource changes"), mcp.WithMIMEType("text/plain")),
		read(mcp.TextResourceContents{URI: "test://watched-resource", MIMEType: "text/plain", Text: "watched"}))
	f.srv.AddResourceTemplate(mcp.NewResourceTemplate("test://template/{id}/data", "template", mcp.WithTemplateDescription("Data by id"), mcp.WithTemplateMIMEType("application/json")),
		func(_ context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			id := strings.TrimSuffix(strings.TrimPrefix(req.Params.URI, "test://template/"), "/data")
			return []mcp.ResourceContents{mcp.TextResourceContents{URI: req.Params.URI, MIMEType: "application/json", Text: `{"id":"` + id + `","templateTest":true,"data":"Data for ID: ` + id + `"}`}}, nil
		})
	f.add("test_touch_resource", "Changes test://watched-resource", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		f.changes.Tell()
		return text("touched")
	})
}

func (f *fixtures) addPrompts() {
	user := func(c mcp.Content) mcp.PromptMessage { return mcp.PromptMessage{Role: mcp.RoleUser, Content: c} }
	add := func(name string, args []string, messages func(args map[string]string) []mcp.PromptMessage) {
		opts := []mcp.PromptOption{mcp.WithPromptDescription("A prompt of the conformance suite")}
		for _, a := range args {
			opts = append(opts, mcp.WithArgument(a, mcp.ArgumentDescription("Any text"), mcp.RequiredArgument()))
		}
		f.srv.AddPrompt(mcp.NewPrompt(name, opts...), func(_ context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return &mcp.GetPromptResult{Messages: messages(req.Params.Arguments)}, nil
		})
	}
	add("test_simple_prompt", nil, func(map[string]string) []mcp.PromptMessage {
		return []mcp.PromptMessage{user(mcp.NewTextContent("This is a simple prompt for testing."))}
	})
	add("test_prompt_with_arguments", []string{"arg1", "arg2"}, func(a map[string]string) []mcp.PromptMessage {
		return []mcp.PromptMessage{user(mcp.NewTextContent("Prompt with arguments: arg1='" + a["arg1"] + "', arg2='" + a["arg2"] + "'"))}
	})
	add("test_prompt_with_embedded_resource", []string{"resourceUri"}, func(a map[string]string) []mcp.PromptMessage {
		return []mcp.PromptMessage{
			user(mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: a["resourceUri"], MIMEType: "text/plain", Text: "Embedded resource content for testing."})),
			user(mcp.NewTextContent("Please process the embedded resource above.")),
		}
	})
	add("test_prompt_with_image", nil, func(map[string]string) []mcp.PromptMessage {
		return []mcp.PromptMessage{user(mcp.NewImageContent(pixel, "image/png")), user(mcp.NewTextContent("Please analyze the image above."))}
	})
	f.srv.AddPrompt(mcp.NewPrompt("test_input_required_result_prompt", mcp.WithPromptDescription("A prompt that asks first")),
		func(_ context.Context, req mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			content, answered := answer(req.Params.InputResponses, "user_context")
			if !answered {
				return server.NewInputRequestBuilder("").Elicit("user_context", form("What context should the prompt use?", "context", "string")).PromptResult(), nil
			}
			said, _ := content["context"].(string)
			return &mcp.GetPromptResult{Messages: []mcp.PromptMessage{user(mcp.NewTextContent("Context: " + said))}}, nil
		})
}

// completions complete the arguments of test_prompt_with_arguments.
type completions struct{}

func (completions) CompletePromptArgument(_ context.Context, _ string, arg mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	var found []string
	for _, v := range []string{"paris", "park", "party", "test", "testing"} {
		if strings.HasPrefix(v, arg.Value) {
			found = append(found, v)
		}
	}
	return &mcp.Completion{Values: found, Total: len(found)}, nil
}
