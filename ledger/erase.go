package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"hwledger/internal/fault"
	"hwledger/ledger/event"
)

// Erase removes an event's payload for good and records that it did: personal
// data can go while the chain, which covers a salted commitment only, still
// verifies. Copies elsewhere, backups and exports, are not reached.
func (l *Ledger) Erase(ctx context.Context, seq int64, reason, actor string) (Receipt, error) {
	raw, err := json.Marshal(event.Erasure{Erases: seq, Reason: reason})
	if err != nil {
		return Receipt{}, err
	}
	if reason == "" {
		return Receipt{}, fault.New(fault.InvalidArgument, "reason", "an erasure needs a reason").WithHint("say why, without what is erased")
	}
	entries := make([]entry, 1)
	salt := newSalts(1)
	erased := false
	err = l.job(ctx, func(w *writer) error {
		var typ, subject string
		var there bool
		err := w.conn.QueryRowContext(ctx, "SELECT type, subject, payload IS NOT NULL FROM events WHERE seq = ?", seq).Scan(&typ, &subject, &there)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fault.New(fault.InvalidArgument, "seq", "there is no event %d", seq).WithHint("query the ledger for the events there are")
		case err != nil:
			return err
		case !there:
			erased = true
			return fault.New(fault.InvalidArgument, "seq", "the payload of event %d is erased already", seq).WithHint("nothing is left to do")
		case typ == string(event.TypeErasure):
			return fault.New(fault.InvalidArgument, "seq", "event %d is an erasure, which stays", seq).WithHint("erasures say what is missing and why")
		}
		if err := l.check(ctx, Event{Type: event.TypeErasure, Subject: subject, Actor: actor, Payload: json.RawMessage(raw)}, &entries[0], salt); err != nil {
			return err
		}
		return w.erase(ctx, seq, &entries[0])
	}, true)
	if err != nil && !erased {
		return Receipt{}, err
	}
	if e := l.emptyLog(ctx); e != nil {
		return entries[0].receipt, e
	}
	return entries[0].receipt, err
}

// emptyLog takes the write-ahead log into the file and cuts it to nothing: what
// was overwritten in the file is still in it. While somebody else reads, it
// cannot be.
func (l *Ledger) emptyLog(ctx context.Context) error {
	return l.job(ctx, func(w *writer) error {
		if err := w.patience(ctx, patience); err != nil {
			return err
		}
		defer w.patience(ground, turn) // it only asks less often when it fails
		var busy, pages, taken int64
		if err := w.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &taken); err != nil {
			return err
		}
		if busy != 0 {
			return fault.New(fault.NotReady, l.path, "the erasure is recorded, and its payload still in the write-ahead log, which somebody is reading").
				WithHint("end the other programs that have the ledger open, and erase the same event again")
		}
		return nil
	}, false)
}

func (w *writer) erase(ctx context.Context, seq int64, e *entry) error {
	if err := w.catchUp(); err != nil {
		return err
	}
	if err := w.put(e); err != nil {
		return err
	}
	e.receipt.Size = w.front.Size()
	if _, err := w.conn.ExecContext(ctx, "INSERT INTO erasures VALUES (?, ?)", seq, e.receipt.Seq); err != nil {
		return err
	}
	if _, err := w.conn.ExecContext(ctx, "UPDATE events SET payload = NULL, salt = NULL WHERE seq = ?", seq); err != nil {
		return err
	}
	return forget(ctx, w.conn) // what was taken from the payload goes as well
}
