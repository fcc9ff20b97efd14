package tools

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// A plan on this machine says how far the last prediction was off here, and
// only where there was one, under the same engine.
func TestMeasuredHere(t *testing.T) {
	_, l := withLedger(t)
	opened := func(context.Context) (Ledger, error) { return l, nil }
	for _, e := range []struct{ typ, payload string }{
		{"prediction", `{"model":"Qwen/Qwen3-0.6B","engine":"llama.cpp","context_tokens":4096,"sequences":2,"required_bytes":3000,"figures":[{"name":"weights","bytes":1000},{"name":"kv_cache","bytes":2000}]}`},
		{"measurement", `{"model":"Qwen/Qwen3-0.6B","engine":"llama.cpp","figures":[{"name":"weights","bytes":1010,"predicted_bytes":1000},{"name":"kv_cache","bytes":2000,"predicted_bytes":2000}]}`},
	} {
		if r := newSurface(t, Options{Ledger: opened}).Call(t.Context(), "record_event", json.RawMessage(`{"type":"`+e.typ+`","subject":"run","payload":`+e.payload+`}`)); r.Failed {
			t.Fatalf("%s", r.Structured)
		}
	}
	for _, c := range []struct {
		engine string
		has    bool
		want   string
	}{
		{"llama.cpp", true, "for 4,096 tokens × 2 it took of what was predicted: weights +1.0 %, kv cache +0.0 %"},
		{"ollama", true, ""},
		{"llama.cpp", false, ""},
	} {
		opts := fixed(t, nil, 32<<30)
		opts.Ledger, opts.HasLedger = opened, func() bool { return c.has }
		r := newSurface(t, opts).Call(t.Context(), "plan_memory", json.RawMessage(`{"model":"Qwen/Qwen3-0.6B","engine":"`+c.engine+`","hardware":"local"}`))
		p, ok := r.Answer.(*Plan)
		if !ok {
			t.Fatalf("%s", r.Structured)
		}
		notes := strings.Join(p.Notes, "\n")
		if got := strings.Contains(notes, "last ran here ("+time.Now().UTC().Format("2006-01-02")); got != (c.want != "") || !strings.Contains(notes, c.want) {
			t.Errorf("%+v: %s", c, notes)
		}
	}
}
