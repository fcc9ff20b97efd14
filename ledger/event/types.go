// Package event says what a ledger can be told: the types of events, what
// the payload of each must be, and the bytes that are hashed.
//
// Amounts of money are integers of micro-USD, energy is integers of
// millijoules, fields ending in _bytes are bytes. What people ask a model is
// never in an event: a call carries the hash and the length of its prompt.
package event

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"hwledger/internal/fault"
	"hwledger/internal/schema"
)

// Type is what kind of thing happened.
type Type string

// The types. The first group is for whoever uses hwLedger, the second is
// written by the program itself.
const (
	TypeNote        Type = "note"
	TypePrediction  Type = "prediction"
	TypeMeasurement Type = "measurement"
	TypeCost        Type = "cost"
	TypePrice       Type = "price"
	TypeAdjustment  Type = "adjustment"
	TypeDevice      Type = "device"

	TypeLaunch     Type = "launch"
	TypeExit       Type = "exit"
	TypeTiming     Type = "timing"
	TypeCall       Type = "call"
	TypeErasure    Type = "erasure"
	TypeCheckpoint Type = "checkpoint"
)

// kind is a type with what its payload must be.
type kind struct {
	typ    Type
	schema func() *schema.Schema
	// complete checks what the schema cannot, and returns the payload with what
	// follows from it filled in.
	complete func([]byte) ([]byte, error)
	// recordable types may be written by users and agents.
	recordable bool
}

// kinds are all types: a new one is a payload struct and one line here.
var kinds = []kind{
	define[Note](TypeNote, true),
	define[Prediction](TypePrediction, true),
	define[Measurement](TypeMeasurement, true),
	define[Cost](TypeCost, true),
	define[Price](TypePrice, true),
	define[Adjustment](TypeAdjustment, true),
	define[Device](TypeDevice, true),
	define[Launch](TypeLaunch, false),
	define[Exit](TypeExit, false),
	define[Timing](TypeTiming, false),
	define[Call](TypeCall, false),
	define[Erasure](TypeErasure, false),
	define[Checkpoint](TypeCheckpoint, false),
}

// completer is a payload that has rules beyond its schema. It returns what
// follows from the rest and was not given, by its name in JSON.
type completer interface {
	complete() (filled map[string]int64, err error)
}

// Names of what may be filled in.
const (
	amountField    = "amount_micro_usd"
	UnitPriceField = "unit_price_micro_usd"
)

// FilledIn reports whether a field of a payload may be there without having
// been given.
func FilledIn(name string) bool { return name == amountField || name == UnitPriceField }

// Fill adds fields to a payload. What it returns is not canonical.
func Fill(payload []byte, filled map[string]int64) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil {
		return nil, err
	}
	for name, n := range filled {
		fields[name] = strconv.AppendInt(nil, n, 10)
	}
	return json.Marshal(fields)
}

func define[P any](t Type, recordable bool) kind {
	return kind{t, sync.OnceValue(schema.Input[P]), func(raw []byte) ([]byte, error) {
		var p P
		c, ok := any(&p).(completer)
		if !ok {
			return raw, nil
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, fault.New(fault.InvalidArgument, "payload", "the payload of a %s cannot be read", t).WithHint("numbers may be too large").WithCause(err)
		}
		filled, err := c.complete()
		if err != nil || len(filled) == 0 {
			return raw, err
		}
		return Fill(raw, filled)
	}, recordable}
}

// Types returns the names of all types, or of those that users and agents may
// record.
func Types(recordable bool) []string {
	var out []string
	for _, k := range kinds {
		if k.recordable || !recordable {
			out = append(out, string(k.typ))
		}
	}
	return out
}

// Recordable reports whether users and agents may record t.
func Recordable(t Type) bool { return slices.Contains(Types(true), string(t)) }

func find(t Type) (kind, error) {
	for _, k := range kinds {
		if k.typ == t {
			return k, nil
		}
	}
	e := fault.New(fault.InvalidArgument, "type", "there is no event type %q", t)
	e.Candidates = Types(false)
	return kind{}, e.WithHint("use one of: %s", strings.Join(e.Candidates, ", "))
}

// Fields describes the payload of a type, one field in a line.
func Fields(t Type) (string, error) {
	k, err := find(t)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range k.schema().Properties {
		b.WriteString(p.Name + " (" + p.Schema.Type)
		if p.Required {
			b.WriteString(", required")
		}
		if len(p.Schema.Enum) > 0 {
			b.WriteString(": " + strings.Join(p.Schema.Enum, ", "))
		}
		b.WriteString(")")
		if p.Schema.Description != "" {
			b.WriteString(" " + p.Schema.Description)
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// Given checks raw against the type's schema and returns its canonical bytes.
// All that is wrong with it is in one error.
func Given(t Type, raw []byte) ([]byte, error) {
	k, err := find(t)
	if err != nil {
		return nil, err
	}
	canonical, err := Canonicalize(raw)
	if err != nil {
		return nil, err
	}
	clean, bad := k.schema().Clean(string(t), canonical)
	if len(bad) > 0 {
		return nil, violation(k, bad)
	}
	if bytes.Equal(clean, canonical) {
		return canonical, nil
	}
	return Canonicalize(clean)
}

// Payload is Given with what follows from the rest filled in: the bytes that
// are recorded.
func Payload(t Type, raw []byte) ([]byte, error) {
	given, err := Given(t, raw)
	if err != nil {
		return nil, err
	}
	return Complete(t, given)
}

// Complete fills in what follows from a payload that Given returned.
func Complete(t Type, given []byte) ([]byte, error) {
	k, err := find(t)
	if err != nil {
		return nil, err
	}
	whole, err := k.complete(given)
	if err != nil || bytes.Equal(whole, given) {
		return given, err
	}
	return Canonicalize(whole)
}

// violation turns what is wrong with a payload into one error.
func violation(k kind, bad []*schema.Violation) error {
	v := bad[0]
	e := fault.New(fault.InvalidArgument, "payload", "%s", v.Message)
	if v.Field != "" {
		e.Field = "payload." + v.Field
	}
	for _, more := range bad[1:] {
		e.Message += "; " + more.Message
	}
	e.Candidates = v.Candidates
	e.Hint = v.Hint
	if e.Hint == "" {
		e.Hint = "the fields of a " + string(k.typ) + " are " + strings.Join(k.schema().Names(), ", ")
	}
	return e
}
