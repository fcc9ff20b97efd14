// Package fault is how the ledger fails: with a code that a program can act
// on, what was wrong and where, and what to do next.
package fault

import "fmt"

// Code is one of the public surface's error codes.
type Code string

// The codes that a ledger fails with.
const (
	InvalidArgument    Code = "invalid_argument"
	MalformedFile      Code = "malformed_file"
	Denied             Code = "denied"
	NotReady           Code = "not_ready"
	IntegrityViolation Code = "integrity_violation"
	Internal           Code = "internal"
)

// Error is a failure that says what was wrong, where, and what to do next.
type Error struct {
	Code    Code
	Message string
	// Field is the argument or file that the error is about.
	Field string
	// Hint is the next step, as an instruction.
	Hint string
	// Candidates are values that would have been accepted.
	Candidates []string
	// Err is the cause, when there is one.
	Err error
}

// Error returns the message, with the field in front when there is one.
func (e *Error) Error() string {
	s := e.Message
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an Error with a formatted message.
func New(code Code, field, format string, args ...any) *Error {
	return &Error{Code: code, Field: field, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns e with its hint set.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithCause returns e with its cause set.
func (e *Error) WithCause(err error) *Error {
	e.Err = err
	return e
}
