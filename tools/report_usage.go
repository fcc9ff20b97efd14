package tools

import (
	"context"
	"fmt"
	"strings"

	"hwledger/ledger"
)

// UsageKey is what usage can be grouped by.
type UsageKey string

// Enum lists them.
func (UsageKey) Enum() []string { return ledger.UsageKeys() }

// UsageArgs are the input of report_usage.
type UsageArgs struct {
	GroupBy []UsageKey `json:"group_by,omitempty" doc:"None: totals only." alias:"by,group,groupby"`
	Since   string     `json:"since,omitempty" doc:"As in query_ledger." brief:"true" alias:"from,after,start"`
	Until   string     `json:"until,omitempty" doc:"As in query_ledger." brief:"true" alias:"to,before,end"`
}

// UsageReport is the output of report_usage.
type UsageReport struct {
	Rows   []UsageInfo `json:"rows"`
	Totals UsageInfo   `json:"totals"`
}

// UsageInfo is the usage of one group. What was never recorded is absent.
type UsageInfo struct {
	// Group has the value of each key, "" for events that do not say.
	Group map[string]string `json:"group"`
	// Cost counts invoices, estimates that none settled, and adjustments.
	Cost      *int64 `json:"cost_micro_usd,omitempty"`
	Estimated *int64 `json:"estimated_micro_usd,omitempty"`
	Invoiced  *int64 `json:"invoiced_micro_usd,omitempty"`
	Adjusted  *int64 `json:"adjusted_micro_usd,omitempty"`
	// Energy does not cover EnergyUnknown.
	Energy        *int64 `json:"energy_mj,omitempty"`
	EnergyUnknown int64  `json:"energy_unknown_ms,omitempty"`
	// Measured counts predictions of memory that were measured; errors are
	// predicted minus measured, in percent of what was measured.
	Measured     int64    `json:"predictions_measured"`
	MeanError    *float64 `json:"mean_error_percent,omitempty"`
	MeanAbsolute *float64 `json:"mean_absolute_error_percent,omitempty"`
	MaxAbsolute  *float64 `json:"max_absolute_error_percent,omitempty"`
	// Within counts those inside the predicted range, of Ranged that had one.
	Within int64 `json:"within_range,omitempty"`
	Ranged int64 `json:"with_range,omitempty"`
}

func reportUsage(opts Options) Tool {
	return define(Tool{
		Name: "report_usage", Title: "Report usage", Toolset: LedgerSet,
		Description: "Sums cost, energy and errors of predicted memory. What was not recorded is absent, not 0.",
	}, func(ctx context.Context, a UsageArgs) (*UsageReport, error) {
		q := ledger.UsageQuery{}
		for _, k := range a.GroupBy {
			q.By = append(q.By, string(k))
		}
		var err error
		if q.Since, q.Until, err = period(a.Since, a.Until); err != nil {
			return nil, err
		}
		l, err := opts.ledger(ctx)
		if err != nil {
			return nil, err
		}
		u, err := l.Usage(ctx, q)
		if err != nil {
			return nil, err
		}
		out := &UsageReport{Rows: make([]UsageInfo, len(u.Rows)), Totals: usageInfo(&u.Totals)}
		for i := range u.Rows {
			out.Rows[i] = usageInfo(&u.Rows[i])
		}
		return out, nil
	})
}

func usageInfo(r *ledger.UsageRow) UsageInfo {
	i := UsageInfo{
		Group: r.Group, Energy: r.MilliJoules, EnergyUnknown: r.UnknownMS,
		Measured: r.Measured, MeanError: r.MeanError, MeanAbsolute: r.MeanAbsolute, MaxAbsolute: r.Most, Within: r.Within, Ranged: r.Ranged,
	}
	if r.Lines > 0 {
		i.Cost, i.Estimated, i.Invoiced, i.Adjusted = &r.Cost, &r.Estimated, &r.Invoiced, &r.Adjusted
	}
	return i
}

// Text is the totals and the first few rows.
func (u *UsageReport) Text() string {
	const most = 12
	var b strings.Builder
	b.WriteString("In all: " + u.Totals.text() + ".\n")
	for i := range u.Rows {
		if i == most {
			fmt.Fprintf(&b, "… and %d more.\n", len(u.Rows)-most)
			break
		}
		var name []string
		for _, k := range ledger.UsageKeys() {
			if v, ok := u.Rows[i].Group[k]; ok {
				if v == "" {
					v = "no " + k
				}
				name = append(name, v)
			}
		}
		b.WriteString(strings.Join(name, ", ") + ": " + u.Rows[i].text() + ".\n")
	}
	return b.String()
}

func (u *UsageInfo) text() string {
	var parts []string
	if u.Cost != nil {
		parts = append(parts, fmt.Sprintf("%s (estimated %s, invoiced %s, adjusted %s)", dollars(*u.Cost), dollars(*u.Estimated), dollars(*u.Invoiced), dollars(*u.Adjusted)))
	}
	if u.Energy != nil {
		parts = append(parts, fmt.Sprintf("%.3f kWh", float64(*u.Energy)/3.6e9))
	}
	if u.EnergyUnknown > 0 {
		parts = append(parts, fmt.Sprintf("energy of %.0f s not known", float64(u.EnergyUnknown)/1e3))
	}
	if u.MeanAbsolute != nil && u.MeanError != nil {
		s := fmt.Sprintf("%s measured, off by %.2f %% on average (%+.2f %%)", plural(int(u.Measured), "prediction", "predictions"), *u.MeanAbsolute, *u.MeanError)
		if u.Ranged > 0 {
			s += fmt.Sprintf(", %d of %d in range", u.Within, u.Ranged)
		}
		parts = append(parts, s)
	}
	if len(parts) == 0 {
		return "no cost, energy or measured prediction was recorded"
	}
	return strings.Join(parts, "; ")
}

// dollars writes micro-USD: "-$0.105000".
func dollars(micro int64) string {
	sign := ""
	if micro < 0 {
		sign, micro = "-", -micro
	}
	return fmt.Sprintf("%s$%d.%06d", sign, micro/1e6, micro%1e6)
}
