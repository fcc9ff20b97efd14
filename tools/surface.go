package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/near"
	"hwledger/probe"
)

// Options choose and configure the tools of a surface.
type Options struct {
	// Toolsets are the sets to offer, all when empty.
	Toolsets []string
	// Tools are the tools to offer by name, all of the toolsets when empty.
	Tools []string
	// ReadOnly leaves out tools that change anything.
	ReadOnly bool
	// AllowLaunch offers the sidecar tools that change something; Sidecars is
	// what they work with.
	AllowLaunch bool
	Sidecars    *Sidecars
	// Offline forbids the network to all tools.
	Offline bool
	// Ledger opens the ledger on first use; the tools for it say that there is
	// none when it is nil.
	Ledger func(context.Context) (Ledger, error)
	// HasLedger reports whether there is one already: what only reads makes
	// none. It may be nil.
	HasLedger func() bool
	Version   string
	// Machine samples this machine's hardware; the real one when it is nil.
	// Nothing is read before a tool asks.
	Machine *probe.Sampler
	// Watchers hear of every call of a client.
	Watchers []Watcher
	// Log takes diagnostics; they are dropped when it is nil.
	Log  *slog.Logger
	past *past
}

// Surface is the set of tools that a server or a command line offers.
type Surface struct {
	tools  []Tool
	opts   Options
	recent *recent
}

// New returns the surface that opts choose. It fails when a toolset or
// a tool is unknown, or when nothing is left.
func New(opts Options) (*Surface, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if opts.Machine == nil {
		opts.Machine = ThisMachine()
	}
	opts.past = &past{}
	s := &Surface{opts: opts, recent: newRecent()}
	var known, names []string
	for _, make := range registry {
		t := make(opts)
		if !slices.Contains(known, string(t.Toolset)) {
			known = append(known, string(t.Toolset))
		}
		names = append(names, t.Name)
		if len(opts.Tools) > 0 && !slices.Contains(opts.Tools, t.Name) {
			continue
		}
		unwanted := len(opts.Toolsets) > 0 && !slices.Contains(opts.Toolsets, string(t.Toolset))
		if unwanted || (opts.ReadOnly || t.Toolset == SidecarSet && !opts.AllowLaunch) && t.Effect.Writes {
			continue
		}
		s.tools = append(s.tools, t)
	}
	for _, want := range opts.Toolsets {
		if !slices.Contains(known, want) {
			return nil, fmt.Errorf("there is no toolset %q; there are %s", want, strings.Join(known, ", "))
		}
	}
	for _, want := range opts.Tools {
		if !slices.Contains(names, want) {
			return nil, fmt.Errorf("there is no tool %q; there are %s", want, strings.Join(names, ", "))
		}
	}
	if len(s.tools) == 0 {
		return nil, fmt.Errorf("no tools are left")
	}
	return s, nil
}

// Tools returns the tools in order. Do not change them.
func (s *Surface) Tools() []Tool { return s.tools }

// Tool returns the tool called name; without one, an error that offers the
// nearest names.
func (s *Surface) Tool(name string) (*Tool, error) {
	names := make([]string, len(s.tools))
	for i := range s.tools {
		if s.tools[i].Name == name {
			return &s.tools[i], nil
		}
		names[i] = s.tools[i].Name
	}
	e := model.Errorf(model.InvalidArgument, "tool", "there is no tool %q", name)
	if e.Candidates = near.Names(name, names, 3); len(e.Candidates) == 0 {
		e.Candidates = names
	}
	return nil, e.WithHint("use one of: %s", strings.Join(e.Candidates, ", "))
}

// Call calls a tool. Whatever goes wrong is in the result; a panic is an
// internal error.
func (s *Surface) Call(ctx context.Context, name string, args json.RawMessage) (r *Result) {
	t, err := s.Tool(name)
	if err != nil {
		return failed(err)
	}
	defer func() {
		if p := recover(); p != nil {
			s.opts.Log.Error("panic", "tool", name, "value", p, "stack", string(debug.Stack()))
			r = failed(fmt.Errorf("panic"))
		}
	}()
	key := name + string(args)
	if r, ok := recall(s.recent, s.recent.answers, key); ok {
		return r
	}
	out, err := t.call(context.WithValue(ctx, recentKey{}, s.recent), args)
	if err == nil {
		r = &Result{Answer: out, Text: out.Text()}
		if a, ok := out.(interface{ meta() map[string]any }); ok {
			r.Meta = a.meta()
		}
		if p, ok := out.(*Plan); ok {
			r.Picture = p.picture
		}
		if r.Structured, err = json.Marshal(out); err == nil {
			if lasting(out) {
				keep(s.recent, s.recent.answers, key, r)
			}
			return r
		}
	}
	r = failed(err)
	if f := failure(err); f.Code == model.Internal {
		s.opts.Log.Error("a tool failed", "tool", name, "error", err)
	}
	return r
}
