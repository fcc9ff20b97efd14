package tools

import (
	"context"
	"encoding/json"
	"sync"

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
	query := ledger.Query{Type: event.TypeMeasurement, Limit: 1}
	last, err := l.Query(ctx, query)
	if err != nil || len(last.Events) == 0 {
		return nil
	}
	o.past.mu.Lock()
	defer o.past.mu.Unlock()
	if o.past.seq == last.Events[0].Seq {
		return o.past.took
	}
	query.Limit = mostStarts
	page, err := l.Query(ctx, query)
	if err != nil {
		return nil
	}
	o.past.seq, o.past.took = page.Events[0].Seq, nil
	for i := range page.Events {
		o.past.took = append(o.past.took, starts(page.Events[i].Payload)...)
	}
	return o.past.took
}

// past is what was read of the ledger up to a measurement, so that it is not
// read for every plan.
type past struct {
	mu   sync.Mutex
	seq  int64 // of the last measurement
	took []engine.Took
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
