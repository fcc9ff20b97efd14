package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/internal/protocol"
)

// addContent offers a result of each kind of content, and of none.
func (f *fixtures) addContent() {
	content := func(name, what string, c ...mcp.Content) {
		f.add(name, what, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{Content: c}, nil
		})
	}
	picture := mcp.NewImageContent(pixel, "image/png")
	content("test_simple_text", "Returns a text", mcp.NewTextContent("This is a simple text response for testing."))
	content("test_image_content", "Returns a picture", picture)
	content("test_audio_content", "Returns a sound", mcp.NewAudioContent(silence, "audio/wav"))
	content("test_embedded_resource", "Returns a resource", mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: "test://embedded-resource", MIMEType: "text/plain", Text: "This is an embedded resource content."}))
	content("test_multiple_content_types", "Returns several kinds", mcp.NewTextContent("Multiple content types test:"), picture,
		mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: "test://mixed-content-resource", MIMEType: "application/json", Text: `{"test":"data","value":123}`}))
	f.add("test_error_handling", "Fails", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("This tool intentionally returns an error for testing"), nil
	})
	echo := func(_ context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		b, err := json.Marshal(req.GetArguments())
		if err != nil {
			return nil, err
		}
		return text(string(b))
	}
	f.srv.AddTool(mcp.Tool{Name: "json_schema_2020_12_tool", Description: "Tool with JSON Schema 2020-12 features", RawInputSchema: json.RawMessage(schema2020)}, echo)
	f.srv.AddTool(mcp.Tool{Name: "test_header_parameter", Description: "Takes a parameter that travels in a header too", RawInputSchema: json.RawMessage(
		`{"type":"object","properties":{"region":{"type":"string","description":"Any text","x-mcp-header":"Region"}}}`)}, echo)
}

// schema2020 has what JSON Schema 2020-12 added, none of which may be lost.
const schema2020 = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
"$defs":{"address":{"$anchor":"addressDef","type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"}}}},
"properties":{"name":{"type":"string"},"address":{"$ref":"#/$defs/address"},"contactMethod":{"type":"string","enum":["phone","email"]},"phone":{"type":"string"},"email":{"type":"string"}},
"allOf":[{"anyOf":[{"required":["phone"]},{"required":["email"]}]}],
"if":{"properties":{"contactMethod":{"const":"phone"}},"required":["contactMethod"]},"then":{"required":["phone"]},"else":{"required":["email"]},
"additionalProperties":false}`

// pace is how far apart the suite wants signals to be.
const pace = 50 * time.Millisecond

// addSignals offers tools that say something before they answer.
func (f *fixtures) addSignals() {
	logging := func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for i, what := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
			if i > 0 {
				time.Sleep(pace)
			}
			if err := f.srv.SendLogMessageToClient(ctx, mcp.NewLoggingMessageNotification(mcp.LoggingLevelInfo, "conformance", what)); err != nil {
				return nil, err
			}
		}
		return text("Tool with logging executed successfully")
	}
	f.add("test_tool_with_logging", "Writes log messages", logging)
	f.add("test_logging_tool", "Writes log messages when the request asks for them", logging)
	f.add("test_tool_with_progress", "Reports its progress", func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if req.Params.Meta == nil || req.Params.Meta.ProgressToken == nil {
			return text("nobody wants progress")
		}
		for i, done := range []int{0, 50, 100} {
			if i > 0 {
				time.Sleep(pace)
			}
			if err := f.srv.SendNotificationToClient(ctx, string(mcp.MethodNotificationProgress), map[string]any{"progressToken": req.Params.Meta.ProgressToken, "progress": done, "total": 100}); err != nil {
				return nil, err
			}
		}
		return text("progress reported")
	})
}

// addChanges offers tools that change what the server offers.
func (f *fixtures) addChanges() {
	f.add("test_trigger_tool_change", "Adds a tool and takes it away", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		f.add("test_passing", "Is there for a moment", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("still here") })
		f.srv.DeleteTools("test_passing")
		return text("changed")
	})
	f.add("test_trigger_prompt_change", "Adds a prompt and takes it away", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		f.srv.AddPrompt(mcp.NewPrompt("test_passing"), func(context.Context, mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return &mcp.GetPromptResult{}, nil
		})
		f.srv.DeletePrompts("test_passing")
		return text("changed")
	})
	f.add("test_missing_capability", "Needs a client that samples", func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if caps := capabilities(ctx); caps == nil || caps.Sampling == nil {
			return nil, protocol.MissingCapability("sampling")
		}
		return text("the client samples")
	})
}

// capabilities are those that the request's client has, nil when it said none.
func capabilities(ctx context.Context) *mcp.ClientCapabilities {
	if info := server.RequestProtocolInfoFromContext(ctx); info != nil && info.Modern {
		return info.ClientCapabilities
	}
	if s, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo); ok {
		caps := s.GetClientCapabilities()
		return &caps
	}
	return nil
}

// addAsking offers the tools that ask the client in the older versions' way. A
// handler asks in the newer way; mcp-go asks older clients for it.
func (f *fixtures) addAsking() {
	elicit := func(name, prefix, message string, schema map[string]any, opts ...mcp.ToolOption) {
		f.add(name, "Asks the person behind the client", func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			if caps := capabilities(ctx); caps == nil || caps.Elicitation == nil {
				return nil, protocol.MissingCapability("elicitation")
			}
			said := server.ElicitationResponse(req.Params.InputResponses, "ask")
			if said == nil {
				return server.NewInputRequestBuilder("").Elicit("ask", mcp.ElicitationParams{Mode: mcp.ElicitationModeForm, Message: req.GetString("message", message), RequestedSchema: schema}).ToolResult(), nil
			}
			content, err := json.Marshal(said.Content)
			if err != nil {
				return nil, err
			}
			return text(fmt.Sprintf("%s: action=%s, content=%s", prefix, said.Action, content))
		}, opts...)
	}
	object := func(properties map[string]any, required ...string) map[string]any {
		o := map[string]any{"type": "object", "properties": properties}
		if len(required) > 0 {
			o["required"] = required
		}
		return o
	}
	words := func(v ...string) []string { return v }
	titled := func(v, title string) map[string]any { return map[string]any{"const": v, "title": title} }
	person := object(map[string]any{
		"username": map[string]any{"type": "string", "description": "User's response"},
		"email":    map[string]any{"type": "string", "description": "User's email address"},
	}, "username", "email")
	elicit("test_elicitation", "User response", "Who are you?", person, mcp.WithString("message", mcp.Description("What to ask"), mcp.Required()))
	elicit("test_streaming_elicitation", "User response", "Who are you?", person)
	elicit("test_elicitation_sep1034_defaults", "Elicitation completed", "Provide your information", object(map[string]any{
		"name":     map[string]any{"type": "string", "default": "John Doe"},
		"age":      map[string]any{"type": "integer", "default": 30},
		"score":    map[string]any{"type": "number", "default": 95.5},
		"status":   map[string]any{"type": "string", "enum": words("active", "inactive", "pending"), "default": "active"},
		"verified": map[string]any{"type": "boolean", "default": true},
	}))
	values := []any{titled("value1", "First Option"), titled("value2", "Second Option"), titled("value3", "Third Option")}
	options := words("option1", "option2", "option3")
	elicit("test_elicitation_sep1330_enums", "Elicitation completed", "Select options", object(map[string]any{
		"untitledSingle": map[string]any{"type": "string", "enum": options},
		"titledSingle":   map[string]any{"type": "string", "oneOf": values},
		"legacyEnum":     map[string]any{"type": "string", "enum": words("opt1", "opt2", "opt3"), "enumNames": words("Option One", "Option Two", "Option Three")},
		"untitledMulti":  map[string]any{"type": "array", "items": map[string]any{"type": "string", "enum": options}},
		"titledMulti":    map[string]any{"type": "array", "items": map[string]any{"anyOf": values}},
	}))
	f.add("test_sampling", "Asks the client's model", func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if caps := capabilities(ctx); caps == nil || caps.Sampling == nil {
			return nil, protocol.MissingCapability("sampling")
		}
		said := server.SamplingResponse(req.Params.InputResponses, "ask")
		if said == nil {
			return server.NewInputRequestBuilder("").Sample("ask", sample(req.GetString("prompt", ""), 100)).ToolResult(), nil
		}
		return text("LLM response: " + textOf(said))
	}, mcp.WithString("prompt", mcp.Description("What to ask"), mcp.Required()))
}
