package event

import (
	"time"

	"hwledger/internal/fault"
	"hwledger/ledger/cost"
)

// Period is when something was used, RFC 3339.
type Period struct {
	Start string `json:"period_start,omitempty" doc:"RFC 3339."`
	End   string `json:"period_end,omitempty" doc:"RFC 3339."`
}

// length returns how long the period is, 0 when its ends are not both given.
func (p Period) length() (time.Duration, error) {
	if err := checkTime("period_start", p.Start); err != nil {
		return 0, err
	}
	if err := checkTime("period_end", p.End); err != nil || p.Start == "" || p.End == "" {
		return 0, err
	}
	start, _ := time.Parse(time.RFC3339, p.Start) // checked
	end, _ := time.Parse(time.RFC3339, p.End)
	if end.Before(start) {
		return 0, fault.New(fault.InvalidArgument, "payload.period_end", "the period ends before it starts").WithHint("exchange period_start and period_end")
	}
	return end.Sub(start), nil
}

func checkTime(field, s string) error {
	if s == "" {
		return nil
	}
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return fault.New(fault.InvalidArgument, "payload."+field, "%q is not a time", s).WithHint("write RFC 3339: 2026-11-25T12:00:00Z")
	}
	return nil
}

// Cost is money that was spent, or an estimate of it. An invoice settles the
// estimates before it: they are not edited, the report counts the invoice
// instead.
type Cost struct {
	Labels
	Period
	Energy
	Kind string `json:"kind" enum:"energy,hardware,rental,api,storage,network,other"`
	// Amount is computed from the unit price when it is absent: of energy_mj,
	// of quantity, or of the hours of the period.
	Amount    *int64   `json:"amount_micro_usd,omitempty" min:"0" doc:"Micro-USD; by default unit_price_micro_usd times kWh of energy_mj, quantity or hours of the period."`
	Stage     string   `json:"stage,omitempty" enum:"estimate,invoice" default:"estimate"`
	Settles   []int64  `json:"settles,omitempty" doc:"seq of the estimates that this invoice replaces."`
	Provider  string   `json:"provider,omitempty"`
	Service   string   `json:"service,omitempty"`
	Resource  string   `json:"resource,omitempty" doc:"Id of the machine or device."`
	Region    string   `json:"region,omitempty"`
	Quantity  *float64 `json:"quantity,omitempty" min:"0"`
	Unit      string   `json:"unit,omitempty" doc:"Of quantity: hour, kWh, GB, token."`
	Invoice   string   `json:"invoice,omitempty"`
	UnitPrice *int64   `json:"unit_price_micro_usd,omitempty" min:"0" doc:"Per kWh, unit of quantity, or hour. Of hardware it follows from the device's price and life."`
	// PUE is the facility's power usage effectiveness.
	PUE         int64  `json:"pue_permille,omitempty" min:"1000" max:"10000" doc:"Power usage effectiveness, in thousandths."`
	PriceSource string `json:"price_source,omitempty" doc:"Where the price was read."`
	PriceTime   string `json:"price_time,omitempty" doc:"When, RFC 3339."`
}

// complete computes the amount when it is not given.
func (c *Cost) complete() (map[string]int64, error) {
	if len(c.Settles) > 0 && c.Stage != "invoice" {
		return nil, fault.New(fault.InvalidArgument, "payload.settles", "only an invoice settles estimates").WithHint(`set stage to "invoice"`)
	}
	if err := checkTime("price_time", c.PriceTime); err != nil {
		return nil, err
	}
	length, err := c.length()
	if err != nil || c.Amount != nil {
		return nil, err
	}
	amount, ok := int64(0), false
	switch {
	case c.UnitPrice == nil:
	case c.Kind == "energy" && c.MilliJoules != nil:
		amount, ok = cost.Energy(*c.MilliJoules, *c.UnitPrice, max(c.PUE, 1000))
	case c.Quantity != nil:
		amount, ok = cost.Quantity(*c.Quantity, *c.UnitPrice)
	case c.Kind != "energy" && length > 0:
		amount, ok = cost.Rental(length, *c.UnitPrice)
	}
	if !ok {
		return nil, fault.New(fault.InvalidArgument, "payload.amount_micro_usd", "the cost has no amount, and none follows from the rest").
			WithHint("give amount_micro_usd, or unit_price_micro_usd with energy_mj, quantity, or period_start and period_end")
	}
	return map[string]int64{amountField: amount}, nil
}
