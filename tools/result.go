package tools

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"hwledger/calc/lookup"
	"hwledger/calc/model"
)

// Result is what a call came to.
type Result struct {
	// Structured is the answer's JSON object, or the error's when Failed.
	Structured json.RawMessage
	Text       string
	Failed     bool
	Code       model.Code // of the error, when Failed
	// Answer is the answer itself, nil when Failed.
	Answer Answer
	// Meta goes beside the answer, for programs.
	Meta map[string]any
	// Picture shows the answer as PNG, nil for most.
	Picture []byte

	// question is what the client has to be asked first, nil for nothing.
	question *question
}

// Failure is the JSON form of an error.
type Failure struct {
	Code       model.Code `json:"code"`
	Message    string     `json:"message"`
	Field      string     `json:"field,omitempty"`
	Hint       string     `json:"hint,omitempty"`
	Candidates []string   `json:"candidates,omitempty"`
}

// mostCandidates bounds what an error offers.
const mostCandidates = 20

// failure describes err to the caller. What is not a *model.Error is a fault
// of this program, and says no more than that.
func failure(err error) Failure {
	var e *model.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e = model.Errorf(model.NotReady, "", "the call was stopped before it was done").WithHint("call again")
	default:
		e = model.Errorf(model.Internal, "", "the tool failed in a way that it should not").WithHint("the server's log on stderr has the cause; other calls are not affected")
	}
	f := Failure{Code: e.Code, Message: e.Message, Field: e.Field, Hint: e.Hint, Candidates: e.Candidates}
	if e.Err != nil {
		f.Message += ": " + e.Err.Error()
	}
	f.Message, f.Field, f.Hint = lookup.Clean(f.Message, 1000), lookup.Clean(f.Field, 200), lookup.Clean(f.Hint, 1000)
	f.Candidates = slices.Clone(f.Candidates[:min(len(f.Candidates), mostCandidates)])
	for i, c := range f.Candidates {
		f.Candidates[i] = lookup.Clean(c, lookup.MaxText)
	}
	return f
}

// Text says what went wrong and what to do next.
func (f Failure) Text() string {
	var b strings.Builder
	b.WriteString(string(f.Code) + ": ")
	if f.Field != "" && !strings.Contains(f.Message, f.Field) {
		b.WriteString(f.Field + ": ")
	}
	b.WriteString(sentence(f.Message) + "\n")
	if f.Hint != "" {
		b.WriteString("Next: " + sentence(f.Hint) + "\n")
	}
	if len(f.Candidates) > 0 {
		b.WriteString("Candidates: " + strings.Join(f.Candidates, ", ") + ".\n")
	}
	return b.String()
}

// sentence ends s with a full stop unless it has an end.
func sentence(s string) string {
	if strings.HasSuffix(s, ".") || strings.HasSuffix(s, "?") {
		return s
	}
	return s + "."
}

func failed(err error) *Result {
	var q *question
	if errors.As(err, &q) {
		return &Result{question: q, Failed: true}
	}
	f := failure(err)
	raw, err := json.Marshal(f)
	if err != nil {
		raw = json.RawMessage(`{"code":"internal","message":"the error could not be encoded"}`)
	}
	return &Result{Structured: raw, Text: f.Text(), Failed: true, Code: f.Code}
}
