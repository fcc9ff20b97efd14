package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hwledger/internal/fault"
	"hwledger/ledger"
	"hwledger/ledger/event"
)

func open(t testing.TB, dir string, opts ledger.Options) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func note(subject, text string) ledger.Event {
	return ledger.Event{Type: event.TypeNote, Subject: subject, Actor: "test", Payload: event.Note{Text: text}}
}

func add(t testing.TB, l *ledger.Ledger, e ledger.Event) ledger.Receipt {
	t.Helper()
	r, err := l.Append(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantCode checks that err is of the ledger and has a code and a hint.
func wantCode(t testing.TB, err error, code fault.Code, says string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != code || f.Hint == "" || !strings.Contains(f.Error()+f.Hint+strings.Join(f.Candidates, " "), says) {
		t.Errorf("the error is %v, want %s saying %q, with a hint", err, code, says)
	}
}

func verified(t testing.TB, l *ledger.Ledger) ledger.Verification {
	t.Helper()
	v, err := l.Verify(t.Context(), ledger.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Damage != nil {
		t.Fatal(v.Damage)
	}
	return v
}

func TestAppendAndRead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	for i := range 10 {
		r := add(t, l, note("box", fmt.Sprint("note ", i)))
		if r.Seq != int64(i+1) || r.Size != r.Seq {
			t.Errorf("receipt %+v", r)
		}
	}
	v := verified(t, l)
	if v.Size != 10 {
		t.Errorf("%d events", v.Size)
	}
	p, err := l.Query(t.Context(), ledger.Query{Subject: "box", Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Events) != 3 || p.Events[0].Seq != 10 || string(p.Events[0].Payload) != `{"text":"note 9"}` || p.Next == "" {
		t.Errorf("page %+v", p)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, ledger.Options{})
	if w := verified(t, again); w.Root != v.Root || w.Checkpoints != 2 || w.Pinned != 10 {
		t.Errorf("after closing: %+v", w)
	}
	if r := add(t, again, note("box", "more")); r.Seq != 11 {
		t.Errorf("receipt %+v", r)
	}
}

// Whoever asks twice with one key has one event, and who uses a key for
// something else is told.
func TestIdempotency(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	e := note("box", "once")
	e.Key = "k1"
	first := add(t, l, e)
	add(t, l, note("box", "between"))
	again := add(t, l, e)
	if again.Seq != first.Seq || again.Leaf != first.Leaf || again.Size != 2 {
		t.Errorf("%+v, then %+v", first, again)
	}
	e.Payload = event.Note{Text: "another"}
	_, err := l.Append(t.Context(), e)
	wantCode(t, err, fault.InvalidArgument, "event 1 has it")

	two := []ledger.Event{note("box", "a"), note("box", "b"), note("box", "a")}
	two[0].Key, two[2].Key = "k2", "k2"
	r, err := l.AppendAll(t.Context(), two)
	if err != nil || r[0] != r[2] || r[1].Seq != 4 || r[1].Size != 4 {
		t.Errorf("%+v, %v", r, err)
	}
	two[2].Payload = event.Note{Text: "c"}
	if _, err := l.AppendAll(t.Context(), two); err == nil {
		t.Error("one key for two events in a call")
	}
	if v := verified(t, l); v.Size != 4 {
		t.Errorf("%d events", v.Size)
	}
}

func TestRefused(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	for name, c := range map[string]struct {
		e    ledger.Event
		says string
	}{
		"type":             {ledger.Event{Type: "gossip", Subject: "x", Actor: "t", Payload: event.Note{Text: "x"}}, "measurement"},
		"subject":          {ledger.Event{Type: "note", Actor: "t", Payload: event.Note{Text: "x"}}, "subject"},
		"long subject":     {note(strings.Repeat("x", 257), "x"), "at most 256"},
		"control":          {note("a\x00b", "x"), "control"},
		"not UTF-8":        {note("a\xff", "x"), "UTF-8"},
		"unknown field":    {ledger.Event{Type: "note", Subject: "x", Actor: "t", Payload: json.RawMessage(`{"text":"x","prompt":"secret"}`)}, "prompt"},
		"missing field":    {ledger.Event{Type: "note", Subject: "x", Actor: "t", Payload: json.RawMessage(`{}`)}, "text"},
		"big integer":      {ledger.Event{Type: "note", Subject: "x", Actor: "t", Payload: json.RawMessage(`{"text":"x","data":{"n":9007199254740993}}`)}, `"9007199254740993"`},
		"twice":            {ledger.Event{Type: "note", Subject: "x", Actor: "t", Payload: json.RawMessage(`{"text":"x","text":"y"}`)}, "once"},
		"lone surrogate":   {ledger.Event{Type: "note", Subject: "x", Actor: "t", Payload: json.RawMessage(`{"text":"\ud800"}`)}, "UTF-8"},
		"two values":       {ledger.Event{Type: "note", Subject: "x", Actor: "t", Payload: json.RawMessage(`{"text":"x"}{}`)}, "one JSON object"},
		"not an object":    {ledger.Event{Type: "note", Subject: "x", Actor: "t", Payload: json.RawMessage(`[]`)}, "object"},
		"too long":         {note("x", strings.Repeat("x", event.MaxPayload)), "hash of what is longer"},
		"fraction of µ$":   {ledger.Event{Type: "cost", Subject: "x", Actor: "t", Payload: json.RawMessage(`{"kind":"api","amount_micro_usd":1.5}`)}, "whole number"},
		"time":             {ledger.Event{Type: "cost", Subject: "x", Actor: "t", Payload: json.RawMessage(`{"kind":"api","amount_micro_usd":1,"period_start":"yesterday"}`)}, "RFC 3339"},
		"prompt, not hash": {ledger.Event{Type: "call", Subject: "x", Actor: "t", Payload: event.Call{PromptSHA256: "why is the sky blue"}}, "never stored"},
	} {
		_, err := l.Append(t.Context(), c.e)
		t.Run(name, func(t *testing.T) { wantCode(t, err, fault.InvalidArgument, c.says) })
	}
	if v := verified(t, l); v.Size != 0 {
		t.Errorf("%d events", v.Size)
	}
}

// Appends from many goroutines and several handles on one file all have their
// own place, and none is lost.
func TestConcurrentAppends(t *testing.T) {
	const handles, callers, each = 3, 8, 25
	dir := t.TempDir()
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int64]bool{}
	for range handles {
		l := open(t, dir, ledger.Options{})
		for c := range callers {
			wg.Go(func() {
				for i := range each {
					r, err := l.Append(context.Background(), note(fmt.Sprint("caller ", c), fmt.Sprint(i)))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if seen[r.Seq] || r.Size < r.Seq {
						t.Errorf("receipt %+v", r)
					}
					seen[r.Seq] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if v := verified(t, open(t, dir, ledger.Options{})); v.Size != handles*callers*each || len(seen) != handles*callers*each {
		t.Errorf("%d events, %d receipts", v.Size, len(seen))
	}
}

func TestQuery(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	l := open(t, t.TempDir(), ledger.Options{Now: func() time.Time { now = now.Add(6 * time.Hour); return now }})
	now = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i := range 40 { // ten days
		e := note("box", fmt.Sprint(i))
		if i%2 == 1 {
			e = ledger.Event{Type: event.TypeMeasurement, Subject: fmt.Sprint("run ", i%4), Actor: "test",
				Payload: event.Measurement{Labels: event.Labels{Model: "Qwen/Qwen3-8B", Engine: "vllm", Device: fmt.Sprint("gpu", i%8)}}}
		}
		add(t, l, e)
	}
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		q    ledger.Query
		want int
	}{
		"all":               {ledger.Query{}, 40},
		"type":              {ledger.Query{Type: "note"}, 20},
		"subject":           {ledger.Query{Subject: "run 3"}, 10},
		"model":             {ledger.Query{Model: "Qwen/Qwen3-8B"}, 20},
		"model, other case": {ledger.Query{Model: "qwen"}, 0},
		"device":            {ledger.Query{Device: "gpu3"}, 5},
		"device and model":  {ledger.Query{Device: "gpu3", Model: "Qwen/Qwen3-8B", Engine: "vllm"}, 5},
		"device of none":    {ledger.Query{Device: "gpu3", Engine: "mlx"}, 0},
		"since":             {ledger.Query{Since: day(6)}, 21},
		"until":             {ledger.Query{Until: day(6)}, 19},
		"one day":           {ledger.Query{Since: day(3), Until: day(4)}, 4},
		"a day before":      {ledger.Query{Until: day(1)}, 0},
		"day and device":    {ledger.Query{Since: day(3), Until: day(5), Device: "gpu3"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var seqs []int64
			c.q.Limit = 7
			for {
				p, err := l.Query(t.Context(), c.q)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range p.Events {
					seqs = append(seqs, e.Seq)
				}
				if c.q.Cursor = p.Next; p.Next == "" {
					break
				}
			}
			for i := range seqs[min(1, len(seqs)):] {
				if seqs[i+1] >= seqs[i] {
					t.Errorf("the order is %v", seqs)
				}
			}
			if len(seqs) != c.want {
				t.Errorf("%d events %v, want %d", len(seqs), seqs, c.want)
			}
		})
	}
	for name, q := range map[string]ledger.Query{
		"limit": {Limit: 0}, "type": {Type: "gossip", Limit: 1}, "cursor": {Cursor: "x", Limit: 1}, "another query's cursor": {Subject: "y", Limit: 1, Cursor: cursorOf(t, l)},
	} {
		_, err := l.Query(t.Context(), q)
		t.Run(name, func(t *testing.T) { wantCode(t, err, fault.InvalidArgument, "") })
	}
	if err := l.CheckProjections(t.Context()); err != nil {
		t.Error(err)
	}
}

func cursorOf(t *testing.T, l *ledger.Ledger) string {
	p, err := l.Query(t.Context(), ledger.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return p.Next
}

func TestHome(t *testing.T) {
	drive, local := "", "/h/.local/share/hwledger/ledger"
	if runtime.GOOS == "windows" {
		drive, local = "C:", "C:/local/hwledger/ledger"
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"HWLEDGER_HOME": {map[string]string{"HWLEDGER_HOME": "/srv/x", "XDG_DATA_HOME": drive + "/data"}, "/srv/x/ledger"},
		"XDG":           {map[string]string{"XDG_DATA_HOME": drive + "/data", "HOME": "/h"}, drive + "/data/hwledger/ledger"},
		"relative XDG":  {map[string]string{"XDG_DATA_HOME": "data", "HOME": "/h", "LocalAppData": drive + "/local"}, local},
	} {
		got, err := ledger.Home(func(k string) string { return c.env[k] })
		if err != nil || filepath.ToSlash(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, c.want)
		}
	}
}

// A retry is the same event though what it was completed with has changed
// since, and though an invoice took the estimate's place by itself.
func TestRetryOfCompleted(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	send := func(e ledger.Event, payload string) (ledger.Receipt, error) {
		e.Subject, e.Actor, e.Payload = "box", "test", json.RawMessage(payload)
		return l.Append(t.Context(), e)
	}
	must := func(r ledger.Receipt, err error) ledger.Receipt {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	device := ledger.Event{Type: event.TypeDevice}
	must(send(device, `{"device":"gpu","price_micro_usd":1000000000,"life_hours":1000}`))
	_, err := send(ledger.Event{Type: event.TypeCost, Key: "h"}, `{"kind":"hardware","device":"gpu","period_start":"2026-11-01T00:00:00Z","period_end":"2026-11-01T01:00:00Z"}`)
	wantCode(t, err, fault.InvalidArgument, "utilization_percent")
	must(send(device, `{"device":"gpu","utilization_percent":50}`))
	const hour = `{"kind":"hardware","device":"gpu","period_start":"2026-11-01T00:00:00Z","period_end":"2026-11-01T01:00:00Z","energy_unknown_ms":0}`
	first := must(send(ledger.Event{Type: event.TypeCost, Key: "h"}, hour))
	must(send(device, `{"device":"gpu","price_micro_usd":5}`))
	if again := must(send(ledger.Event{Type: event.TypeCost, Key: "h"}, hour)); again.Seq != first.Seq || again.Leaf != first.Leaf {
		t.Errorf("%+v, then %+v", first, again)
	}
	_, err = send(ledger.Event{Type: event.TypeCost, Key: "h"}, strings.Replace(hour, "01:00:00Z", "02:00:00Z", 1))
	wantCode(t, err, fault.InvalidArgument, "new key")
	_, err = send(ledger.Event{Type: event.TypeCost, Key: "h"}, strings.Replace(hour, `,"energy_unknown_ms":0`, "", 1))
	wantCode(t, err, fault.InvalidArgument, "new key")

	invoice := fmt.Sprintf(`{"kind":"hardware","stage":"invoice","amount_micro_usd":7,"settles":[%d]}`, first.Seq)
	settled := must(send(ledger.Event{Type: event.TypeCost, Key: "i"}, invoice))
	if again := must(send(ledger.Event{Type: event.TypeCost, Key: "i"}, invoice)); again.Seq != settled.Seq {
		t.Errorf("%+v, then %+v", settled, again)
	}
	_, err = send(ledger.Event{Type: event.TypeCost}, invoice)
	wantCode(t, err, fault.InvalidArgument, fmt.Sprintf("adjust event %d", settled.Seq))
	_, err = send(ledger.Event{Type: event.TypeAdjustment}, fmt.Sprintf(`{"adjusts":%d,"amount_micro_usd":-1,"reason":"x"}`, first.Seq))
	wantCode(t, err, fault.InvalidArgument, fmt.Sprintf("adjust event %d", settled.Seq))
	_, err = send(ledger.Event{Type: event.TypeCost}, fmt.Sprintf(`{"kind":"hardware","stage":"invoice","amount_micro_usd":7,"settles":[%d]}`, settled.Seq))
	wantCode(t, err, fault.InvalidArgument, "adjustment")
	must(send(ledger.Event{Type: event.TypeAdjustment}, fmt.Sprintf(`{"adjusts":%d,"amount_micro_usd":-1,"reason":"x"}`, settled.Seq)))
	if u, err := l.Usage(t.Context(), ledger.UsageQuery{}); err != nil || u.Totals.Cost != 6 {
		t.Errorf("%+v, %v", u.Totals, err)
	}
}

// Whoever only looks does not sign: a log that was written anew must not be
// vouched for by the one who checks it.
func TestReadingDoesNotSign(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	add(t, l, note("box", "a"))
	reader := open(t, dir, ledger.Options{CheckpointEvery: time.Hour})
	if _, err := reader.Query(t.Context(), ledger.Query{Model: "m", Limit: 1}); err != nil {
		t.Fatal(err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	if v := verified(t, l); v.Checkpoints != 0 {
		t.Errorf("%d checkpoints", v.Checkpoints)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if v := verified(t, open(t, dir, ledger.Options{ReadOnly: true})); v.Pinned != 1 {
		t.Errorf("%d events are pinned", v.Pinned)
	}
}

// A page of long events is shorter, and the pages together have all of them.
func TestLongPages(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	const n = 12
	for i := range n {
		add(t, l, note("box", fmt.Sprint(i, strings.Repeat("x", 60_000))))
	}
	q := ledger.Query{Subject: "box", Limit: 1000}
	next := int64(n)
	for pages := 1; ; pages++ {
		p, err := l.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Events {
			if e.Seq != next {
				t.Errorf("event %d, want %d", e.Seq, next)
			}
			next--
		}
		if q.Cursor = p.Next; p.Next == "" {
			if pages != 3 || next != 0 {
				t.Errorf("%d pages, and %d events are missing", pages, next)
			}
			return
		}
	}
}

// One key sent at once through several handles on the file is one event.
func TestKeyAtOnce(t *testing.T) {
	const handles, keys = 4, 20
	dir := t.TempDir()
	var wg sync.WaitGroup
	receipts := make([][keys]ledger.Receipt, handles)
	for h := range handles {
		l := open(t, dir, ledger.Options{})
		for k := range keys {
			wg.Go(func() {
				e := note("box", fmt.Sprint("note ", k))
				e.Key = fmt.Sprint("key ", k)
				var err error
				if receipts[h][k], err = l.Append(context.Background(), e); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for k := range keys {
		for h := range handles {
			if a, b := receipts[0][k], receipts[h][k]; a.Seq != b.Seq || a.Leaf != b.Leaf || a.Seq == 0 || b.Size < b.Seq {
				t.Errorf("key %d: %+v and %+v", k, a, b)
			}
		}
	}
	if v := verified(t, open(t, dir, ledger.Options{})); v.Size != keys {
		t.Errorf("%d events of %d keys", v.Size, keys)
	}
}

// Of many events, the first bad one is named, and none is recorded.
func TestManyRefused(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	all := make([]ledger.Event, 500)
	for i := range all {
		all[i] = note("box", fmt.Sprint(i))
	}
	all[300].Subject, all[450].Actor = "", ""
	_, err := l.AppendAll(t.Context(), all)
	wantCode(t, err, fault.InvalidArgument, "no subject")
	all[300].Subject, all[450].Actor = "box", "test"
	receipts, err := l.AppendAll(t.Context(), all)
	if err != nil || len(receipts) != len(all) {
		t.Fatal(len(receipts), err)
	}
	for i, r := range receipts {
		if e, err := l.Event(t.Context(), r.Seq); err != nil || r.Seq != int64(i+1) || string(e.Payload) != fmt.Sprintf(`{"text":"%d"}`, i) {
			t.Errorf("event %d is %s, %v", r.Seq, e.Payload, err)
		}
	}
}
