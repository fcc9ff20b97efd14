package ledger

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"hwledger/ledger/proof"
)

// every is how many events are between two reports of progress.
const every = 4096

// stretchSize is how many events are worth a core of their own.
const stretchSize = 20_000

// mostStretches is how many connections may read at once, but for one.
const mostStretches = readConns - 1

// walkAll takes a walker through all events. A long log is walked by a faster
// reader, in several stretches at once; when anything is wrong in any of them
// it is walked again from the first event, to say what and where.
func (l *Ledger) walkAll(ctx context.Context, tx *sql.Tx, pinned []proof.Checkpoint, progress func(done, total int64)) (*proof.Walker, *proof.Damage, error) {
	total, err := size(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	if n := min(int64(runtime.GOMAXPROCS(0)), total/l.stretch, mostStretches); n > 0 {
		w, err := l.walkStretches(ctx, pinned, total, n, progress)
		if err == nil && w != nil && w.End() == nil {
			return w, nil, nil
		}
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
	}
	w := proof.NewWalker(pinned)
	s := stretch{to: total, walker: w}
	damage, err := s.walk(ctx, tx, func(done int64) { progress(done, total) })
	if err == nil && damage == nil {
		progress(total, total)
		damage = w.End()
	}
	return w, damage, err
}

// stretch is a part of the log: the events after from, up to to.
type stretch struct {
	from, to int64
	start    proof.Start
	walker   *proof.Walker
}

// walkStretches walks the log's first total events in n stretches. It returns
// nil when they do not fit together.
func (l *Ledger) walkStretches(ctx context.Context, pinned []proof.Checkpoint, total, n int64, progress func(done, total int64)) (*proof.Walker, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts := make([]stretch, n)
	errs := make([]error, n)
	good := make([]bool, n)
	var done atomic.Int64
	var mu sync.Mutex // progress is told by one at a time
	var wg sync.WaitGroup
	for i := range parts {
		p := &parts[i]
		p.from, p.to = total*int64(i)/n, total*int64(i+1)/n
		wg.Go(func() {
			errs[i] = l.snapshot(ctx, func(tx *sql.Tx) error {
				return p.begin(ctx, tx, within(pinned, p.from, p.to, i == len(parts)-1))
			})
			if errs[i] == nil {
				good[i], errs[i] = p.fastWalk(ctx, l.readURI, func() {
					mu.Lock()
					defer mu.Unlock()
					progress(done.Add(every), total)
				})
			}
			if !good[i] {
				stop() // it is walked again from the start
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	w := parts[0].walker
	for i := range parts {
		if !good[i] || i > 0 && !w.Join(parts[i].start, parts[i].walker) {
			return nil, nil
		}
	}
	progress(total, total)
	return w, nil
}

// within returns the checkpoints that a stretch reaches; the last has those
// beyond the end too.
func within(pinned []proof.Checkpoint, from, to int64, last bool) []proof.Checkpoint {
	var out []proof.Checkpoint
	for _, c := range pinned {
		if c.Size >= from && (from == 0 || c.Size > from) && (last || c.Size <= to) {
			out = append(out, c)
		}
	}
	return out
}

// begin makes the walker, at the state that the log has stored.
func (s *stretch) begin(ctx context.Context, tx *sql.Tx, pinned []proof.Checkpoint) (err error) {
	s.start.Frontier, err = proof.ReadFrontier(s.from, hashReader(ctx, tx))
	if err == nil && s.from > 0 {
		var leaf []byte
		err = tx.QueryRowContext(ctx, "SELECT leaf, ts_us FROM events WHERE seq = ?", s.from).Scan(&leaf, &s.start.Micros)
		s.start.Leaf = hash(leaf)
	}
	s.walker = proof.NewWalkerFrom(s.start, pinned)
	return err
}

// walk takes the walker through the stretch.
func (s *stretch) walk(ctx context.Context, tx *sql.Tx, progress func(done int64)) (*proof.Damage, error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+recordColumns+", leaf, nodes FROM events WHERE seq > ? AND seq <= ? ORDER BY seq", s.from, s.to)
	if err != nil {
		return nil, err
	}
	defer rows.Close() // its error is in Err
	w, in := s.walker, scanner{rows: rows, full: true}
	for rows.Next() {
		if err := in.scan(); err != nil {
			return nil, err
		}
		if d := w.Next(&in.record, in.stored()); d != nil {
			return classify(ctx, tx, d, &in.record, in.stored().Leaf)
		}
		if w.Size()%every == 0 {
			progress(w.Size())
		}
	}
	if err := rows.Err(); err != nil {
		return unreadable(err, w.Size())
	}
	return w.Reach(), nil
}
