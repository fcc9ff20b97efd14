package tools

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/calc/model"
)

// Addresses of the ledger's resources: an event is its number after ledgerURI.
const (
	ledgerURI     = "hwledger://ledger/"
	checkpointURI = ledgerURI + "checkpoint"
)

// addLedgerResources offers the ledger's events and its last checkpoint as
// resources.
func (s *Surface) addLedgerResources(srv *server.MCPServer) {
	if !s.offers("query_ledger") || s.opts.Ledger == nil {
		return
	}
	srv.AddResource(mcp.NewResource(checkpointURI, "checkpoint", mcp.WithMIMEType("text/plain"),
		mcp.WithResourceDescription("The last signed checkpoint. Kept elsewhere, it shows later if the ledger was cut or rewritten.")), s.readLedger)
	srv.AddResourceTemplate(mcp.NewResourceTemplate(ledgerURI+"{seq}", "event",
		mcp.WithTemplateDescription("An event by its number."), mcp.WithTemplateMIMEType("application/json")), s.readLedger)
}

// readLedger reads one of the resources.
func (s *Surface) readLedger(ctx context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	out, err := s.ledgerResource(ctx, req.Params.URI)
	if err != nil {
		return nil, resourceError(ctx, req.Params.URI, err)
	}
	return out, nil
}

func (s *Surface) ledgerResource(ctx context.Context, uri string) ([]mcp.ResourceContents, error) {
	l, err := s.opts.ledger(ctx)
	if err != nil {
		return nil, err
	}
	if uri == checkpointURI {
		c, err := l.Latest(ctx)
		if err != nil {
			return nil, err
		}
		if c.Note == "" {
			return nil, model.Errorf(model.NotReady, "uri", "no checkpoint is signed yet").WithHint("hwledger-mcp ledger checkpoint signs one; a server that recorded events does from time to time, and when it ends")
		}
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: "text/plain", Text: c.Note}}, nil
	}
	seq, err := strconv.ParseInt(strings.TrimPrefix(uri, ledgerURI), 10, 64)
	if err != nil {
		return nil, model.Errorf(model.InvalidArgument, "uri", "%.200q is no address of an event", uri).WithHint("it is " + ledgerURI + " and the event's seq")
	}
	e, err := l.Event(ctx, seq)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(eventInfo(&e))
	if err != nil {
		return nil, err
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: "application/json", Text: string(raw)}}, nil
}
