package ledger

import (
	"database/sql"
	"fmt"

	"hwledger/ledger/proof"
)

// recordColumns are the columns that a record is made of.
const recordColumns = "seq, ts_us, type, subject, actor, coalesce(idem, ''), salt, payload, commitment"

// rawColumns are those and what is stored beside them, as they are.
const rawColumns = "seq, ts_us, type, subject, actor, idem, salt, payload, commitment, leaf, nodes"

// scanner reads records from rows of recordColumns, with leaf and nodes after
// them when full. What it reads is valid until the next row.
type scanner struct {
	rows   *sql.Rows
	full   bool
	record proof.Record

	typ, subject, actor, key, salt, payload, commitment, leaf, nodes sql.RawBytes
}

func (s *scanner) scan() error {
	into := []any{&s.record.Seq, &s.record.Micros, &s.typ, &s.subject, &s.actor, &s.key, &s.salt, &s.payload, &s.commitment}
	if s.full {
		into = append(into, &s.leaf, &s.nodes)
	}
	if err := s.rows.Scan(into...); err != nil {
		return fmt.Errorf("reading the event after %d: %w", s.record.Seq, err)
	}
	r := &s.record
	keep(&r.Type, s.typ)
	keep(&r.Subject, s.subject)
	keep(&r.Actor, s.actor)
	keep(&r.Key, s.key)
	r.Salt, r.Payload = s.salt, s.payload
	r.Commitment = hash(s.commitment)
	return nil
}

// keep sets a string that is often what it was before.
func keep(s *string, b []byte) {
	if *s != string(b) {
		*s = string(b)
	}
}

func (s *scanner) stored() proof.Stored {
	nodes := []byte(s.nodes)
	if nodes == nil {
		nodes = []byte{}
	}
	return proof.Stored{Leaf: hash(s.leaf), Nodes: nodes}
}

// hash returns the hash in b; bytes that are none make one that matches
// nothing.
func hash(b []byte) (h proof.Hash) {
	if len(b) == len(h) {
		copy(h[:], b)
	}
	return h
}
