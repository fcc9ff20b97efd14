package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"hwledger/internal/fault"
	"hwledger/ledger/proof"
)

// hashReader reads the tree's hashes from the rows of events: the subtree of
// 2^level leaves that begins at leaf n×2^level was completed by the event with
// seq (n+1)×2^level, and is the level-th hash in its nodes.
func hashReader(ctx context.Context, q queryer) tlog.HashReaderFunc {
	return func(indexes []int64) ([]tlog.Hash, error) {
		type place struct{ row, level int64 }
		want := make([]place, len(indexes))
		rows := map[int64][]byte{}
		var list strings.Builder
		for i, x := range indexes {
			level, n := tlog.SplitStoredHashIndex(x)
			want[i] = place{(n + 1) << level, int64(level)}
			if _, there := rows[want[i].row]; !there {
				rows[want[i].row] = nil
				if i > 0 {
					list.WriteByte(',')
				}
				list.WriteString(strconv.FormatInt(want[i].row, 10))
			}
		}
		if err := readNodes(ctx, q, list.String(), rows); err != nil {
			return nil, err
		}
		out := make([]tlog.Hash, len(indexes))
		for i, p := range want {
			stored, size := rows[p.row], int64(len(tlog.Hash{}))
			if int64(len(stored)) < (p.level+1)*size {
				return nil, fault.New(fault.IntegrityViolation, "", "event %d, which the tree needs, is missing or incomplete", p.row).WithHint("run hwledger-mcp ledger verify")
			}
			copy(out[i][:], stored[p.level*size:])
		}
		return out, nil
	}
}

// readNodes fills rows with the leaf and the nodes of each event in list.
func readNodes(ctx context.Context, q queryer, list string, rows map[int64][]byte) error {
	found, err := q.QueryContext(ctx, "SELECT seq, leaf, nodes FROM events WHERE seq IN ("+list+")")
	if err != nil {
		return err
	}
	defer found.Close() // its error is in Err
	for found.Next() {
		var seq int64
		var leaf, nodes []byte
		if err := found.Scan(&seq, &leaf, &nodes); err != nil {
			return err
		}
		rows[seq] = append(leaf, nodes...)
	}
	return found.Err()
}

// size returns how many events there are.
func size(ctx context.Context, q queryer) (n int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM events").Scan(&n)
	return n, err
}

// rootAt returns the hash of the tree of the first n events.
func rootAt(ctx context.Context, q queryer, n int64) (proof.Hash, error) {
	f, err := proof.ReadFrontier(n, hashReader(ctx, q))
	return f.Root(), err
}

// snapshot runs f on one state of the ledger, whatever is appended meanwhile.
func (l *Ledger) snapshot(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := l.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return l.failure(fmt.Errorf("reading the ledger: %w", err))
	}
	defer tx.Rollback() // it only read
	return l.failure(f(tx))
}
