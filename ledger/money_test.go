package ledger_test

import (
	"encoding/csv"
	"strings"
	"testing"

	"hwledger/ledger"
	"hwledger/ledger/event"
)

// An estimate that an invoice settles takes its adjustments with it, in the
// report and in the export; those of the invoice are billed.
func TestSettledAdjustments(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	micro := func(n int64) *int64 { return &n }
	for _, e := range []ledger.Event{
		{Type: event.TypeCost, Payload: event.Cost{Kind: "rental", Amount: micro(100)}},
		{Type: event.TypeAdjustment, Payload: event.Adjustment{Adjusts: 1, Amount: -20, Reason: "promised"}},
		{Type: event.TypeCost, Payload: event.Cost{Kind: "rental", Stage: "invoice", Settles: []int64{1}, Amount: micro(85),
			Period: event.Period{Start: "2026-11-03T01:00:00+01:00", End: "2026-11-03T02:00:00+01:00"}}},
		{Type: event.TypeAdjustment, Payload: event.Adjustment{Adjusts: 3, Amount: -5, Reason: "credit"}},
		{Type: event.TypeCost, Payload: event.Cost{Kind: "rental", Amount: micro(7)}},
		{Type: event.TypeAdjustment, Payload: event.Adjustment{Adjusts: 5, Amount: 1, Reason: "forgotten"}},
	} {
		e.Subject, e.Actor = "pod", "test"
		add(t, l, e)
	}
	u, err := l.Usage(t.Context(), ledger.UsageQuery{})
	if got := u.Totals.Money; err != nil || got != (ledger.Money{Lines: 3, Cost: 85 - 5 + 7 + 1, Estimated: 107, Invoiced: 85, Adjusted: -4}) {
		t.Errorf("%+v %v", got, err)
	}
	var out strings.Builder
	if err := l.ExportFocus(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil || len(rows) != 7 {
		t.Fatal(len(rows), err)
	}
	for i, want := range []string{
		"0.000000 0.000000", "0.000000 0.000000", "0.000085 0.000085", "-0.000005 -0.000005", "0.000000 0.000007", "0.000000 0.000001",
	} {
		if got := rows[i+1][0] + " " + rows[i+1][1]; got != want {
			t.Errorf("event %d: billed and effective are %s, want %s", i+1, got, want)
		}
	}
	if rows[3][6] != "2026-11-03T00:00:00Z" || rows[3][7] != "2026-11-03T01:00:00Z" {
		t.Errorf("the period is %s to %s", rows[3][6], rows[3][7])
	}
}

// A cost at a time that no calendar of SQLite's has is in the report all the
// same.
func TestCostBeforeTheYearZero(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	amount := int64(5)
	add(t, l, ledger.Event{Type: event.TypeCost, Subject: "x", Actor: "test", Payload: event.Cost{Kind: "other", Amount: &amount, Period: event.Period{Start: "0000-01-01T00:00:00+23:59"}}})
	u, err := l.Usage(t.Context(), ledger.UsageQuery{By: []string{"day", "month"}})
	if err != nil || len(u.Rows) != 1 || u.Totals.Cost != 5 {
		t.Errorf("%+v %v", u, err)
	}
}

// A log that was cut behind what was projected is an error for those who ask
// the projections, not an endless search for the events that are gone.
func TestQueryOfCutLog(t *testing.T) {
	dir := t.TempDir()
	l := story(t, dir)
	if _, err := l.Query(t.Context(), ledger.Query{Model: "Qwen/Qwen3-8B", Limit: 1}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	db := raw(t, dir, true)
	do(t, db, "DELETE FROM events WHERE seq > 8")
	do(t, db, "DELETE FROM checkpoints")
	db.Close()
	for _, readOnly := range []bool{true, false} {
		cut, err := ledger.Open(t.Context(), dir, ledger.Options{ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		_, err = cut.Query(t.Context(), ledger.Query{Model: "Qwen/Qwen3-8B", Limit: 1})
		wantCode(t, err, "integrity_violation", "gone")
		_, err = cut.Usage(t.Context(), ledger.UsageQuery{})
		wantCode(t, err, "integrity_violation", "gone")
		cut.Close() // which refuses to sign it
	}
}

// An erased payload that stays in the write-ahead log, because somebody reads,
// is not said to be gone; asking again finishes it.
func TestEraseWhileRead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	add(t, l, note("alice", "alice's secret"))
	db := raw(t, dir, false)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM events").Scan(&n); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	_, err = l.Erase(t.Context(), 1, "asked for", "test")
	wantCode(t, err, "not_ready", "write-ahead log")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	_, err = l.Erase(t.Context(), 1, "asked for", "test")
	wantCode(t, err, "invalid_argument", "erased already")
	forgotten(t, dir, "secret")
	if v := verified(t, l); v.Size != 2 {
		t.Errorf("%+v", v)
	}
}

// Triggers that were dropped, or have others in their place, are told of.
func TestTriggersTold(t *testing.T) {
	for _, text := range []string{
		"DROP TRIGGER events_delete",
		"DROP TRIGGER events_delete; CREATE TRIGGER events_delete BEFORE DELETE ON events BEGIN SELECT 1; END",
		"CREATE TRIGGER events_more AFTER INSERT ON events BEGIN SELECT 1; END",
	} {
		dir, _, _ := victim(t)
		db := raw(t, dir, false)
		do(t, db, text)
		db.Close()
		v := verified(t, open(t, dir, ledger.Options{}))
		if !strings.Contains(strings.Join(v.Notes, "\n"), "triggers") {
			t.Errorf("%s: %v", text, v.Notes)
		}
	}
	dir, _, _ := victim(t)
	if v := verified(t, open(t, dir, ledger.Options{})); len(v.Notes) > 0 {
		t.Errorf("untouched: %v", v.Notes)
	}
}
