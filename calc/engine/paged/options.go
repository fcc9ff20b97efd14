package paged

import (
	"math"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// MaxTokens bounds counts of tokens and sequences, so that products of a few
// of them stay far from the end of int64.
const MaxTokens = 1 << 34

// Options reads an engine's switches and remembers the first failure, so that
// settings can be filled without a check after each line.
type Options struct {
	Flags engine.Flags
	Err   error
}

func (o *Options) fail(err error) {
	if o.Err == nil {
		o.Err = err
	}
}

// Refuse remembers a refusal of the switch called name.
func (o *Options) Refuse(name, format string, args ...any) {
	o.fail(model.Errorf(model.InvalidArgument, "flags."+name, format, args...))
}

// Int returns the integer called name, def when it is absent; one outside 0
// to most is refused.
func (o *Options) Int(name string, def, most int64) int64 {
	v, err := o.Flags.Int(name, def)
	if err != nil {
		o.fail(err)
	} else if v < 0 || v > most {
		o.Refuse(name, "%d is not between 0 and %d", v, most)
		return def
	}
	return v
}

// Bool returns the switch called name, def when it is absent.
func (o *Options) Bool(name string, def bool) bool {
	v, err := o.Flags.Bool(name, def)
	if err != nil {
		o.fail(err)
	}
	return v
}

// Text returns the lower-case text called name, "" when it is absent.
func (o *Options) Text(name string) string {
	v, err := o.Flags.String(name, "")
	if err != nil {
		o.fail(err)
	}
	return strings.ToLower(strings.TrimSpace(v))
}

// Fraction returns the number called name, def when it is absent; one that is
// not above 0 and at most 1 is refused.
func (o *Options) Fraction(name string, def float64) float64 {
	v, err := o.Flags.Float(name, def)
	if err != nil {
		o.fail(err)
	} else if math.IsNaN(v) || v <= 0 || v > 1 {
		o.Refuse(name, "%g is not a fraction above 0 and at most 1", v)
		return def
	}
	return v
}

// maxList bounds the numbers of one switch.
const maxList = 4096

// Ints returns the list called name, nil when it is absent: a JSON array, one
// number, or text with commas. Members outside 1 to most are refused.
func (o *Options) Ints(name string, most int64) []int64 {
	var out []int64
	add := func(v any) {
		n, err := engine.Flags{name: v}.Int(name, 0)
		switch {
		case err != nil:
			o.fail(err)
		case n < 1 || n > most:
			o.Refuse(name, "%d is not between 1 and %d", n, most)
		default:
			out = append(out, n)
		}
	}
	switch v := o.Flags[name].(type) {
	case nil:
	case []any:
		if len(v) > maxList {
			o.Refuse(name, "%d numbers are too many", len(v))
			return nil
		}
		for _, x := range v {
			add(x)
		}
	case string:
		if strings.Count(v, ",") >= maxList {
			o.Refuse(name, "more than %d numbers", maxList)
			return nil
		}
		for _, x := range strings.Split(strings.Trim(v, "[] "), ",") {
			add(strings.TrimSpace(x))
		}
	default:
		add(v)
	}
	return out
}

// Given reports whether the switch called name is set.
func (o *Options) Given(name string) bool { return o.Flags[name] != nil }

// AssumeInt records an integer that was taken for an open setting, and returns
// it.
func AssumeInt(u *engine.Usage, field string, v int64, why string) int64 {
	u.Assume(field, strconv.FormatInt(v, 10), why)
	return v
}

// Most is the most bytes that a term can have, 1 PiB: more is no plan but an
// absurd argument, and sums of terms over many devices must not overflow.
const Most = 1 << 50

// Mul returns a × b for numbers that are not negative, at most Most.
func Mul(a, b int64) int64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	if a > Most/b {
		return Most
	}
	return a * b
}

// CeilDiv returns a ÷ b rounded up.
func CeilDiv(a, b int64) int64 { return (a + b - 1) / b }

// RoundUp returns the multiple of b that is not below a.
func RoundUp(a, b int64) int64 { return CeilDiv(a, b) * b }
