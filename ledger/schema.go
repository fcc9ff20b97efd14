package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"hwledger/internal/fault"
)

// applicationID marks SQLite files that are ledgers: "hwLg".
const applicationID = 0x68774c67

// migrations take a file from each version to the next; PRAGMA user_version
// counts those that were applied. They are never edited, only added to.
var migrations = []string{
	// The log itself. nodes are the tree's hashes that the event completes, of
	// 2, 4, 8 … leaves, in the order of tlog.StoredHashes.
	`
CREATE TABLE meta (
	id         INTEGER PRIMARY KEY CHECK (id = 1),
	origin     TEXT NOT NULL,
	verifier   TEXT NOT NULL,
	created_us INTEGER NOT NULL
) STRICT;
CREATE TABLE events (
	seq        INTEGER PRIMARY KEY,
	ts_us      INTEGER NOT NULL,
	type       TEXT NOT NULL,
	subject    TEXT NOT NULL,
	actor      TEXT NOT NULL,
	idem       TEXT,
	salt       BLOB,
	payload    TEXT,
	commitment BLOB NOT NULL CHECK (length(commitment) = 32),
	leaf       BLOB NOT NULL CHECK (length(leaf) = 32),
	nodes      BLOB NOT NULL CHECK (length(nodes) % 32 = 0)
) STRICT;
CREATE INDEX events_subject ON events (subject);
CREATE INDEX events_type ON events (type);
CREATE UNIQUE INDEX events_idem ON events (idem) WHERE idem IS NOT NULL;
CREATE TABLE erasures (
	seq    INTEGER PRIMARY KEY,
	by_seq INTEGER NOT NULL
) STRICT;
CREATE TABLE checkpoints (
	size  INTEGER PRIMARY KEY,
	note  TEXT NOT NULL,
	ts_us INTEGER NOT NULL
) STRICT;
` + guards,
	// What queries and reports go by; all of it can be made anew from events.
	`
CREATE TABLE projection (
	id  INTEGER PRIMARY KEY CHECK (id = 1),
	seq INTEGER NOT NULL
) STRICT;
INSERT INTO projection VALUES (1, 0);
` + projectionTables,
}

// guards are the triggers that keep the log append-only for everyone who
// comes by SQL. Who drops them is found by the hashes.
const guards = `
CREATE TRIGGER events_insert BEFORE INSERT ON events
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events)
BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;
CREATE TRIGGER events_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER events_update BEFORE UPDATE ON events
WHEN NOT (NEW.payload IS NULL AND NEW.salt IS NULL
	AND EXISTS (SELECT 1 FROM erasures WHERE seq = OLD.seq)
	AND NEW.seq = OLD.seq AND NEW.ts_us = OLD.ts_us AND NEW.type = OLD.type
	AND NEW.subject = OLD.subject AND NEW.actor = OLD.actor AND NEW.idem IS OLD.idem
	AND NEW.commitment = OLD.commitment AND NEW.leaf = OLD.leaf AND NEW.nodes = OLD.nodes)
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER checkpoints_delete BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never deleted'); END;
CREATE TRIGGER checkpoints_update BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never changed'); END;
`

// guarded reports that the file has the triggers of guards, and no others.
func guarded(ctx context.Context, q queryer) (bool, error) {
	rows, err := q.QueryContext(ctx, "SELECT coalesce(sql, '') FROM sqlite_schema WHERE type = 'trigger'")
	if err != nil {
		return false, err
	}
	defer rows.Close() // its error is in Err
	n, foreign := 0, false
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return false, err
		}
		n++
		foreign = foreign || !strings.Contains(guards, text+";\n")
	}
	return n == strings.Count(guards, "CREATE TRIGGER") && !foreign, rows.Err()
}

// migrate brings the file to the newest version, in a transaction that the
// caller has begun, and gives a new file the identity of its key.
func migrate(ctx context.Context, c *sql.Conn, dir string, nowMicros int64) error {
	version, err := checkVersion(ctx, c)
	if err != nil || version == len(migrations) {
		return err
	}
	for _, m := range migrations[version:] {
		if _, err := c.ExecContext(ctx, m); err != nil {
			return fmt.Errorf("migrating the ledger from version %d: %w", version, err)
		}
	}
	if version == 0 {
		k, err := needKey(dir)
		if err != nil {
			return err
		}
		if _, err := c.ExecContext(ctx, "INSERT INTO meta VALUES (1, ?, ?, ?)", k.signer.Name(), k.verifier, nowMicros); err != nil {
			return err
		}
	}
	_, err = c.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations)))
	return err
}

// queryer is what can be asked: a connection, a transaction, a pool.
type queryer interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}

// checkVersion returns the file's version, 0 for an empty file, and refuses
// files of others and of later programs.
func checkVersion(ctx context.Context, q queryer) (int, error) {
	var id, version, objects int
	err := q.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)").Scan(&id, &version, &objects)
	switch {
	case err != nil:
		return 0, err
	case objects == 0:
		return 0, nil
	case id != applicationID:
		return 0, fault.New(fault.MalformedFile, "", "the file is an SQLite database, and not a ledger").
			WithHint("choose another directory with HWLEDGER_HOME, or move the file away")
	case version > len(migrations):
		return 0, fault.New(fault.MalformedFile, "", "the ledger has version %d, and this program knows up to %d", version, len(migrations)).
			WithHint("use the hwledger-mcp that wrote it, or a later one")
	}
	return version, nil
}
