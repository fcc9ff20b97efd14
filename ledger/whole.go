package ledger

import (
	"context"
	"database/sql"

	"hwledger/internal/fault"
)

// CheckFile has SQLite check its file: that its pages hang together, and that
// its indexes, which queries find events by, have what the tables have. It
// fails with malformed_file. It takes longer than verifying does.
func (l *Ledger) CheckFile(ctx context.Context) error {
	return l.snapshot(ctx, func(tx *sql.Tx) error {
		var says string
		if err := tx.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&says); err != nil {
			return err
		}
		if says != "ok" {
			return fault.New(fault.MalformedFile, l.path, "the ledger's file is damaged: %s", says).
				WithHint("the events that were verified are good: ledger export writes them, and ledger import takes them into a new ledger")
		}
		return nil
	})
}
