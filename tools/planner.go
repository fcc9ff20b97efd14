package tools

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/calc"
	"hwledger/internal/planner"
)

// choicesKey is where in an answer's _meta the planner finds what its lists
// may offer. Clients do not show _meta to their models.
const choicesKey = "hwledger/choices"

// planChoices is what can be chosen for a model under an engine.
type planChoices struct {
	Weights       []string `json:"weights,omitempty"`
	KVCacheDType  []string `json:"kv_cache_dtype,omitempty"`
	ContextTokens int64    `json:"context_tokens,omitempty"` // the model's maximum
}

// meta is what goes beside the answer.
func (p *Plan) meta() map[string]any {
	weights, caches := calc.Alternatives(p.from.Engine, p.found.Model)
	return map[string]any{choicesKey: planChoices{Weights: weights, KVCacheDType: caches, ContextTokens: p.found.Model.Context}}
}

// extensions are the optional parts of the protocol that the server has.
func (s *Surface) extensions() map[string]any {
	return map[string]any{planner.Extension: map[string]any{"mimeTypes": []string{planner.MIME}}}
}

// addPlanner offers the planner to clients that show apps.
func (s *Surface) addPlanner(srv *server.MCPServer) {
	if !s.offers(planTool) {
		return
	}
	// An empty policy allows no other origin at all.
	ui := map[string]any{"ui": map[string]any{"csp": map[string]any{}, "prefersBorder": true}}
	r := mcp.NewResource(planner.URI, "planner", mcp.WithResourceDescription("Shows a plan of plan_memory and plans again as its controls move."), mcp.WithMIMEType(planner.MIME))
	r.Title, r.Icons, r.Meta = "Memory planner", []mcp.Icon{plannerIcon()}, &mcp.Meta{AdditionalFields: ui}
	srv.AddResource(r, func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{mcp.TextResourceContents{Meta: ui, URI: planner.URI, MIMEType: planner.MIME, Text: planner.HTML()}}, nil
	})
}
