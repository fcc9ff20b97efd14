package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"hwledger/internal/fault"
	"hwledger/ledger/proof"
)

// maxBatch is how many requests one transaction takes: those that came while
// the one before it was written to disk.
const maxBatch = 256

// request is work for the writer: entries to append, or a job.
type request struct {
	entries []entry
	job     func(*writer) error
	plain   bool // a job outside a transaction
	reply   chan error
}

// send hands a request to the writer and waits for its end, or for that of
// ctx.
func (l *Ledger) send(ctx context.Context, r *request) error {
	if l.opts.ReadOnly {
		if l.opts.Refusal != nil {
			return l.opts.Refusal
		}
		return fault.New(fault.Denied, l.path, "the ledger is open for reading only").WithHint("start without --read-only, or set HWLEDGER_HOME to a directory that can be written")
	}
	r.reply = make(chan error, 1)
	l.mu.RLock()
	if l.closed {
		l.mu.RUnlock()
		return errClosed()
	}
	select {
	case l.requests <- r:
		l.mu.RUnlock()
	case <-ctx.Done():
		l.mu.RUnlock()
		return ctx.Err()
	}
	ended := ctx.Done()
	if r.job != nil {
		ended = nil // a job uses what is its caller's, and looks at ctx itself
	}
	select {
	case err := <-r.reply:
		return l.failure(err)
	case <-ended:
		return ctx.Err()
	}
}

// job runs f in the writer's turn, in a write transaction or outside one.
func (l *Ledger) job(ctx context.Context, f func(*writer) error, transaction bool) error {
	return l.send(ctx, &request{plain: !transaction, job: func(w *writer) error {
		if err := ctx.Err(); err != nil { // while it waited for its turn
			return err
		}
		return f(w)
	}})
}

// writer owns the connection that writes. One goroutine runs it.
type writer struct {
	ledger *Ledger
	conn   *sql.Conn

	begin, commit, rollback, head, byKey, insert *sql.Stmt

	// front is the tree's edge after the event last, as this process left it;
	// it holds as long as last is still the log's end.
	front proof.Frontier
	last  proof.Hash
	nodes []byte // never nil, which would be NULL
	done  []proof.Hash

	appended bool // by this process, and so its to pin
}

func (w *writer) prepare(ctx context.Context) error {
	for _, s := range []struct {
		into **sql.Stmt
		text string
	}{
		{&w.begin, "BEGIN IMMEDIATE"}, {&w.commit, "COMMIT"}, {&w.rollback, "ROLLBACK"},
		{&w.head, "SELECT seq, leaf FROM events ORDER BY seq DESC LIMIT 1"},
		{&w.byKey, byKey},
		{&w.insert, "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
	} {
		var err error
		if *s.into, err = w.conn.PrepareContext(ctx, s.text); err != nil {
			return err
		}
	}
	return w.patience(ctx, turn) // the schema was read with all of it
}

// close gives the connection back. SQLite takes the write-ahead log into the
// file when the last connection ends, which one with open statements never
// does.
func (w *writer) close() {
	for _, s := range []*sql.Stmt{w.begin, w.commit, w.rollback, w.head, w.byKey, w.insert} {
		if s != nil {
			s.Close() // the pool is closed after it, with its error
		}
	}
	w.conn.Close()
}

// run serves requests until there are no more.
func (w *writer) run() {
	defer close(w.ledger.ended)
	defer w.close()
	var batch []*request
	for first := range w.ledger.requests {
		if first.job != nil {
			first.reply <- w.do(first)
			continue
		}
		batch = append(batch[:0], first)
		var job *request
	more:
		for len(batch) < maxBatch && job == nil {
			select {
			case r, ok := <-w.ledger.requests:
				if !ok {
					break more
				}
				if r.job != nil {
					job = r
				} else {
					batch = append(batch, r)
				}
			default:
				break more
			}
		}
		w.append(batch)
		if job != nil {
			job.reply <- w.do(job)
		}
	}
}

// ground is the context of the writer: one caller's end is not the others'.
var ground = context.Background()

func (w *writer) do(r *request) error {
	if r.plain {
		return r.job(w)
	}
	w.last = proof.Hash{} // the job may append on its own
	return w.transact(func() error { return r.job(w) })
}

// SQLite waits for a lock in steps that grow to a tenth of a second, and a
// process that writes without a pause leaves it free for microseconds: it is
// asked for often, from short steps on again, for as long as patience lasts.
const (
	turn     = 20 * time.Millisecond
	patience = 5 * time.Second
)

// patience sets how long the connection's statements wait for a lock.
func (w *writer) patience(ctx context.Context, d time.Duration) error {
	_, err := w.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", d.Milliseconds()))
	return err
}

// locked runs begin until it has the write lock.
func (w *writer) locked(begin func() error) error {
	for end := time.Now().Add(patience); ; {
		err := begin()
		if !busy(err) || time.Now().After(end) {
			return err
		}
	}
}

// transact runs f in a write transaction.
func (w *writer) transact(f func() error) error {
	if err := w.locked(func() error {
		_, err := w.conn.ExecContext(ground, "BEGIN IMMEDIATE")
		return err
	}); err != nil {
		return err
	}
	err := f()
	if err == nil {
		if _, err = w.conn.ExecContext(ground, "COMMIT"); err == nil {
			return nil
		}
	}
	_, _ = w.conn.ExecContext(ground, "ROLLBACK") // SQLite may have done it already
	return err
}

// append writes the entries of a batch in one transaction and answers them
// when it is on disk. A request that is refused leaves the others alone.
func (w *writer) append(batch []*request) {
	refused := make([]error, len(batch))
	err := w.locked(func() error {
		_, err := w.begin.ExecContext(ground)
		return err
	})
	if err == nil {
		if err = w.catchUp(); err == nil {
			for i, r := range batch {
				if refused[i], err = w.take(r.entries); err != nil {
					break
				}
			}
		}
		if err == nil {
			_, err = w.commit.ExecContext(ground)
		}
		if err != nil {
			_, _ = w.rollback.ExecContext(ground) // SQLite may have done it already
		}
	}
	if err != nil {
		w.last = proof.Hash{}
	}
	for i, r := range batch {
		switch {
		case err != nil:
			r.reply <- err
		case refused[i] != nil:
			r.reply <- refused[i]
		default:
			for j := range r.entries {
				r.entries[j].receipt.Size = w.front.Size()
			}
			r.reply <- nil
		}
	}
}

// catchUp makes front the edge of the log as it is now: other processes may
// have appended.
func (w *writer) catchUp() error {
	var size int64
	var leaf []byte
	err := w.head.QueryRowContext(ground).Scan(&size, &leaf)
	if errors.Is(err, sql.ErrNoRows) {
		w.front, w.last = proof.Frontier{}, proof.Hash{}
		return nil
	}
	if err != nil || size == w.front.Size() && string(leaf) == string(w.last[:]) {
		return err
	}
	copy(w.last[:], leaf)
	w.front, err = proof.ReadFrontier(size, hashReader(ground, w.conn))
	return err
}

// take writes a request's entries. refused is that this request cannot be,
// err that the transaction cannot.
func (w *writer) take(entries []entry) (refused, err error) {
	for i := range entries {
		if entries[i].record.Key == "" || entries[i].known {
			continue
		}
		if refused, err = w.seen(entries, i); refused != nil || err != nil {
			return refused, err
		}
	}
	for i := range entries {
		if entries[i].known {
			continue
		}
		if err := w.put(&entries[i]); err != nil {
			return nil, err
		}
	}
	for i := range entries { // repeated in this request: their first is written now
		if entries[i].known && entries[i].receipt.Seq == 0 {
			for j := range entries[:i] {
				if entries[j].record.Key == entries[i].record.Key && !entries[j].known {
					entries[i].receipt = entries[j].receipt
				}
			}
		}
	}
	return nil, nil
}

// seen looks for an earlier event with the key of entry i.
func (w *writer) seen(entries []entry, i int) (refused, err error) {
	e := &entries[i]
	for j := range entries[:i] {
		if entries[j].record.Key == e.record.Key {
			if !e.repeats(&entries[j].record) {
				return errKeyUsed(e.record.Key, "earlier in this call"), nil
			}
			e.known, e.receipt = true, entries[j].receipt
			return nil, nil
		}
	}
	return e.first(w.byKey.QueryRowContext(ground, e.record.Key))
}

func errKeyUsed(key, by string) *fault.Error {
	return fault.New(fault.InvalidArgument, "idempotency_key", "the key %q was used %s", key, by).WithHint("use a new key for a new event")
}

// put writes one entry at the end of the log.
func (w *writer) put(e *entry) error {
	e.record.Micros = w.ledger.opts.Now().UnixMicro()
	return w.place(&e.record, &e.receipt)
}

// place writes a record with the time it has.
func (w *writer) place(r *proof.Record, into *Receipt) error {
	r.Seq = w.front.Size() + 1
	leaf := r.Leaf(w.last)
	w.done = w.front.Add(leaf, w.done[:0])
	w.nodes = w.nodes[:0]
	for i := range w.done {
		w.nodes = append(w.nodes, w.done[i][:]...)
	}
	var key, payload any
	if r.Key != "" {
		key = r.Key
	}
	if !r.Erased() {
		payload = string(r.Payload)
	}
	_, err := w.insert.ExecContext(ground, r.Seq, r.Micros, r.Type, r.Subject, r.Actor, key, r.Salt, payload, r.Commitment[:], leaf[:], w.nodes)
	w.last, w.appended = leaf, true
	*into = Receipt{Seq: r.Seq, Leaf: leaf}
	return err
}
