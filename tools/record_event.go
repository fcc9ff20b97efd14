package tools

import (
	"context"
	"encoding/json"
	"fmt"

	"hwledger/ledger"
	"hwledger/ledger/event"
)

// EventType is a type of event that users and agents may record.
type EventType string

// Enum lists them.
func (EventType) Enum() []string { return event.Types(true) }

// EventArgs are the input of record_event.
type EventArgs struct {
	Type    EventType       `json:"type" doc:"note needs text, cost kind and amount_micro_usd; errors describe the rest." alias:"kind,event,event_type"`
	Subject string          `json:"subject" doc:"Run, device or model." alias:"about,id,name"`
	Payload json.RawMessage `json:"payload" doc:"Fields of the type." brief:"true" alias:"data,body,content"`
	Key     string          `json:"idempotency_key,omitempty" doc:"Makes a retry safe." brief:"true" alias:"key,request_id"`
}

// EventReceipt is the output of record_event.
type EventReceipt struct {
	Seq int64 `json:"seq"`
	// Leaf is the event's hash, base64.
	Leaf string `json:"leaf"`
	Size int64  `json:"size"`
}

func recordEvent(opts Options) Tool {
	return define(Tool{
		Name: "record_event", Title: "Record in the ledger", Toolset: LedgerSet,
		Description: "Appends to the tamper-evident ledger, for good. Retry with the same idempotency_key. Never record prompts or secrets.",
		Effect:      Effect{Writes: true},
	}, func(ctx context.Context, a EventArgs) (*EventReceipt, error) {
		l, err := opts.ledger(ctx)
		if err != nil {
			return nil, err
		}
		r, err := l.Append(ctx, ledger.Event{Type: event.Type(a.Type), Subject: a.Subject, Actor: "record_event", Payload: a.Payload, Key: a.Key})
		if err != nil {
			return nil, err
		}
		return &EventReceipt{r.Seq, r.Leaf.String(), r.Size}, nil
	})
}

// Text is the receipt in words.
func (r *EventReceipt) Text() string {
	return fmt.Sprintf("Recorded as event %d of %d, hash %s. Keep this receipt: it shows if the event is ever gone.\n", r.Seq, r.Size, r.Leaf)
}
