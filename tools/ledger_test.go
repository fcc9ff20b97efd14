package tools

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/ledger"
)

// withLedger returns a surface whose ledger is in a directory of the test.
func withLedger(t testing.TB) (*Surface, *ledger.Ledger) {
	t.Helper()
	l, err := ledger.Open(t.Context(), t.TempDir(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return newSurface(t, Options{Ledger: func(context.Context) (Ledger, error) { return l, nil }}), l
}

func TestLedgerTools(t *testing.T) {
	s, l := withLedger(t)
	for _, c := range []struct{ tool, args, text, structured string }{
		{"query_ledger", `{}`, "No event matches", `{"events":[]}`},
		{"report_usage", `{}`, "In all: no cost", `"rows":[]`},
		{"verify_ledger", `{}`, "INTACT. 0 events", `"ok":true`},
		{"record_event", `{"type":"prediction","subject":"run-1","payload":{"model":"Qwen/Qwen3-8B","engine":"vllm","device":"RTX 4090","required_bytes":20000000000}}`, "Recorded as event 1 of 1", `"seq":1`},
		{"record_event", `{"type":"measurement","subject":"run-1","payload":{"required_bytes":20500000000,"energy_mj":3600000000}}`, "Recorded as event 2", `"size":2`},
		{"record_event", `{"type":"cost","subject":"run-1","payload":{"kind":"rental","amount_micro_usd":2990000,"model":"Qwen/Qwen3-8B"},"idempotency_key":"k"}`, "Recorded as event 3", `"seq":3`},
		{"record_event", `{"type":"cost","subject":"run-1","payload":{"amount_micro_usd":2990000,"kind":"rental","model":"Qwen/Qwen3-8B"},"idempotency_key":"k"}`, "Recorded as event 3", `"seq":3`},
		{"query_ledger", `{"model":"Qwen/Qwen3-8B","limit":1}`, "1 event, and more", `"next_cursor"`},
		{"query_ledger", `{"type":"measurement","subject":"run-1"}`, "1 event.", `"payload":{"energy_mj":3600000000,"required_bytes":20500000000}`},
		{"query_ledger", `{"since":"2020-01-01","until":"2020-01-02T00:00:00Z"}`, "No event", `[]`},
		{"report_usage", `{"group_by":["model","engine","device"]}`, "In all: $2.990000 (estimated $2.990000, invoiced $0.000000, adjusted $0.000000); 1.000 kWh; 1 prediction measured, off by 2.44 % on average (-2.44 %).", `"cost_micro_usd":2990000`},
		{"verify_ledger", `{}`, "INTACT. 3 events", `"pinned":0`},
	} {
		r := s.Call(t.Context(), c.tool, json.RawMessage(c.args))
		if r.Failed || !strings.HasPrefix(r.Text, c.text) || !strings.Contains(string(r.Structured), c.structured) {
			t.Errorf("%s %s: %s\n%s", c.tool, c.args, r.Text, r.Structured)
		}
		conforms(t, s, c.tool, r.Structured)
	}
	p, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(VerifyArgs{Checkpoint: p.Note})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Call(t.Context(), "verify_ledger", raw); r.Failed || !strings.Contains(string(r.Structured), `"pinned":3`) {
		t.Errorf("%s", r.Structured)
	}
	if _, err := l.Erase(t.Context(), 1, "test", "test"); err != nil {
		t.Fatal(err)
	}
	if r := s.Call(t.Context(), "query_ledger", json.RawMessage(`{}`)); !strings.Contains(string(r.Structured), `"erased":true`) || !strings.Contains(r.Text, "(erased)") {
		t.Errorf("%s\n%s", r.Text, r.Structured)
	}
}

// What reports are made of has to follow from the events too.
func TestVerifyProjections(t *testing.T) {
	dir := t.TempDir()
	l, err := ledger.Open(t.Context(), dir, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newSurface(t, Options{Ledger: func(context.Context) (Ledger, error) { return l, nil }})
	s.Call(t.Context(), "record_event", json.RawMessage(`{"type":"cost","subject":"pod","payload":{"kind":"rental","amount_micro_usd":5}}`))
	if r := s.Call(t.Context(), "report_usage", nil); r.Failed || !strings.Contains(string(r.Structured), `"cost_micro_usd":5`) {
		t.Errorf("%s", r.Structured)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE costs SET amount = 1"); err != nil {
		t.Fatal(err)
	}
	r := s.Call(t.Context(), "verify_ledger", nil)
	if !r.Failed || !strings.Contains(string(r.Structured), `"integrity_violation"`) || !strings.Contains(r.Text, "--rebuild") {
		t.Errorf("%s", r.Text)
	}
	conforms(t, s, "verify_ledger", r.Structured)
}

func TestLedgerErrors(t *testing.T) {
	s, _ := withLedger(t)
	for _, c := range []struct {
		tool, args  string
		code        model.Code
		field, says string
	}{
		{"record_event", `{"type":"gossip","subject":"x","payload":{}}`, model.InvalidArgument, "type", "measurement"},
		{"record_event", `{"type":"launch","subject":"x","payload":{}}`, model.InvalidArgument, "type", "note"}, // the program's own
		{"record_event", `{"type":"note","subject":"x"}`, model.InvalidArgument, "payload", "payload"},
		{"record_event", `{"type":"note","subject":"x","payload":{"txt":"y"}}`, model.InvalidArgument, "", "text"},
		{"record_event", `{"type":"note","subject":"x","payload":{"text":"y","prompt":"z"}}`, model.InvalidArgument, "payload.prompt", "text"},
		{"record_event", `{"type":"note","subject":"","payload":{"text":"y"}}`, model.InvalidArgument, "subject", "about"},
		{"record_event", `{"type":"adjustment","subject":"x","payload":{"adjusts":7,"amount_micro_usd":1,"reason":"y"}}`, model.InvalidArgument, "payload.adjusts", "no event 7"},
		{"query_ledger", `{"type":"gossip"}`, model.InvalidArgument, "type", "exit"},
		{"query_ledger", `{"since":"yesterday"}`, model.InvalidArgument, "since", "2026-11-25"},
		{"query_ledger", `{"until":"1"}`, model.InvalidArgument, "until", "2026-11-25"},
		{"query_ledger", `{"cursor":"x"}`, model.InvalidArgument, "cursor", "next_cursor"},
		{"query_ledger", `{"limit":9999}`, model.InvalidArgument, "limit", "1000"},
		{"report_usage", `{"group_by":["mood"]}`, model.InvalidArgument, "group_by", "device"},
		{"verify_ledger", `{"checkpoint":"nonsense"}`, model.InvalidArgument, "checkpoint", "ledger checkpoint"},
	} {
		r := s.Call(t.Context(), c.tool, json.RawMessage(c.args))
		var f Failure
		if err := json.Unmarshal(r.Structured, &f); err != nil || !r.Failed {
			t.Errorf("%s %s: %s, %v", c.tool, c.args, r.Structured, err)
			continue
		}
		if f.Code != c.code || !strings.HasPrefix(f.Field, c.field) || !strings.Contains(f.Message+f.Hint+strings.Join(f.Candidates, " "), c.says) {
			t.Errorf("%s %s: %+v", c.tool, c.args, f)
		}
		conforms(t, s, c.tool, r.Structured)
	}
	none := newSurface(t, Options{})
	for _, name := range []string{"query_ledger", "verify_ledger", "report_usage"} {
		if r := none.Call(t.Context(), name, nil); !r.Failed || !strings.Contains(r.Text, "no ledger") {
			t.Errorf("%s without a ledger: %s", name, r.Text)
		}
	}
}
