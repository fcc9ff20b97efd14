package tools

import (
	"context"
	"encoding/json"

	"hwledger/calc/engine"
	"hwledger/ledger"
	"hwledger/ledger/event"
)

// mostStarts bounds how many measurements plans on this machine go by, the
// newest.
const mostStarts = 200

// history is what starts on this machine took of their plans' open terms, as
// the ledger has it; none where there is no ledger yet. A plan is not kept
// waiting for a ledger that cannot be read.
func (o *Options) history(ctx context.Context) []engine.Took {
	if o.Ledger == nil || o.HasLedger == nil || !o.HasLedger() {
		return nil
	}
	l, err := o.ledger(ctx)
	if err != nil {
		return nil
	}
	page, err := l.Query(ctx, ledger.Query{Type: event.TypeMeasurement, Limit: mostStarts})
	if err != nil {
		return nil
	}
	var out []engine.Took
	for i := range page.Events {
		out = append(out, starts(page.Events[i].Payload)...)
	}
	return out
}

// starts reads what a measurement says of a start.
func starts(payload json.RawMessage) []engine.Took {
	var m struct {
		Engine  string        `json:"engine"`
		Version string        `json:"engine_version"`
		Start   string        `json:"start"`
		Terms   []engine.Took `json:"terms"`
	}
	if json.Unmarshal(payload, &m) != nil { // erased, or none
		return nil
	}
	for i := range m.Terms {
		t := &m.Terms[i]
		t.Engine, t.Version, t.Start = m.Engine, m.Version, m.Start
	}
	return m.Terms
}
