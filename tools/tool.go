// Package tools is hwLedger's surface for agents: one file per tool, each an
// input struct, an output struct and a function. Schemas, validation, the
// command line and the reference in the README are made from these.
//
// A new tool is one new file and one line in registry.
package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"hwledger/calc/model"
	"hwledger/internal/schema"
)

// registry are all tools there are, in the order of a session's work.
var registry = []func(Options) Tool{
	lookupModel,
	searchModels,
	planMemory,
	findFit,
	comparePlans,
	exportLaunch,
	explainMemory,
	probeHardware,
	lookupHardware,
	launchSidecar,
	listSidecars,
	getSidecar,
	callSidecar,
	stopSidecar,
	queryLedger,
	verifyLedger,
	recordEvent,
	reportUsage,
}

// Toolset groups tools that are switched on and off together.
type Toolset string

// The toolsets.
const (
	ModelSet    Toolset = "model"
	PlanSet     Toolset = "plan"
	HardwareSet Toolset = "hardware"
	LedgerSet   Toolset = "ledger"
)

// Effect says what a tool does to the world; the annotations that clients
// ask people by are made from it.
type Effect struct {
	Writes      bool // changes something
	Destructive bool // and may lose something
	Repeatable  bool // a second call with the same arguments changes no more
	Network     bool // talks to something beyond this machine
}

// Tool is one tool.
type Tool struct {
	Name, Title string
	Toolset     Toolset
	// Description is two to four sentences: what, when, units, what next.
	Description string
	Effect      Effect
	// App is the address of the page that shows the tool's answers, if any.
	App     string
	In, Out *schema.Schema

	call func(context.Context, json.RawMessage) (Answer, error)
}

// Answer is what a tool returns: it has a JSON form, and a short text with
// the verdict first.
type Answer interface{ Text() string }

// define completes a tool with the schemas of its handler's types.
func define[In any, Out Answer](t Tool, handle func(context.Context, In) (Out, error)) Tool {
	t.In, t.Out = schema.Input[In](), schema.Output[Out]()
	t.call = func(ctx context.Context, raw json.RawMessage) (Answer, error) {
		args, bad := t.In.Clean(t.Name, raw)
		if len(bad) > 0 {
			return nil, violation(bad)
		}
		var in In
		if err := json.Unmarshal(args, &in); err != nil {
			return nil, unreadable(err)
		}
		out, err := handle(ctx, in)
		if err != nil {
			return nil, err
		}
		if err := t.Out.Verify(out); err != nil {
			return nil, fmt.Errorf("the result of %s does not match its schema: %w", t.Name, err)
		}
		return out, nil
	}
	return t
}

// violation turns what is wrong with arguments into one error, about the
// first and naming the others.
func violation(bad []*schema.Violation) error {
	v := bad[0]
	e := &model.Error{Code: model.InvalidArgument, Message: v.Message, Field: v.Field, Hint: v.Hint, Candidates: v.Candidates}
	const most = 4
	for i, more := range bad[1:] {
		if i == most {
			e.Message += fmt.Sprintf("; and %d more", len(bad)-1-most)
			break
		}
		e.Message += "; " + more.Message
		if more.Hint != "" {
			e.Hint += "; " + more.Field + ": " + more.Hint
		}
	}
	return e
}

// unreadable is the error for arguments that have the right form and still do
// not decode, such as an integer beyond 64 bits.
func unreadable(err error) error {
	e := model.Errorf(model.InvalidArgument, "", "the arguments cannot be read")
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		e.Field, e.Message = typ.Field, fmt.Sprintf("%s cannot be %s", typ.Field, typ.Value)
	}
	return e
}
