package ledger

import (
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"hwledger/ledger/event"
	"hwledger/ledger/proof"
)

// focusColumns are the columns of a cost export, named as in FOCUS 1.3 where
// it has them; its own begin with x_.
var focusColumns = []string{
	"BilledCost", "EffectiveCost", "BillingCurrency", "ChargeCategory", "ChargeClass", "ChargeDescription",
	"ChargePeriodStart", "ChargePeriodEnd", "ConsumedQuantity", "ConsumedUnit", "ListUnitPrice", "InvoiceId",
	"ProviderName", "ServiceName", "ServiceCategory", "RegionId", "ResourceId", "ResourceType",
	"x_Seq", "x_RecordedAt", "x_Stage", "x_AdjustsSeq", "x_Model", "x_Engine", "x_Device", "x_PriceSource", "x_PriceTime",
}

// serviceCategory is FOCUS's category of a kind of cost.
var serviceCategory = map[string]string{
	"energy": "Compute", "hardware": "Compute", "rental": "Compute", "api": "AI and Machine Learning", "storage": "Storage", "network": "Networking", "other": "Other",
}

// ExportFocus writes every cost and adjustment as CSV in the columns of the
// FinOps Open Cost and Usage Specification. BilledCost is what invoices and
// their adjustments say, EffectiveCost what counts: an estimate that an invoice
// settled costs nothing itself, and its adjustments do not.
func (l *Ledger) ExportFocus(ctx context.Context, w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(focusColumns); err != nil {
		return err
	}
	lines := map[int64]costLine{}
	err := l.snapshot(ctx, func(tx *sql.Tx) error {
		if err := l.each(ctx, tx, func(r *proof.Record, _ proof.Hash) error {
			var c event.Cost
			if r.Type == string(event.TypeCost) && json.Unmarshal(r.Payload, &c) == nil {
				line := lines[r.Seq]
				line.invoice = c.Stage == "invoice"
				lines[r.Seq] = line
				for _, seq := range c.Settles {
					if line := lines[seq]; !line.invoice {
						line.settled = true
						lines[seq] = line
					}
				}
			}
			return nil
		}); err != nil {
			return err
		}
		return l.each(ctx, tx, func(r *proof.Record, _ proof.Hash) error {
			row, err := focusRow(r, lines)
			if err != nil || row == nil {
				return err
			}
			line := make([]string, len(focusColumns))
			for i, name := range focusColumns {
				line[i] = plainText(row[name])
			}
			return out.Write(line)
		})
	})
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	return err
}

// plainText keeps a spreadsheet from taking text for a formula.
func plainText(s string) string {
	if s == "" {
		return s
	}
	switch s[0] {
	case '=', '@', '+', '\t', '\r':
		return "'" + s
	case '-':
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return "'" + s
		}
	}
	return s
}

// costLine is what became of a cost: an estimate that was settled does not count
// any more, nor do its adjustments.
type costLine struct{ invoice, settled bool }

// focusRow is an event's line, nil when it is neither cost nor adjustment, or
// was erased.
func focusRow(r *proof.Record, lines map[int64]costLine) (map[string]string, error) {
	if r.Erased() {
		return nil, nil
	}
	recorded := time.UnixMicro(r.Micros).UTC().Format(time.RFC3339)
	row := map[string]string{"BillingCurrency": "USD", "ChargeDescription": r.Subject, "x_Seq": strconv.FormatInt(r.Seq, 10), "x_RecordedAt": recorded}
	switch event.Type(r.Type) {
	case event.TypeAdjustment:
		var a event.Adjustment
		if err := json.Unmarshal(r.Payload, &a); err != nil {
			return nil, fmt.Errorf("event %d: %w", r.Seq, err)
		}
		row["BilledCost"], row["EffectiveCost"] = decimal(0), decimal(a.Amount)
		if line := lines[a.Adjusts]; line.invoice {
			row["BilledCost"] = decimal(a.Amount)
		} else if line.settled {
			row["EffectiveCost"] = decimal(0)
		}
		row["ChargeCategory"], row["ChargeClass"] = "Adjustment", "Correction"
		row["ChargeDescription"], row["InvoiceId"] = a.Reason, a.Invoice
		row["ChargePeriodStart"], row["ChargePeriodEnd"] = recorded, recorded
		row["x_AdjustsSeq"], row["x_Stage"] = strconv.FormatInt(a.Adjusts, 10), "adjustment"
		return row, nil
	case event.TypeCost:
		var c event.Cost
		if err := json.Unmarshal(r.Payload, &c); err != nil {
			return nil, fmt.Errorf("event %d: %w", r.Seq, err)
		}
		focusCost(row, &c, lines[r.Seq].settled, recorded)
		return row, nil
	}
	return nil, nil
}

func focusCost(row map[string]string, c *event.Cost, settled bool, recorded string) {
	amount := int64(0)
	if c.Amount != nil {
		amount = *c.Amount
	}
	row["BilledCost"], row["EffectiveCost"] = decimal(0), decimal(amount)
	row["x_Stage"] = "estimate"
	if c.Stage == "invoice" {
		row["BilledCost"], row["x_Stage"] = decimal(amount), "invoice"
	} else if settled {
		row["EffectiveCost"] = decimal(0)
	}
	row["ChargeCategory"] = "Usage"
	row["ChargePeriodStart"], row["ChargePeriodEnd"] = recorded, recorded
	if c.Start != "" {
		row["ChargePeriodStart"] = inUTC(c.Start)
	}
	if c.End != "" {
		row["ChargePeriodEnd"] = inUTC(c.End)
	}
	if c.Quantity != nil {
		row["ConsumedQuantity"], row["ConsumedUnit"] = strconv.FormatFloat(*c.Quantity, 'f', -1, 64), c.Unit
	}
	if c.UnitPrice != nil {
		row["ListUnitPrice"] = decimal(*c.UnitPrice)
	}
	row["ProviderName"], row["ServiceName"], row["ServiceCategory"] = c.Provider, c.Service, serviceCategory[c.Kind]
	row["ResourceType"], row["ResourceId"], row["RegionId"], row["InvoiceId"] = c.Kind, c.Resource, c.Region, c.Invoice
	row["x_Model"], row["x_Engine"], row["x_Device"] = c.Model, c.Engine, c.Device
	row["x_PriceSource"], row["x_PriceTime"] = c.PriceSource, c.PriceTime
}

// inUTC writes a time as FOCUS has it, "2026-11-25T12:00:00Z".
func inUTC(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s // it was checked when it was recorded
	}
	return t.UTC().Format(time.RFC3339)
}

// decimal writes micro-USD in USD, exactly.
func decimal(micro int64) string {
	sign := ""
	if micro < 0 {
		sign, micro = "-", -micro
	}
	return fmt.Sprintf("%s%d.%06d", sign, micro/1e6, micro%1e6)
}
