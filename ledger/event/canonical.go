package event

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"hwledger/internal/fault"
)

// MaxPayload bounds a payload, in bytes of its canonical form: an event says
// what happened, it does not carry files.
const MaxPayload = 64 << 10

// maxDepth bounds how deep a payload nests.
const maxDepth = 32

// Canonicalize returns the RFC 8785 form of one JSON object. It refuses what
// that form would change in silence: integers that a double cannot hold,
// names that are there twice, text that is not UTF-8.
func Canonicalize(raw []byte) ([]byte, error) {
	if len(raw) > 4*MaxPayload {
		return nil, fault.New(fault.InvalidArgument, "payload", "the payload has %d bytes", len(raw)).
			WithHint("an event takes at most %d bytes; record a hash of what is longer", MaxPayload)
	}
	if suspect(raw) {
		if err := exact(raw); err != nil {
			return nil, err
		}
	}
	v := jsontext.Value(bytes.Clone(raw))
	if err := v.Canonicalize(); err != nil {
		return nil, unreadable(err)
	}
	if len(v) > MaxPayload {
		return nil, fault.New(fault.InvalidArgument, "payload", "the payload has %d bytes", len(v)).
			WithHint("an event takes at most %d bytes; record a hash of what is longer", MaxPayload)
	}
	return v, nil
}

// suspect reports that raw may have something that canonical JSON cannot keep:
// it is no object, nests deeply, or has a number with an exponent or as many
// digits as 2^53.
// It looks at bytes only, which is a tenth of the work of exact.
func suspect(raw []byte) bool {
	trimmed := bytes.TrimLeft(raw, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return true
	}
	depth, digits, inString := 0, 0, false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if inString {
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
			}
			continue
		}
		switch {
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E':
			if digits++; digits > 15 || digits > 1 && c|' ' == 'e' {
				return true
			}
			continue
		}
		if digits = 0; depth > maxDepth {
			return true
		}
	}
	return false
}

// exact walks a payload's tokens and refuses those that canonical JSON cannot
// keep.
func exact(raw []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(raw))
	if d.PeekKind() != '{' {
		return fault.New(fault.InvalidArgument, "payload", "the payload is not a JSON object").WithHint("send an object")
	}
	for {
		t, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return unreadable(err)
		case d.StackDepth() > maxDepth:
			return fault.New(fault.InvalidArgument, "payload", "the payload nests deeper than %d levels", maxDepth).WithHint("flatten it")
		case t.Kind() == '0' && !holds(t.String()):
			return fault.New(fault.InvalidArgument, fieldAt(d), "%s cannot be kept exactly: canonical JSON has doubles, whole up to 2^53", t.String()).
				WithHint("write it as a string: %q", t.String())
		}
	}
}

// fieldAt names the value that d just read.
func fieldAt(d *jsontext.Decoder) string {
	return "payload" + strings.ReplaceAll(string(d.StackPointer()), "/", ".")
}

// holds reports whether a double holds the number as it is written: up to 2^53
// any fraction, as the nearest double, and integers; above, what is
// written as a fraction or with an exponent and no more digits than a double
// has.
func holds(number string) bool {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return false
	}
	const most = 1 << 53
	if -most <= f && f <= most {
		// In this range a double is off by a fraction only. 2^53 itself is also
		// what 2^53+1 is rounded to.
		return math.Abs(f) < most || same(number, f)
	}
	return strings.ContainsAny(number, ".eE") && same(number, f)
}

// same reports that a number has the value of the digits that f is written
// with. Its exponent is bounded: f is finite, and not small.
func same(number string, f float64) bool {
	a, ok := new(big.Rat).SetString(number)
	b, ok2 := new(big.Rat).SetString(strconv.FormatFloat(f, 'e', -1, 64))
	return ok && ok2 && a.Cmp(b) == 0
}

func unreadable(err error) error {
	return fault.New(fault.InvalidArgument, "payload", "the payload is not one JSON object of I-JSON (RFC 7493)").
		WithHint("send valid UTF-8 with each name once in an object").WithCause(err)
}
