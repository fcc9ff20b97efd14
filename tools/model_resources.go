package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"hwledger/calc"
	"hwledger/calc/hardware"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/internal/protocol"
)

// The addresses of resources.
const (
	modelsURI   = "hwledger://models/"
	modelsRef   = modelsURI + "{+ref}"
	formulasURI = "hwledger://formulas"
)

// addModelResources offers what the tools know as resources too, for clients whose
// people choose what the model reads.
func (s *Surface) addModelResources(srv *server.MCPServer) {
	if s.offers("lookup_model") {
		srv.AddResourceTemplate(mcp.NewResourceTemplate(modelsRef, "model", mcp.WithTemplateTitle("Model"), mcp.WithTemplateMIMEType("application/json"),
			mcp.WithTemplateDescription("What a model is, as lookup_model says it: hwledger://models/Qwen/Qwen3-8B.")), s.readModel)
	}
	if s.offers("plan_memory") {
		srv.AddResource(mcp.NewResource(formulasURI, "formulas", mcp.WithResourceTitle("Formulas"), mcp.WithMIMEType("text/markdown"),
			mcp.WithResourceDescription("Each term of a plan by engine: formula, how sure it is, and its source.")), readFormulas)
	}
}

// offers reports whether the surface has a tool.
func (s *Surface) offers(tool string) bool {
	return slices.ContainsFunc(s.tools, func(t Tool) bool { return t.Name == tool })
}

// byName is a reference by name. Paths and addresses are for the tools: a
// resource's address may come from anywhere, and names no file.
var byName = regexp.MustCompile(`^(?:(?:hf|catalog|ollama|lmstudio):)?\w[\w.-]*(?:/\w[\w.-]*){0,3}(?:@[\w.-]+)?(?::[\w.-]+)?$`)

// readModel answers resources/read of a model.
func (s *Surface) readModel(ctx context.Context, req mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	uri := req.Params.URI
	ref, err := url.PathUnescape(strings.TrimPrefix(uri, modelsURI))
	if err != nil || len(ref) > 300 || !byName.MatchString(ref) || strings.Contains(ref, "..") {
		return nil, resourceError(ctx, uri, model.Errorf(model.InvalidArgument, "uri", "%q names no model", lookup.Clean(uri, 200)).
			WithHint("give org/name, ollama:name:tag, lmstudio:key or catalog:org/name; files are for the tool lookup_model"))
	}
	args, err := json.Marshal(map[string]string{"model": ref})
	if err != nil {
		return nil, err
	}
	r := s.Call(ctx, "lookup_model", args)
	if r.Failed {
		var f Failure
		if err := json.Unmarshal(r.Structured, &f); err != nil {
			return nil, err
		}
		return nil, resourceFailure(ctx, uri, f)
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: "application/json", Text: string(r.Structured)}}, nil
}

// resourceError is an error of resources/read: the failure that a tool would
// return, as the data of a JSON-RPC error.
func resourceError(ctx context.Context, uri string, err error) error {
	return resourceFailure(ctx, uri, failure(err))
}

func resourceFailure(ctx context.Context, uri string, f Failure) error {
	e := protocol.NotFound(ctx, uri, f.Text())
	switch f.Code {
	case model.InvalidArgument:
		e.Code = mcp.INVALID_PARAMS
	case model.ModelNotFound:
	default:
		e.Code = mcp.INTERNAL_ERROR
	}
	e.Data = map[string]any{"uri": uri, "error": f}
	return e
}

// shown are the models that the formulas are shown for: one of each kind of
// attention, state and feed-forward that changes them.
var shown = []string{"Qwen/Qwen3-8B", "google/gemma-3-27b-it", "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-Next-80B-A3B-Instruct"}

// readFormulas lists the terms that plans are made of. They are those of real
// plans, so that the list cannot say what the planner does not do.
func readFormulas(ctx context.Context, _ mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	var b strings.Builder
	b.WriteString("# How bytes are computed\n\nThe terms of plan_memory by engine, from plans of " + strings.Join(shown, ", ") +
		" at 8192 tokens on one large device. Sizes are bytes; confidence says how each is known.\n")
	for _, engine := range calc.Engines() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "\n## %s\n\n| term | formula | confidence | source |\n|---|---|---|---|\n", engine)
		seen := map[string]bool{}
		for _, name := range shown {
			if err := formulas(ctx, &b, engine, name, seen); err != nil {
				var why *model.Error
				if !errors.As(err, &why) {
					return nil, err
				}
				fmt.Fprintf(&b, "| – | not for %s: %s | | |\n", name, cell(why.Message))
			}
		}
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: formulasURI, MIMEType: "text/markdown", Text: b.String()}}, nil
}

// formulas adds the terms of one plan that were not seen.
func formulas(ctx context.Context, b *strings.Builder, engine, name string, seen map[string]bool) error {
	found, err := lookup.Resolve(ctx, lookup.Request{Ref: "catalog:" + name, Offline: true})
	if err != nil {
		return err
	}
	req := calc.Request{Model: found.Model, Engine: engine}
	req.Load.ContextTokens = 8192
	if req.Hardware, err = hardware.Parse("2000GB"); err != nil {
		return err
	}
	res, err := calc.Plan(req)
	if err != nil {
		return err
	}
	for _, t := range res.Terms {
		row := fmt.Sprintf("| %s | %s | %s | %s |\n", t.Name, cell(t.Formula), t.Confidence, cell(t.Source))
		if !seen[row] {
			seen[row] = true
			b.WriteString(row)
		}
	}
	return nil
}

// cell is text in a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s)
}
