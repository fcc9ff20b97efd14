package tools

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/calc/model"
	"hwledger/sidecar"
)

// sidecarURI is the address of a sidecar's status or log. Ids and names hold
// nothing that an address would have to escape, or it is not found.
var sidecarURI = regexp.MustCompile(`^hwledger://sidecars/([\w.-]{1,100})(/log)?$`)

// addSidecarResources offers the status and the log of sidecars as resources.
func (s *Surface) addSidecarResources(srv *server.MCPServer) {
	offered := slices.ContainsFunc(s.tools, func(t Tool) bool { return t.Toolset == SidecarSet })
	if !offered || s.opts.Sidecars.ready() != nil {
		return
	}
	m := s.opts.Sidecars.Manager
	read := func(ctx context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		out, err := sidecarResource(m, req.Params.URI)
		if err != nil {
			return nil, resourceError(ctx, req.Params.URI, err)
		}
		return out, nil
	}
	srv.AddResourceTemplate(mcp.NewResourceTemplate("hwledger://sidecars/{id}", "sidecar",
		mcp.WithTemplateDescription("A sidecar's state, endpoint, predicted and measured memory."), mcp.WithTemplateMIMEType("application/json")), read)
	srv.AddResourceTemplate(mcp.NewResourceTemplate("hwledger://sidecars/{id}/log", "sidecar-log",
		mcp.WithTemplateDescription("What a sidecar printed: the beginning and the end."), mcp.WithTemplateMIMEType("text/plain")), read)
}

// sidecarResource reads one of the resources.
func sidecarResource(m *sidecar.Manager, uri string) ([]mcp.ResourceContents, error) {
	parts := sidecarURI.FindStringSubmatch(uri)
	if parts == nil {
		return nil, model.Errorf(model.InvalidArgument, "uri", "%.200q is no address of a sidecar", uri)
	}
	if parts[2] != "" {
		text, err := m.LogText(parts[1])
		if err != nil {
			return nil, err
		}
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: "text/plain", Text: printable(text)}}, nil
	}
	st, err := m.Get(parts[1])
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(newSidecarInfo(st))
	if err != nil {
		return nil, err
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: "application/json", Text: string(raw)}}, nil
}
