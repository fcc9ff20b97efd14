package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hwledger/internal/fault"
)

// UsageQuery says how usage is summed up.
type UsageQuery struct {
	// By are the keys of a row, of UsageKeys; none sums up everything.
	By []string
	// Since and Until bound the time: of a cost when its period began, of the
	// rest when it was recorded. Since is in it, until not.
	Since, Until time.Time
}

// usageKeys are the expressions that rows are grouped by.
var usageKeys = []struct{ name, sql string }{
	{"model", "coalesce(model, '')"},
	{"engine", "coalesce(engine, '')"},
	{"device", "coalesce(device, '')"},
	// Times before the year 0 have no name in SQLite.
	{"day", "coalesce(strftime('%Y-%m-%d', ts_us / 1000000, 'unixepoch'), '')"},
	{"month", "coalesce(strftime('%Y-%m', ts_us / 1000000, 'unixepoch'), '')"},
}

// UsageKeys returns what usage can be grouped by.
func UsageKeys() []string {
	out := make([]string, len(usageKeys))
	for i, k := range usageKeys {
		out[i] = k.name
	}
	return out
}

// UsageRow is one group's usage. What was not recorded is nil.
type UsageRow struct {
	// Group has the value of each key; "" is events that do not say.
	Group map[string]string
	Money
	Power
	Accuracy
}

// Money is in micro-USD. Cost is what counts: invoices, the estimates that no
// invoice settled, and the adjustments of both. An estimate that was settled
// takes its adjustments with it: the invoice has the last word.
type Money struct {
	Lines                               int64
	Cost, Estimated, Invoiced, Adjusted int64
}

// Power is energy in millijoules, and the time for which it is not known.
type Power struct {
	MilliJoules *int64
	UnknownMS   int64
}

// Accuracy compares predictions of required memory with what was measured.
// Errors are (predicted - measured) / measured, in percent.
type Accuracy struct {
	Measured                      int64
	MeanError, MeanAbsolute, Most *float64
	// Within counts measurements inside the predicted range, of Ranged which
	// had one.
	Within, Ranged int64
}

// Usage is the rows in the order of their groups, and the sum of all.
type Usage struct {
	Rows   []UsageRow
	Totals UsageRow
}

// Usage sums up cost, energy and the accuracy of predictions.
func (l *Ledger) Usage(ctx context.Context, q UsageQuery) (u Usage, err error) {
	for _, k := range q.By {
		if !slices.Contains(UsageKeys(), k) {
			e := fault.New(fault.InvalidArgument, "group_by", "usage cannot be grouped by %q", k)
			e.Candidates = UsageKeys()
			return u, e.WithHint("use some of: %s", strings.Join(e.Candidates, ", "))
		}
	}
	q.By = slices.Compact(slices.Clone(q.By))
	if err := l.projectWhenPossible(ctx); err != nil {
		return u, err
	}
	err = l.snapshot(ctx, func(tx *sql.Tx) error {
		behind, err := lag(ctx, tx)
		if err != nil {
			return err
		}
		if behind == 0 {
			u, err = q.usage(ctx, tx)
			return err
		}
		// What cannot be brought up to date where it is, is made anew.
		last, err := size(ctx, tx)
		if err != nil {
			return err
		}
		return inMemory(ctx, tx, last, func(c *sql.Conn) error {
			u, err = q.usage(ctx, c)
			return err
		})
	})
	return u, err
}

func (q *UsageQuery) usage(ctx context.Context, from queryer) (u Usage, err error) {
	groups := map[string]*UsageRow{}
	if err := q.sum(ctx, from, q.By, groups); err != nil {
		return u, err
	}
	u.Rows = []UsageRow{}
	if len(q.By) > 0 {
		for _, k := range slices.Sorted(maps.Keys(groups)) {
			u.Rows = append(u.Rows, *groups[k])
		}
	}
	all := map[string]*UsageRow{}
	if err := q.sum(ctx, from, nil, all); err != nil {
		return u, err
	}
	u.Totals = UsageRow{Group: map[string]string{}}
	if t := all[""]; t != nil {
		u.Totals = *t
	}
	return u, nil
}

// mostGroups bounds a report.
const mostGroups = 10_000

// sum adds the three kinds of usage to the groups.
func (q *UsageQuery) sum(ctx context.Context, from queryer, by []string, groups map[string]*UsageRow) error {
	for _, part := range []struct {
		table, figures string
		into           func(*UsageRow) []any
	}{
		{"costs", "count(*), sum((amount + adjusted) * (settled_seq IS NULL)), sum(amount * (stage = 'estimate')), sum(amount * (stage = 'invoice')), sum(adjusted * (settled_seq IS NULL))",
			func(r *UsageRow) []any { return []any{&r.Lines, &r.Cost, &r.Estimated, &r.Invoiced, &r.Adjusted} }},
		{"energy", "sum(energy_mj), sum(unknown_ms)",
			func(r *UsageRow) []any { return []any{&r.MilliJoules, &r.UnknownMS} }},
		{"measured", `count(*), avg(100.0 * (predicted_bytes - measured_bytes) / nullif(measured_bytes, 0)),
			avg(abs(100.0 * (predicted_bytes - measured_bytes) / nullif(measured_bytes, 0))),
			max(abs(100.0 * (predicted_bytes - measured_bytes) / nullif(measured_bytes, 0))), coalesce(sum(within), 0), count(within)`,
			func(r *UsageRow) []any {
				return []any{&r.Measured, &r.MeanError, &r.MeanAbsolute, &r.Most, &r.Within, &r.Ranged}
			}},
	} {
		if err := q.part(ctx, from, by, part.table, part.figures, part.into, groups); err != nil {
			return err
		}
	}
	return nil
}

func (q *UsageQuery) part(ctx context.Context, from queryer, by []string, table, figures string, into func(*UsageRow) []any, groups map[string]*UsageRow) error {
	keys := make([]string, len(by))
	for i, name := range by {
		for _, k := range usageKeys {
			if k.name == name {
				keys[i] = k.sql
			}
		}
	}
	text := "SELECT " + strings.Join(append(slices.Clone(keys), figures), ", ") + " FROM " + table + " WHERE ts_us >= ? AND ts_us < ?"
	if len(keys) > 0 {
		text += " GROUP BY " + strings.Join(keys, ", ")
	} else {
		text += " HAVING count(*) > 0"
	}
	since, until := int64(-1<<62), int64(1<<62)
	if !q.Since.IsZero() {
		since = q.Since.UnixMicro()
	}
	if !q.Until.IsZero() {
		until = q.Until.UnixMicro()
	}
	rows, err := from.QueryContext(ctx, text, since, until)
	if err != nil {
		return err
	}
	defer rows.Close() // its error is in Err
	for rows.Next() {
		var fresh UsageRow
		values := make([]string, len(by))
		scan := make([]any, len(by))
		for i := range values {
			scan[i] = &values[i]
		}
		if err := rows.Scan(append(scan, into(&fresh)...)...); err != nil {
			return fmt.Errorf("summing up %s: %w", table, err)
		}
		if len(groups) == mostGroups {
			return fault.New(fault.InvalidArgument, "group_by", "there are more than %d groups", mostGroups).WithHint("group by less, or bound the time")
		}
		merge(groups, by, values, &fresh)
	}
	return rows.Err()
}

// merge puts what one table says of a group beside what the others say.
func merge(groups map[string]*UsageRow, by, values []string, fresh *UsageRow) {
	key := strings.Join(values, "\x00")
	r := groups[key]
	if r == nil {
		r = &UsageRow{Group: map[string]string{}}
		for i, name := range by {
			r.Group[name] = values[i]
		}
		groups[key] = r
	}
	if fresh.Lines > 0 {
		r.Money = fresh.Money
	}
	if fresh.MilliJoules != nil || fresh.UnknownMS > 0 {
		r.Power = fresh.Power
	}
	if fresh.Measured > 0 {
		r.Accuracy = fresh.Accuracy
	}
}
