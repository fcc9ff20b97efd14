package ledger

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"hwledger/internal/fault"
	"hwledger/ledger/event"
	"hwledger/ledger/proof"
)

// MaxName bounds subjects, actors and keys, in bytes.
const MaxName = 256

// maxEvents bounds what one call appends.
const maxEvents = 100_000

// entry is an event that was checked and waits to be written.
type entry struct {
	record  proof.Record
	given   []byte // the payload before what follows from it was filled in
	receipt Receipt
	// known is that an event with the same key is there already.
	known bool
}

// Append records an event, and returns when it is on disk. When ctx ends
// first, the event may be recorded or not: append again with the same key.
//
// It fails with invalid_argument when the type is unknown or the payload is
// not of its form, denied on media that cannot be written, not_ready when the
// disk is full or the lock cannot be had; nothing is recorded then.
func (l *Ledger) Append(ctx context.Context, e Event) (Receipt, error) {
	r, err := l.AppendAll(ctx, []Event{e})
	if err != nil {
		return Receipt{}, err
	}
	return r[0], nil
}

// AppendAll records events in their order, all or none.
func (l *Ledger) AppendAll(ctx context.Context, events []Event) ([]Receipt, error) {
	if len(events) > maxEvents {
		return nil, fault.New(fault.InvalidArgument, "events", "%d events at once", len(events)).WithHint("append at most %d in one call", maxEvents)
	}
	if len(events) == 0 {
		return nil, nil
	}
	entries := make([]entry, len(events))
	if err := l.checkAll(ctx, events, entries); err != nil {
		return nil, err
	}
	if err := l.send(ctx, &request{entries: entries}); err != nil {
		return nil, err
	}
	receipts := make([]Receipt, len(entries))
	for i := range entries {
		receipts[i] = entries[i].receipt
	}
	return receipts, nil
}

// checkedAlone is how many events are worth a goroutine of their own: checking
// them takes about as long as writing them.
const checkedAlone = 32

// checkAll turns events into entries, on several cores when there are many.
// The error is that of the first bad one.
func (l *Ledger) checkAll(ctx context.Context, events []Event, entries []entry) error {
	salts := newSalts(len(events))
	n := min(runtime.GOMAXPROCS(0), 1+len(events)/checkedAlone)
	errs := make([]error, n)
	part := func(k int) {
		for i := len(events) * k / n; i < len(events)*(k+1)/n && errs[k] == nil; i++ {
			errs[k] = l.check(ctx, events[i], &entries[i], salts[i*proof.SaltSize:][:proof.SaltSize:proof.SaltSize])
		}
	}
	var wg sync.WaitGroup
	for k := 1; k < n; k++ {
		wg.Go(func() { part(k) })
	}
	part(0)
	wg.Wait()
	return cmp.Or(errs...)
}

// newSalts returns random salts for n events, one after the other.
func newSalts(n int) []byte {
	b := make([]byte, n*proof.SaltSize)
	rand.Read(b) // crypto/rand never fails
	return b
}

// check turns an event into an entry, all of it but its place and time.
func (l *Ledger) check(ctx context.Context, e Event, into *entry, salt []byte) error {
	if err := checkNames(e.Subject, e.Actor, e.Key); err != nil {
		return err
	}
	raw, ok := e.Payload.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(e.Payload); err != nil {
			return fault.New(fault.InvalidArgument, "payload", "the payload has no JSON form").WithCause(err)
		}
	}
	given, err := event.Given(e.Type, raw)
	if err != nil {
		return err
	}
	into.given = given
	into.record = proof.Record{Type: string(e.Type), Subject: e.Subject, Actor: e.Actor, Key: e.Key, Salt: salt}
	if e.Key != "" {
		// A repeated event is not checked against those that came after the
		// first, nor completed with what they say.
		refused, err := into.first(l.read.QueryRowContext(ctx, byKey, e.Key))
		if refused != nil || err != nil || into.known {
			return cmp.Or(refused, l.failure(err))
		}
	}
	if given, err = l.refer(ctx, e.Type, given); err != nil {
		return err
	}
	payload, err := event.Complete(e.Type, given)
	if err != nil {
		return err
	}
	into.record.Payload, into.record.Commitment = payload, proof.Commit(salt, payload)
	return nil
}

func checkNames(subject, actor, key string) error {
	return cmp.Or(checkName("subject", subject, true), checkName("actor", actor, true), checkName("idempotency_key", key, false))
}

func checkName(field, s string, needed bool) error {
	switch {
	case s == "" && needed:
		return fault.New(fault.InvalidArgument, field, "the event has no %s", field).WithHint("say what the event is about, for example a model, a device or a sidecar's id")
	case len(s) > MaxName:
		return fault.New(fault.InvalidArgument, field, "%s has %d bytes", field, len(s)).WithHint("use at most %d", MaxName)
	case !utf8.ValidString(s), strings.ContainsFunc(s, unicode.IsControl):
		return fault.New(fault.InvalidArgument, field, "%s is not plain text", field).WithHint("use UTF-8 without control characters")
	}
	return nil
}

// byKey finds the event that was recorded with a key.
const byKey = "SELECT seq, type, subject, payload, leaf FROM events WHERE idem = ?"

// first reads the event that was recorded with the entry's key. refused is
// that it is another event.
func (e *entry) first(row *sql.Row) (refused, err error) {
	var first proof.Record
	var payload sql.NullString
	var leaf []byte
	err = row.Scan(&first.Seq, &first.Type, &first.Subject, &payload, &leaf)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if payload.Valid {
		first.Payload = []byte(payload.String)
	}
	if !e.repeats(&first) {
		return errKeyUsed(e.record.Key, "by another event").WithHint("event %d has it; use a new key for a new event", first.Seq), nil
	}
	e.known, e.receipt.Seq = true, first.Seq
	copy(e.receipt.Leaf[:], leaf)
	return nil, nil
}

// repeats reports that the entry says what an event said: all that it gives
// was recorded, the rest was filled in. The payload of an erased event cannot
// be compared, and is taken to be the same.
func (e *entry) repeats(first *proof.Record) bool {
	if first.Type != e.record.Type || first.Subject != e.record.Subject {
		return false
	}
	if first.Erased() || bytes.Equal(first.Payload, e.given) {
		return true
	}
	var recorded, given map[string]json.RawMessage
	if json.Unmarshal(first.Payload, &recorded) != nil || json.Unmarshal(e.given, &given) != nil {
		return false
	}
	for name, value := range given {
		if !bytes.Equal(recorded[name], value) {
			return false
		}
	}
	for name := range recorded {
		if given[name] == nil && !event.FilledIn(name) {
			return false
		}
	}
	return true
}
