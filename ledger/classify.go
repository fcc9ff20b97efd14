package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"hwledger/ledger/proof"
)

// mostShifted bounds by how many places events are looked for that were moved
// up, one after the other, into a gap.
const mostShifted = 10_000

// classify looks closer at an event whose hash is wrong. When what it says is
// what another place of the log had, or its own place has what another one
// says, events changed places; when the event after it fits a later place,
// some were taken out and the gap was closed.
func classify(ctx context.Context, tx *sql.Tx, d *proof.Damage, bad *proof.Record, stored proof.Hash) (*proof.Damage, error) {
	if d.Kind != proof.Edited {
		return d, nil
	}
	r := *bad // the scanner's bytes end with the next row
	r.Salt, r.Payload = nil, nil
	rows, err := tx.QueryContext(ctx, "SELECT "+recordColumns+", leaf, nodes FROM events WHERE seq > ? ORDER BY seq", d.Seq)
	if err != nil {
		return unreadable(err, d.Seq-1)
	}
	defer rows.Close() // its error is in Err
	in := scanner{rows: rows, full: true}
	for before := stored; rows.Next(); {
		if err := in.scan(); err != nil {
			return nil, err
		}
		leaf := in.stored().Leaf
		if in.record.Seq == d.Seq+1 {
			if n := shifted(in.record, before, leaf); n > 0 {
				return &proof.Damage{Kind: proof.Missing, Seq: d.Seq, Why: fmt.Sprintf("%d events were taken out here, and those after them got their numbers", n)}, nil
			}
		}
		// Before the exchange, the event before this place was the one stored
		// there now, or, when the two are neighbours, the one that took its.
		for _, prev := range []proof.Hash{before, leaf} {
			r.Seq = in.record.Seq
			if h := r.Leaf(prev); h == stored || h == leaf {
				return &proof.Damage{Kind: proof.Reordered, Seq: d.Seq, Why: fmt.Sprintf("it is event %d, in the place of another", r.Seq)}, nil
			}
		}
		before = leaf
	}
	if err := rows.Err(); err != nil {
		return unreadable(err, d.Seq-1)
	}
	return d, nil
}

// shifted returns by how many places an event was moved up: its hash is right
// for the number that it had. It is 0 when it was not.
func shifted(r proof.Record, before, leaf proof.Hash) int {
	for n := range mostShifted {
		if r.Leaf(before) == leaf {
			return n
		}
		r.Seq++
	}
	return 0
}
