package ledger

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hwledger/internal/fault"
	"hwledger/ledger/event"
	"hwledger/ledger/proof"
)

// Options configure a ledger. The zero value is usual.
type Options struct {
	// ReadOnly opens what is there and changes nothing.
	ReadOnly bool
	// Refusal is what appending fails with when ReadOnly is set because the
	// ledger could not be written.
	Refusal error
	// CheckpointEvery is how often new events are pinned by a signed
	// checkpoint, 0 for never; closing the ledger pins them as well.
	CheckpointEvery time.Duration
	// Now is the wall clock, time.Now when nil.
	Now func() time.Time
	// Log takes diagnostics; they are dropped when it is nil.
	Log *slog.Logger
}

// Event is something that happened.
type Event struct {
	Type event.Type
	// Subject is what it happened to: the id of a sidecar, a device, a model.
	Subject string
	// Actor is who says so: a part of this program, or the user's tool.
	Actor string
	// Payload is one of package event's structs, or JSON of the same form.
	Payload any
	// Key makes the event unique: a second append with the same key and
	// content returns the first one's receipt. "" is no key.
	Key string
}

// Receipt is the proof that an event was accepted: it is on disk. Who keeps it
// can show later that the event is gone.
type Receipt struct {
	// Seq is the event's number, from 1.
	Seq int64 `json:"seq"`
	// Leaf is its hash.
	Leaf proof.Hash `json:"leaf"`
	// Size is how many events the ledger had when it was on disk.
	Size int64 `json:"size"`
}

// Ledger is an open ledger. Its methods may be called from any goroutine.
type Ledger struct {
	dir, path string
	opts      Options
	stretch   int64 // events that are verified on a core of their own

	write   *sql.DB // one connection, the writer's
	read    *sql.DB
	readURI string // the address of the file for reading

	mu       sync.RWMutex // held for reading while a request is handed over
	closed   bool
	requests chan *request
	ended    chan struct{} // closed when the writer has ended
	stop     context.CancelFunc
	timer    sync.WaitGroup
}

// Open opens the ledger in a directory, and makes both when they are not
// there.
func Open(ctx context.Context, dir string, opts Options) (*Ledger, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	l := &Ledger{dir: dir, path: filepath.Join(dir, fileName), opts: opts, stretch: stretchSize}
	if opts.ReadOnly {
		err = l.openReader(ctx)
	} else {
		err = l.openWriter(ctx)
	}
	if err != nil {
		l.release()
		return nil, l.failure(err)
	}
	return l, nil
}

// Dir is the ledger's directory.
func (l *Ledger) Dir() string { return l.dir }

// readConns is how many may read at once.
const readConns = 8

// pragmas are set on every connection.
var pragmas = []string{
	"busy_timeout(5000)", "trusted_schema(0)", "cell_size_check(1)", "foreign_keys(1)",
}

// writePragmas are set on the writer's: FULL, because an event that was
// acknowledged must survive a loss of power, and on macOS the barrier that
// makes the drive write; recursive triggers, because without them INSERT OR
// REPLACE walks past the guard against deletion; secure_delete, because an
// erased payload must not stay in a free page.
var writePragmas = []string{
	"journal_mode(WAL)", "synchronous(FULL)", "fullfsync(1)", "checkpoint_fullfsync(1)",
	"recursive_triggers(1)", "secure_delete(1)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)",
}

// dsn returns the address of a database file.
func dsn(path string, params url.Values, pragmas ...string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // a Windows drive
	}
	for _, p := range pragmas {
		params.Add("_pragma", p)
	}
	return "file:" + (&url.URL{Path: slashed}).EscapedPath() + "?" + params.Encode()
}

func (l *Ledger) openWriter(ctx context.Context) error {
	if err := makeDir(l.dir); err != nil {
		return fault.New(fault.Denied, l.dir, "the ledger's directory cannot be made").WithHint("set HWLEDGER_HOME to a directory that can be written").WithCause(err)
	}
	if err := refuseNetwork(l.dir); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	l.write, err = sql.Open("sqlite", dsn(l.path, url.Values{"_txlock": {"immediate"}}, append(append([]string{}, pragmas...), writePragmas...)...))
	if err != nil {
		return err
	}
	l.write.SetMaxOpenConns(1)
	w := &writer{ledger: l, nodes: []byte{}}
	// While another process recovers the log of one that was killed, SQLite
	// says that it is busy without waiting.
	if err := w.locked(func() (err error) { w.conn, err = l.write.Conn(ctx); return err }); err != nil {
		return err
	}
	if err := w.transact(func() error { return migrate(ctx, w.conn, l.dir, l.opts.Now().UnixMicro()) }); err != nil {
		w.close()
		return err
	}
	if err := w.prepare(ctx); err != nil {
		w.close()
		return err
	}
	if err := l.openPool(url.Values{"mode": {"ro"}}); err != nil {
		w.close()
		return err
	}
	l.requests, l.ended = make(chan *request, maxBatch), make(chan struct{})
	go w.run()
	l.keepCheckpoints()
	return nil
}

// openPool opens the connections that read.
func (l *Ledger) openPool(params url.Values) (err error) {
	l.readURI = dsn(l.path, params)
	if l.read, err = sql.Open("sqlite", dsn(l.path, params, append([]string{"query_only(1)"}, pragmas...)...)); err == nil {
		l.read.SetMaxOpenConns(readConns)
	}
	return err
}

// openReader opens a file that may be on a medium which cannot be written:
// SQLite then must not look for the files beside it.
func (l *Ledger) openReader(ctx context.Context) error {
	if _, err := os.Stat(l.path); err != nil {
		return fault.New(fault.InvalidArgument, l.path, "there is no ledger here yet").WithHint("record an event first, or set HWLEDGER_HOME").WithCause(err)
	}
	if err := refuseNetwork(l.dir); err != nil {
		return err
	}
	open := func(params url.Values) (err error) {
		params.Set("mode", "ro")
		if err := l.openPool(params); err != nil {
			return err
		}
		version, err := checkVersion(ctx, l.read)
		if err == nil && version < len(migrations) {
			err = fault.New(fault.NotReady, l.path, "the ledger has version %d and must be brought to %d", version, len(migrations)).WithHint("open it once where it can be written")
		}
		return err
	}
	err := open(url.Values{})
	if !readOnlyMedium(err) {
		return err
	}
	l.read.Close() // nothing was read
	if info, e := os.Stat(l.path + "-wal"); e == nil && info.Size() > 0 {
		return fault.New(fault.Denied, l.path, "the ledger was not closed, and its last events are in a file that only a writer can take in").
			WithHint("copy ledger.db and ledger.db-wal to where they can be written, and set HWLEDGER_HOME to there").WithCause(err)
	}
	return open(url.Values{"immutable": {"1"}})
}

// Close pins what it appended since the last checkpoint and closes the file.
// Appends that were handed over are finished. A ledger that was only read is
// not signed: whoever looks at one that was written anew must not vouch for it.
func (l *Ledger) Close() error {
	if l.opts.ReadOnly {
		return l.release()
	}
	l.stop()
	l.timer.Wait()
	err := l.job(context.Background(), func(w *writer) error {
		if !w.appended {
			return nil
		}
		_, err := l.sign(context.Background(), w)
		return err
	}, true)
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.mu.Unlock()
	if was {
		return nil
	}
	close(l.requests)
	<-l.ended
	return errors.Join(err, l.release())
}

func (l *Ledger) release() error {
	var errs []error
	for _, db := range []*sql.DB{l.read, l.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// keepCheckpoints pins new events from time to time, and takes the write-ahead
// log into the file while nobody waits for it.
func (l *Ledger) keepCheckpoints() {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	if l.opts.CheckpointEvery <= 0 {
		return
	}
	l.timer.Go(func() {
		tick := time.NewTicker(l.opts.CheckpointEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := l.Checkpoint(ctx); err != nil && ctx.Err() == nil {
				l.opts.Log.Error("the ledger could not be pinned", "error", err)
			}
			if err := l.job(ctx, func(w *writer) error {
				_, err := w.conn.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
				return err
			}, false); err != nil && ctx.Err() == nil {
				l.opts.Log.Warn("the ledger's write-ahead log was not taken in", "error", err)
			}
		}
	})
}
