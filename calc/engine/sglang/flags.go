package sglang

import (
	"math"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// reader collects flags and remembers the first failure.
type reader struct {
	f   engine.Flags
	err error
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

// int reads a count, which is not negative.
func (r *reader) int(name string, def int64) int64 {
	v := r.signed(name, def)
	if v < 0 {
		r.keep(model.Errorf(model.InvalidArgument, "flags."+name, "%d is negative", v))
	}
	return v
}

// signed reads a number of which SGLang takes -1 for "off".
func (r *reader) signed(name string, def int64) int64 {
	v, err := r.f.Int(name, def)
	r.keep(err)
	return max(v, -1)
}

func (r *reader) float(name string, def float64) float64 {
	v, err := r.f.Float(name, def)
	r.keep(err)
	if err == nil && (math.IsNaN(v) || v < 0) {
		r.keep(model.Errorf(model.InvalidArgument, "flags."+name, "%g is negative", v))
	}
	return v
}

func (r *reader) bool(name string, def bool) bool {
	v, err := r.f.Bool(name, def)
	r.keep(err)
	return v
}

func (r *reader) string(name string) string {
	v, err := r.f.String(name, "")
	r.keep(err)
	return strings.ToLower(strings.TrimSpace(v))
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

func roundUp(n, m int64) int64 { return ceilDiv(n, m) * m }

// scale returns x × unit in whole bytes, saturated: an absurd input is an
// absurd size, not a negative one.
func scale(x, unit float64) int64 {
	if y := x * unit; y < math.MaxInt64/4 {
		return int64(y)
	}
	return math.MaxInt64 / 4
}
