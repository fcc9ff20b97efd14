package model

import "hwledger/internal/fault"

// Error is a failure that says what was wrong, where, and what to do next.
type Error = fault.Error

// Code is a stable error code that a caller can act on.
type Code = fault.Code

// The codes.
const (
	InvalidArgument         = fault.InvalidArgument
	ModelNotFound           = fault.ModelNotFound
	UnsupportedArchitecture = fault.UnsupportedArchitecture
	MalformedFile           = fault.MalformedFile
	Offline                 = fault.Offline
	Denied                  = fault.Denied
	HardwareNotFound        = fault.HardwareNotFound
	EngineNotInstalled      = fault.EngineNotInstalled
	WouldNotFit             = fault.WouldNotFit
	NotReady                = fault.NotReady
	OutOfMemory             = fault.OutOfMemory
	IntegrityViolation      = fault.IntegrityViolation
	Internal                = fault.Internal
)

// Errorf makes an Error with a formatted message.
func Errorf(code Code, field, format string, args ...any) *Error {
	return fault.New(code, field, format, args...)
}
