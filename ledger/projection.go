package ledger

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"slices"

	"hwledger/internal/fault"
)

// projectionTables are what queries and reports go by. Appending does not
// touch them: they are brought up to date when somebody asks.
const projectionTables = `
CREATE TABLE labels (
	seq    INTEGER PRIMARY KEY,
	model  TEXT,
	engine TEXT,
	device TEXT
) STRICT;
CREATE INDEX labels_model ON labels (model) WHERE model IS NOT NULL;
CREATE INDEX labels_engine ON labels (engine) WHERE engine IS NOT NULL;
CREATE INDEX labels_device ON labels (device) WHERE device IS NOT NULL;
CREATE TABLE days (
	day       INTEGER PRIMARY KEY,
	first_seq INTEGER NOT NULL,
	last_seq  INTEGER NOT NULL
) STRICT;
CREATE TABLE runs (
	launch_seq     INTEGER PRIMARY KEY,
	subject        TEXT NOT NULL,
	model          TEXT,
	engine         TEXT,
	device         TEXT,
	launched_us    INTEGER NOT NULL,
	required_bytes INTEGER,
	exit_seq       INTEGER,
	exited_us      INTEGER,
	code           INTEGER,
	reason         TEXT,
	peak_bytes     INTEGER
) STRICT;
CREATE INDEX runs_subject ON runs (subject);
CREATE TABLE predictions (
	seq            INTEGER PRIMARY KEY,
	subject        TEXT NOT NULL,
	model          TEXT,
	engine         TEXT,
	device         TEXT,
	required_bytes INTEGER,
	low_bytes      INTEGER,
	high_bytes     INTEGER
) STRICT;
CREATE INDEX predictions_subject ON predictions (subject);
CREATE TABLE measured (
	seq             INTEGER PRIMARY KEY,
	prediction_seq  INTEGER NOT NULL,
	ts_us           INTEGER NOT NULL,
	model           TEXT,
	engine          TEXT,
	device          TEXT,
	predicted_bytes INTEGER NOT NULL,
	measured_bytes  INTEGER NOT NULL,
	within          INTEGER
) STRICT;
CREATE TABLE energy (
	seq        INTEGER PRIMARY KEY,
	ts_us      INTEGER NOT NULL,
	model      TEXT,
	engine     TEXT,
	device     TEXT,
	energy_mj  INTEGER,
	unknown_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE costs (
	seq         INTEGER PRIMARY KEY,
	ts_us       INTEGER NOT NULL,
	model       TEXT,
	engine      TEXT,
	device      TEXT,
	kind        TEXT NOT NULL,
	stage       TEXT NOT NULL,
	amount      INTEGER NOT NULL,
	adjusted    INTEGER NOT NULL DEFAULT 0,
	settled_seq INTEGER
) STRICT;
CREATE TABLE devices (
	device    TEXT PRIMARY KEY,
	first_seq INTEGER NOT NULL,
	last_seq  INTEGER NOT NULL,
	price     INTEGER,
	life      INTEGER,
	use       INTEGER
) STRICT, WITHOUT ROWID;
`

// projected are the tables of projectionTables, with what orders their rows.
var projected = []struct{ table, key string }{
	{"labels", "seq"}, {"days", "day"}, {"runs", "launch_seq"}, {"predictions", "seq"},
	{"measured", "seq"}, {"energy", "seq"}, {"costs", "seq"}, {"devices", "device"},
}

// foldBatch is how many events one transaction projects, so that appends do
// not wait long for the lock.
const foldBatch = 10_000

// project brings the projections up to the last event.
func (l *Ledger) project(ctx context.Context) error {
	for {
		behind, err := lag(ctx, l.read)
		if err != nil || behind == 0 {
			return l.failure(err)
		}
		if err := l.job(ctx, func(w *writer) error { return fold(ctx, w.conn, w.conn, foldBatch) }, true); err != nil {
			return err
		}
	}
}

// projectWhenPossible is project for who can do with projections that are
// behind: on a disk that is full or cannot be written, or while another
// process holds the lock, reading goes on.
func (l *Ledger) projectWhenPossible(ctx context.Context) error {
	if l.opts.ReadOnly {
		return nil
	}
	err := l.project(ctx)
	var f *fault.Error
	if errors.As(err, &f) && (f.Code == fault.NotReady || f.Code == fault.Denied) {
		l.opts.Log.Warn("the ledger's projections are behind", "error", err)
		return nil
	}
	return err
}

// lag returns how many events the projections are behind. That they are ahead
// is a log that was cut.
func lag(ctx context.Context, q queryer) (n int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT (SELECT coalesce(max(seq), 0) FROM events) - (SELECT seq FROM projection)").Scan(&n)
	if err == nil && n < 0 {
		err = fault.New(fault.IntegrityViolation, "", "the last %d events are gone: they were projected once, and are not there", -n).
			WithHint("run hwledger-mcp ledger verify, and go on from a backup")
	}
	return n, err
}

// forget empties the projections, to be made anew.
func forget(ctx context.Context, c *sql.Conn) error {
	for _, p := range projected {
		if _, err := c.ExecContext(ctx, "DELETE FROM "+p.table); err != nil {
			return err
		}
	}
	_, err := c.ExecContext(ctx, "UPDATE projection SET seq = 0")
	return err
}

// Rebuild makes the projections anew from the events.
func (l *Ledger) Rebuild(ctx context.Context) error {
	if err := l.job(ctx, func(w *writer) error { return forget(ctx, w.conn) }, true); err != nil {
		return err
	}
	return l.project(ctx)
}

// inMemory runs f on projections that are made anew beside the ledger, from
// the events that src sees up to the event upTo.
func inMemory(ctx context.Context, src *sql.Tx, upTo int64, f func(*sql.Conn) error) error {
	db, err := sql.Open("sqlite", "file::memory:?"+url.Values{"_pragma": {"trusted_schema(0)"}}.Encode())
	if err != nil {
		return err
	}
	defer db.Close() // it was never on disk
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, "CREATE TABLE projection (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT; INSERT INTO projection VALUES (1, 0);"+projectionTables+"BEGIN"); err != nil {
		return err
	}
	if err := fold(ctx, src, c, upTo); err != nil {
		return err
	}
	return f(c)
}

// CheckProjections compares the projections with ones that are made anew, and
// fails with integrity_violation when they differ.
func (l *Ledger) CheckProjections(ctx context.Context) error {
	return l.snapshot(ctx, func(tx *sql.Tx) error {
		var upTo int64
		if err := tx.QueryRowContext(ctx, "SELECT seq FROM projection").Scan(&upTo); err != nil {
			return err
		}
		return inMemory(ctx, tx, upTo, func(fresh *sql.Conn) error {
			for _, p := range projected {
				same, err := sameRows(ctx, tx, fresh, "SELECT * FROM "+p.table+" ORDER BY "+p.key)
				if err != nil {
					return err
				}
				if !same {
					return fault.New(fault.IntegrityViolation, p.table, "the projection %s is not what the events say", p.table).
						WithHint("make it anew: hwledger-mcp ledger verify --rebuild")
				}
			}
			return nil
		})
	})
}

// sameRows reports whether two databases have the same answer to a query.
func sameRows(ctx context.Context, a, b queryer, text string) (bool, error) {
	var rows [2]*sql.Rows
	for i, q := range []queryer{a, b} {
		var err error
		if rows[i], err = q.QueryContext(ctx, text); err != nil {
			return false, err
		}
		defer rows[i].Close() // its error is in Err
	}
	for {
		more := rows[0].Next()
		if rows[1].Next() != more {
			return false, errors.Join(rows[0].Err(), rows[1].Err())
		}
		if !more {
			return true, errors.Join(rows[0].Err(), rows[1].Err())
		}
		stored, err := row(rows[0])
		if err != nil {
			return false, err
		}
		made, err := row(rows[1])
		if err != nil || !slices.Equal(stored, made) {
			return false, err
		}
	}
}

// row returns the values of the current row; blobs, which projections do not
// have, as text.
func row(rows *sql.Rows) ([]any, error) {
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	err = rows.Scan(into...)
	for i, v := range values {
		if b, ok := v.([]byte); ok { // which cannot be compared
			values[i] = string(b)
		}
	}
	return values, err
}
