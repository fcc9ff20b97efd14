package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"hwledger/calc"
	"hwledger/ledger"
	"hwledger/ledger/event"
)

// measuredHere says how far the prediction was off when the model last ran here
// under the engine, as the ledger has it; "" when it did not, or there is no
// ledger yet. A plan is not kept waiting for a ledger that cannot be read.
func (o *Options) measuredHere(ctx context.Context, model string, res *calc.Result) string {
	if o.Ledger == nil || o.HasLedger == nil || !o.HasLedger() {
		return ""
	}
	l, err := o.ledger(ctx)
	if err != nil {
		return ""
	}
	_, name, prefixed := strings.Cut(model, ":") // sidecars record what an engine loads, without catalog: or hf:
	for _, ref := range []string{model, name} {
		if ref == name && !prefixed {
			break
		}
		page, err := l.Query(ctx, ledger.Query{Type: event.TypeMeasurement, Model: ref, Engine: res.Engine, Limit: 1})
		if err != nil || len(page.Events) == 0 {
			continue
		}
		return lastMeasured(ctx, l, &page.Events[0])
	}
	return ""
}

// lastMeasured describes a measurement beside its prediction.
func lastMeasured(ctx context.Context, l Ledger, e *ledger.Recorded) string {
	var m struct {
		Figures []struct {
			Name      string `json:"name"`
			Bytes     int64  `json:"bytes"`
			Predicted int64  `json:"predicted_bytes"`
		} `json:"figures"`
	}
	if json.Unmarshal(e.Payload, &m) != nil {
		return ""
	}
	var parts []string
	for _, f := range m.Figures {
		if f.Predicted > 0 {
			parts = append(parts, fmt.Sprintf("%s %+.1f %%", strings.ReplaceAll(f.Name, "_", " "), 100*float64(f.Bytes-f.Predicted)/float64(f.Predicted)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	var p struct {
		Tokens    int64 `json:"context_tokens"`
		Sequences int64 `json:"sequences"`
	}
	asked := ""
	if page, err := l.Query(ctx, ledger.Query{Type: event.TypePrediction, Subject: e.Subject, Limit: 1}); err == nil && len(page.Events) > 0 &&
		json.Unmarshal(page.Events[0].Payload, &p) == nil && p.Tokens > 0 {
		asked = fmt.Sprintf(" for %s tokens × %d", number(p.Tokens), max(1, p.Sequences))
	}
	return fmt.Sprintf("when it last ran here (%s, event %d of the ledger)%s it took of what was predicted: %s", e.Time.UTC().Format("2006-01-02"), e.Seq, asked, strings.Join(parts, ", "))
}
