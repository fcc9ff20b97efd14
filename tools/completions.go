package tools

import (
	"context"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"hwledger/calc"
	"hwledger/calc/hardware"
	"hwledger/calc/lookup/catalog"
	"hwledger/calc/quant"
	"hwledger/internal/protocol"
)

// completions complete the arguments of prompts and of resource addresses.
type completions struct{}

// mostCompletions is the protocol's bound.
const mostCompletions = 100

// CompletePromptArgument completes a prompt's argument. Which prompt it is does
// not matter: an argument has one meaning in all of them.
func (completions) CompletePromptArgument(_ context.Context, name string, arg mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	if !slices.ContainsFunc(prompts, func(p prompt) bool { return p.name == name }) {
		return nil, &protocol.Error{Code: mcp.INVALID_PARAMS, Message: "there is no such prompt; prompts/list names those there are"}
	}
	return completed(arg)
}

// CompleteResourceArgument completes a variable of a resource template.
func (completions) CompleteResourceArgument(_ context.Context, uri string, arg mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	if uri == modelsRef && arg.Name == "ref" {
		arg.Name = "model"
	}
	return completed(arg)
}

func completed(arg mcp.CompleteArgument) (*mcp.Completion, error) {
	var names []string
	var err error
	switch arg.Name {
	case "model":
		names, err = catalog.Names()
	case "engine":
		names = calc.Engines()
	case "weights", "quantization":
		names = quant.Names()
	case "hardware":
		for _, a := range hardware.All() {
			names = append(names, a.Name)
		}
	}
	if err != nil {
		return nil, err
	}
	found := matching(arg.Value, names)
	return &mcp.Completion{Values: found[:min(len(found), mostCompletions)], Total: len(found), HasMore: len(found) > mostCompletions}, nil
}

// matching are the names that begin with what was typed, then those whose part
// after a slash does, then those that contain it; each once and in order.
func matching(typed string, names []string) []string {
	typed = strings.ToLower(typed)
	var first, second, third []string
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			continue
		}
		seen[n] = true
		low := strings.ToLower(n)
		_, after, _ := strings.Cut(low, "/")
		switch {
		case strings.HasPrefix(low, typed):
			first = append(first, n)
		case strings.HasPrefix(after, typed):
			second = append(second, n)
		case strings.Contains(low, typed):
			third = append(third, n)
		}
	}
	return slices.Concat(first, second, third)
}
