package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"hwledger/ledger"
	"hwledger/ledger/event"
)

// LedgerQuery is the input of query_ledger.
type LedgerQuery struct {
	Type    string `json:"type,omitempty" doc:"As in record_event; launch, exit, timing, erasure." alias:"kind,event_type"`
	Subject string `json:"subject,omitempty" doc:"Exactly." brief:"true" alias:"about,id,name"`
	Model   string `json:"model,omitempty" doc:"Model reference, exactly." brief:"true"`
	Engine  string `json:"engine,omitempty" doc:"Inference engine." brief:"true"`
	Device  string `json:"device,omitempty" doc:"Device, exactly." brief:"true" alias:"gpu,hardware"`
	Since   string `json:"since,omitempty" doc:"RFC 3339 or day." alias:"from,after,start"`
	Until   string `json:"until,omitempty" doc:"As since; not included." brief:"true" alias:"to,before,end"`
	Limit   int    `json:"limit,omitempty" doc:"Most events to return." brief:"true" min:"1" max:"1000" default:"50" alias:"max_results,count,n"`
	Cursor  string `json:"cursor,omitempty" doc:"next_cursor of the answer before." brief:"true" alias:"next_cursor,page"`
}

// EventList is the output of query_ledger.
type EventList struct {
	Events []EventInfo `json:"events"`
	Next   string      `json:"next_cursor,omitempty"`
}

// EventInfo is one event.
type EventInfo struct {
	Seq     int64  `json:"seq"`
	Time    string `json:"time"`
	Type    string `json:"type"`
	Subject string `json:"subject"`
	Actor   string `json:"actor"`
	// Payload is absent once it was erased.
	Payload json.RawMessage `json:"payload,omitempty"`
	Erased  bool            `json:"erased,omitempty"`
	Leaf    string          `json:"leaf"`
}

func queryLedger(opts Options) Tool {
	return define(Tool{
		Name: "query_ledger", Title: "Query the ledger", Toolset: LedgerSet,
		Description: "Lists recorded events, newest first. All filters match exactly.",
	}, func(ctx context.Context, a LedgerQuery) (*EventList, error) {
		q := ledger.Query{Type: event.Type(a.Type), Subject: a.Subject, Model: a.Model, Engine: a.Engine, Device: a.Device, Limit: a.Limit, Cursor: a.Cursor}
		if q.Limit == 0 {
			q.Limit = 50
		}
		var err error
		if q.Since, q.Until, err = period(a.Since, a.Until); err != nil {
			return nil, err
		}
		l, err := opts.ledger(ctx)
		if err != nil {
			return nil, err
		}
		page, err := l.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		return eventList(page), nil
	})
}

func eventList(page ledger.Page) *EventList {
	out := &EventList{Events: make([]EventInfo, len(page.Events)), Next: page.Next}
	for i := range page.Events {
		out.Events[i] = eventInfo(&page.Events[i])
	}
	return out
}

func eventInfo(e *ledger.Recorded) EventInfo {
	return EventInfo{
		Seq: e.Seq, Time: e.Time.Format(time.RFC3339Nano), Type: e.Type, Subject: e.Subject, Actor: e.Actor,
		Payload: e.Payload, Erased: e.Payload == nil, Leaf: e.Leaf.String(),
	}
}

// Text lists the first few events.
func (l *EventList) Text() string {
	const most, width = 12, 120
	if len(l.Events) == 0 {
		return "No event matches. Next: widen the filters.\n"
	}
	var b strings.Builder
	more := ""
	if l.Next != "" {
		more = ", and more after next_cursor"
	}
	fmt.Fprintf(&b, "%s%s.\n", plural(len(l.Events), "event", "events"), more)
	for i, e := range l.Events {
		if i == most {
			fmt.Fprintf(&b, "… and %d more.\n", len(l.Events)-most)
			break
		}
		payload := string(e.Payload)
		if e.Erased {
			payload = "(erased)"
		}
		if r := []rune(payload); len(r) > width {
			payload = string(r[:width]) + "…"
		}
		fmt.Fprintf(&b, "%d %s %s %s %s\n", e.Seq, e.Time, e.Type, e.Subject, payload)
	}
	return b.String()
}
