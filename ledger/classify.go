package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"hwledger/ledger/proof"
)

// classify looks closer at an event whose hash is wrong: when what it says is
// what another place of the log had, or its own place has what another one
// says, events changed places.
func classify(ctx context.Context, tx *sql.Tx, d *proof.Damage, bad *proof.Record, prev proof.Hash) (*proof.Damage, error) {
	if d.Kind != proof.Edited {
		return d, nil
	}
	r := *bad // the scanner's bytes end with the next row
	r.Salt, r.Payload = nil, nil
	if gone, err := shifted(ctx, tx, d.Seq); gone > 0 || err != nil {
		return &proof.Damage{Kind: proof.Missing, Seq: d.Seq, Why: fmt.Sprintf("%d events are gone, and those after them have their numbers", gone)}, err
	}
	leaves := map[int64]proof.Hash{}
	rows, err := tx.QueryContext(ctx, "SELECT seq, leaf FROM events ORDER BY seq")
	if err != nil {
		return unreadable(err, d.Seq-1)
	}
	defer rows.Close() // its error is in Err
	var seq int64
	var leaf sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&seq, &leaf); err != nil {
			return nil, err
		}
		leaves[seq] = hash(leaf)
	}
	if err := rows.Err(); err != nil {
		return unreadable(err, d.Seq-1)
	}
	there := make(map[proof.Hash]int64, len(leaves))
	for seq, h := range leaves {
		there[h] = seq
	}
	for seq := range leaves {
		if seq <= d.Seq {
			continue
		}
		// Before the exchange, the event before seq was the one stored there
		// now, or, when the two are neighbours, the one that took its place.
		for _, before := range []proof.Hash{leaves[seq-1], leaves[seq]} {
			r.Seq = seq
			if at, ok := there[r.Leaf(before)]; ok && (at == d.Seq || at == seq) {
				return &proof.Damage{Kind: proof.Reordered, Seq: d.Seq, Why: fmt.Sprintf("it is event %d, in the place of another", seq)}, nil
			}
		}
	}
	return d, nil
}

// mostGone is how many events may be gone before a renumbered log looks like
// an edited one.
const mostGone = 1 << 16

// shifted returns how many events were taken out before the event seq, when
// the later ones were moved up to hide it: the event after seq then has the
// hash that it had under a higher number. 0 is that it was not so.
func shifted(ctx context.Context, tx *sql.Tx, seq int64) (int64, error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+recordColumns+", leaf, nodes FROM events WHERE seq IN (?, ?) ORDER BY seq", seq, seq+1)
	if err != nil {
		return 0, err
	}
	defer rows.Close() // its error is in Err
	s := scanner{rows: rows, full: true}
	var prev proof.Hash
	for rows.Next() {
		if err := s.scan(); err != nil {
			return 0, err
		}
		leaf := s.stored().Leaf
		if r := s.record; r.Seq == seq+1 {
			for gone := int64(1); gone <= mostGone; gone++ {
				if r.Seq++; r.Leaf(prev) == leaf {
					return gone, nil
				}
			}
		}
		prev = leaf
	}
	if err := rows.Err(); err != nil && !corrupt(err) { // what cannot be read is found where it is
		return 0, err
	}
	return 0, nil
}
