package main

import (
	"context"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/internal/protocol"
)

// form asks for one value.
func form(message, name, kind string) mcp.ElicitationParams {
	return mcp.ElicitationParams{Mode: mcp.ElicitationModeForm, Message: message, RequestedSchema: map[string]any{
		"type": "object", "properties": map[string]any{name: map[string]any{"type": kind}}, "required": []string{name},
	}}
}

func sample(prompt string, most int) mcp.CreateMessageParams {
	return mcp.CreateMessageParams{Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(prompt)}}, MaxTokens: most}
}

func textOf(m *mcp.CreateMessageResult) string {
	switch c := m.Content.(type) {
	case mcp.TextContent:
		return c.Text
	case map[string]any:
		s, _ := c["text"].(string)
		return s
	}
	return ""
}

// answer is the content of an accepted question, of the form that was asked
// for: an object.
func answer(in mcp.InputResponses, id string) (map[string]any, bool) {
	said := server.ElicitationResponse(in, id)
	if said == nil {
		return nil, false
	}
	content, ok := said.Content.(map[string]any)
	return content, ok && said.Action == mcp.ElicitationResponseActionAccept
}

// sealed is a state about a step of a tool.
func (f *fixtures) sealed(about string) (string, error) {
	d, err := protocol.Digest(about)
	if err != nil {
		return "", err
	}
	return f.seal.Seal(d)
}

// opened reports whether the client brought the state of that step.
func (f *fixtures) opened(state, about string) error {
	d, err := protocol.Digest(about)
	if err != nil {
		return err
	}
	if !f.seal.Opens(state, d) {
		return &protocol.Error{Code: mcp.INVALID_PARAMS, Message: "the request state was not made here for this step, is too old, or was used before"}
	}
	return nil
}

// addRounds offers the tools that ask by input_required results.
func (f *fixtures) addRounds() {
	round := func(name, what string, h func(ctx context.Context, in mcp.InputResponses, state string) (*mcp.CallToolResult, error)) {
		f.add(name, what, func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return h(ctx, req.Params.InputResponses, req.Params.RequestState)
		})
	}
	builder := server.NewInputRequestBuilder
	round("test_input_required_result_elicitation", "Asks for a name", func(_ context.Context, in mcp.InputResponses, _ string) (*mcp.CallToolResult, error) {
		content, ok := answer(in, "user_name")
		name, named := content["name"].(string)
		if !ok || !named {
			return builder("").Elicit("user_name", form("What is your name?", "name", "string")).ToolResult(), nil
		}
		return text("Hello, " + name + "!")
	})
	round("test_input_required_result_sampling", "Asks the client's model", func(_ context.Context, in mcp.InputResponses, _ string) (*mcp.CallToolResult, error) {
		said := server.SamplingResponse(in, "capital_question")
		if said == nil {
			return builder("").Sample("capital_question", sample("What is the capital of France?", 100)).ToolResult(), nil
		}
		return text(textOf(said))
	})
	round("test_input_required_result_list_roots", "Asks for the client's roots", func(_ context.Context, in mcp.InputResponses, _ string) (*mcp.CallToolResult, error) {
		roots := server.RootsResponse(in, "client_roots")
		if roots == nil {
			return builder("").Roots("client_roots").ToolResult(), nil
		}
		return text(fmt.Sprintf("%d roots: %v", len(roots.Roots), roots.Roots))
	})
	confirm := func(name string) {
		round(name, "Asks for consent, with a sealed state", func(_ context.Context, in mcp.InputResponses, state string) (*mcp.CallToolResult, error) {
			content, ok := answer(in, "confirm")
			if !ok {
				s, err := f.sealed(name)
				return builder(s).Elicit("confirm", form("Please confirm", "ok", "boolean")).ToolResult(), err
			}
			if err := f.opened(state, name); err != nil {
				return nil, err
			}
			return text(fmt.Sprintf("state-ok, confirmed: %v", content["ok"]))
		})
	}
	confirm("test_input_required_result_request_state")
	confirm("test_input_required_result_tampered_state")
	round("test_input_required_result_multiple_inputs", "Asks three things at once", func(_ context.Context, in mcp.InputResponses, state string) (*mcp.CallToolResult, error) {
		content, named := answer(in, "user_name")
		greeting, roots := server.SamplingResponse(in, "greeting"), server.RootsResponse(in, "client_roots")
		if !named || greeting == nil || roots == nil {
			s, err := f.sealed("multiple")
			return builder(s).Elicit("user_name", form("What is your name?", "name", "string")).Sample("greeting", sample("Generate a greeting", 50)).Roots("client_roots").ToolResult(), err
		}
		if err := f.opened(state, "multiple"); err != nil {
			return nil, err
		}
		return text(fmt.Sprintf("%s, %v, of %d roots", textOf(greeting), content["name"], len(roots.Roots)))
	})
	round("test_input_required_result_multi_round", "Asks twice", func(_ context.Context, in mcp.InputResponses, state string) (*mcp.CallToolResult, error) {
		if color, ok := answer(in, "step2"); ok {
			if err := f.opened(state, "step2"); err != nil {
				return nil, err
			}
			return text(fmt.Sprintf("Your favourite colour is %v", color["color"]))
		}
		if _, ok := answer(in, "step1"); ok {
			if err := f.opened(state, "step1"); err != nil {
				return nil, err
			}
			s, err := f.sealed("step2")
			return builder(s).Elicit("step2", form("Step 2: What is your favorite color?", "color", "string")).ToolResult(), err
		}
		s, err := f.sealed("step1")
		return builder(s).Elicit("step1", form("Step 1: What is your name?", "name", "string")).ToolResult(), err
	})
	round("test_input_required_result_capabilities", "Asks only what the client can answer", func(ctx context.Context, in mcp.InputResponses, _ string) (*mcp.CallToolResult, error) {
		if len(in) > 0 {
			return text("answered")
		}
		b, caps := builder(""), capabilities(ctx)
		if caps != nil && caps.Elicitation != nil {
			b.Elicit("user_name", form("What is your name?", "name", "string"))
		}
		if caps != nil && caps.Sampling != nil {
			b.Sample("greeting", sample("Generate a greeting", 50))
		}
		return b.ToolResult(), nil
	})
}
