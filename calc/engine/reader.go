package engine

import (
	"strings"

	"hwledger/calc/model"
)

// FlagReader reads flags and keeps the first error.
type FlagReader struct {
	Flags Flags
	Err   error
}

// Fail keeps an error, if it is one.
func (r *FlagReader) Fail(err error) {
	if r.Err == nil && err != nil {
		r.Err = err
	}
}

// Int reads a number from low to high.
func (r *FlagReader) Int(name string, def, low, high int64) int64 {
	v, err := r.Flags.Int(name, def)
	r.Fail(err)
	if err == nil && (v < low || v > high) {
		r.Fail(model.Errorf(model.InvalidArgument, "flags."+name, "%d is not between %d and %d", v, low, high))
		return def
	}
	return v
}

// Bool reads a switch.
func (r *FlagReader) Bool(name string, def bool) bool {
	v, err := r.Flags.Bool(name, def)
	r.Fail(err)
	return v
}

// Word reads a text, in lower case.
func (r *FlagReader) Word(name, def string) string {
	v, err := r.Flags.String(name, def)
	r.Fail(err)
	return strings.ToLower(v)
}
