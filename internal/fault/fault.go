// Package fault is how hwLedger fails: with a code that a program can act on,
// what was wrong and where, and what to do next.
package fault

import "fmt"

// Code is a stable error code that a caller can act on. The set is fixed by
// the public surface of hwLedger.
type Code string

// The codes.
const (
	InvalidArgument         Code = "invalid_argument"
	ModelNotFound           Code = "model_not_found"
	UnsupportedArchitecture Code = "unsupported_architecture"
	MalformedFile           Code = "malformed_file"
	Offline                 Code = "offline"
	Denied                  Code = "denied"
	HardwareNotFound        Code = "hardware_not_found"
	EngineNotInstalled      Code = "engine_not_installed"
	WouldNotFit             Code = "would_not_fit"
	NotReady                Code = "not_ready"
	OutOfMemory             Code = "out_of_memory"
	IntegrityViolation      Code = "integrity_violation"
	Internal                Code = "internal"
)

// Error is a failure that says what was wrong, where, and what to do next.
type Error struct {
	Code    Code
	Message string
	// Field is the argument, config key or file that the error is about.
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
