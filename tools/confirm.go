package tools

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/calc/model"
	"hwledger/internal/protocol"
)

// client is what a call's client can answer, and what it has answered.
type client struct {
	// asks reports whether it shows questions to a person.
	asks    bool
	answers mcp.InputResponses
	state   string
}

type clientKey struct{}

// withClient notes who calls, for tools that have to ask.
func withClient(ctx context.Context, req mcp.CallToolRequest) context.Context {
	c := client{answers: req.Params.InputResponses, state: req.Params.RequestState}
	session := server.ClientSessionFromContext(ctx)
	if mcp.IsModernProtocol(server.RequestProtocolVersion(ctx)) {
		caps := req.Params.Meta.ClientCapabilities()
		c.asks = caps != nil && caps.Elicitation != nil
	} else if s, ok := session.(server.SessionWithClientInfo); ok {
		// Before 2026-07-28 the server asks by a request of its own, which the
		// connection has to be able to send.
		_, can := session.(server.SessionWithElicitation)
		c.asks = can && s.GetClientCapabilities().Elicitation != nil
	}
	return context.WithValue(ctx, clientKey{}, c)
}

// confirmation is the id of the one question that is asked.
const confirmation = "confirm"

// question is an error: the tool cannot go on before the client has answered.
type question struct{ message, state string }

// Error is not shown: the question is.
func (q *question) Error() string { return "the client has to be asked" }

// ask is the question as a result of tools/call.
func (q *question) ask() *mcp.CallToolResult {
	return server.NewInputRequestBuilder(q.state).Elicit(confirmation, mcp.ElicitationParams{
		Mode: mcp.ElicitationModeForm, Message: q.message,
		RequestedSchema: map[string]any{
			"type": "object", "required": []string{"confirm"},
			"properties": map[string]any{"confirm": map[string]any{"type": "boolean", "title": "Start it", "default": false}},
		},
	}).ToolResult()
}

// consent asks for agreements.
type consent struct{ sealer protocol.Sealer }

// confirmed returns nil when what says message was agreed to: by the person
// behind the client when it can ask them, else by the argument confirm. about
// is everything that was agreed to; an answer counts for nothing else, only
// for a few minutes, and once.
func (s *consent) confirmed(ctx context.Context, about any, message string, argument bool) error {
	c, _ := ctx.Value(clientKey{}).(client)
	digest, err := protocol.Digest(about)
	if err != nil {
		return err
	}
	if !c.asks {
		if argument {
			return nil
		}
		return model.Errorf(model.Denied, "confirm", "%s", message).WithHint("when the person you work for agrees, call again with confirm true")
	}
	answer := server.ElicitationResponse(c.answers, confirmation)
	if answer == nil {
		state, err := s.sealer.Seal(digest)
		if err != nil {
			return err
		}
		return &question{message: message, state: state}
	}
	if !s.sealer.Opens(c.state, digest) {
		return model.Errorf(model.Denied, "confirm", "the answer belongs to another question, or came too late").WithHint("call again, and answer the new question")
	}
	content, _ := answer.Content.(map[string]any)
	if yes, _ := content["confirm"].(bool); answer.Action != mcp.ElicitationResponseActionAccept || !yes {
		return model.Errorf(model.Denied, "confirm", "the person who was asked did not agree").WithHint("do not call again unless they ask for it")
	}
	return nil
}
