package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"hwledger/internal/fault"
	"hwledger/ledger/cost"
	"hwledger/ledger/event"
)

// refer checks what an event says of events before it: an invoice settles
// estimates, an adjustment corrects a cost, a measurement measures a
// prediction. What cannot be read is left to the check of the payload.
func (l *Ledger) refer(ctx context.Context, t event.Type, raw json.RawMessage) (json.RawMessage, error) {
	switch t {
	case event.TypeCost:
		var c event.Cost
		if json.Unmarshal(raw, &c) != nil {
			return raw, nil
		}
		for _, seq := range c.Settles {
			if err := l.unsettled(ctx, "settles", seq); err != nil {
				return nil, err
			}
		}
		return l.amortise(ctx, &c, raw)
	case event.TypeAdjustment:
		var a event.Adjustment
		if json.Unmarshal(raw, &a) == nil && a.Adjusts != 0 {
			return raw, l.unsettled(ctx, "adjusts", a.Adjusts)
		}
	case event.TypeMeasurement:
		var m event.Measurement
		if json.Unmarshal(raw, &m) == nil && m.Prediction != 0 {
			return raw, l.is(ctx, "prediction", m.Prediction, event.TypePrediction)
		}
	}
	return raw, nil
}

// is checks that event seq has a type.
func (l *Ledger) is(ctx context.Context, field string, seq int64, t event.Type) error {
	var typ string
	err := l.read.QueryRowContext(ctx, "SELECT type FROM events WHERE seq = ?", seq).Scan(&typ)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fault.New(fault.InvalidArgument, "payload."+field, "there is no event %d", seq).WithHint("name a %s by its seq; query_ledger with type %s lists them", t, t)
	case err != nil:
		return l.failure(err)
	case typ != string(t):
		return fault.New(fault.InvalidArgument, "payload."+field, "event %d is a %s, not a %s", seq, typ, t).WithHint("name a %s by its seq; query_ledger with type %s lists them", t, t)
	}
	return nil
}

// unsettled checks that event seq is a cost that counts: one that an invoice
// took the place of is not settled again, nor adjusted. An invoice is not
// settled at all.
func (l *Ledger) unsettled(ctx context.Context, field string, seq int64) error {
	if err := l.is(ctx, field, seq, event.TypeCost); err != nil {
		return err
	}
	if err := l.project(ctx); err != nil {
		return err
	}
	var stage string
	var settled sql.NullInt64
	err := l.read.QueryRowContext(ctx, "SELECT stage, settled_seq FROM costs WHERE seq = ?", seq).Scan(&stage, &settled)
	switch {
	case errors.Is(err, sql.ErrNoRows): // it was erased
		return fault.New(fault.InvalidArgument, "payload."+field, "the payload of event %d is erased", seq).WithHint("name another cost by its seq")
	case err != nil:
		return l.failure(err)
	case settled.Valid:
		return fault.New(fault.InvalidArgument, "payload."+field, "invoice %d took the place of event %d", settled.Int64, seq).WithHint("adjust event %d instead", settled.Int64)
	case field == "settles" && stage != "estimate":
		return fault.New(fault.InvalidArgument, "payload."+field, "event %d is an invoice itself", seq).WithHint("correct an invoice by an adjustment")
	}
	return nil
}

// amortise gives a cost of hardware its price per hour, from what the ledger
// knows of the device.
func (l *Ledger) amortise(ctx context.Context, c *event.Cost, raw json.RawMessage) (json.RawMessage, error) {
	if c.Kind != "hardware" || c.Device == "" || c.Amount != nil || c.UnitPrice != nil {
		return raw, nil
	}
	if err := l.project(ctx); err != nil {
		return nil, err
	}
	var price, life, use sql.NullInt64
	err := l.read.QueryRowContext(ctx, "SELECT price, life, use FROM devices WHERE device = ?", c.Device).Scan(&price, &life, &use)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, l.failure(err)
	}
	perHour, ok := cost.PerHour(price.Int64, life.Int64, use.Int64)
	if !price.Valid || !ok {
		return nil, fault.New(fault.InvalidArgument, "payload.device", "the ledger does not know what an hour of %q costs", c.Device).
			WithHint("record a device event with price_micro_usd, life_hours and utilization_percent, or give unit_price_micro_usd")
	}
	return event.Fill(raw, map[string]int64{event.UnitPriceField: perHour})
}
