package ledger_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hwledger/ledger"
	"hwledger/ledger/event"
)

// sample is an event whose payload has about 300 bytes.
func sample(i int) ledger.Event {
	return ledger.Event{Type: event.TypeNote, Subject: fmt.Sprintf("sidecar-%03d", i%1000), Actor: "bench",
		Payload: event.Note{Text: strings.Repeat("x", 280) + fmt.Sprintf("%08d", i)}}
}

// plainTable is the same row with the same indexes in an SQLite file that has
// no hashes to compute, no guards and no tree.
const plainTable = `
CREATE TABLE events (seq INTEGER PRIMARY KEY, ts_us INTEGER NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL, actor TEXT NOT NULL,
	idem TEXT, salt BLOB, payload TEXT, commitment BLOB NOT NULL, leaf BLOB NOT NULL, nodes BLOB NOT NULL) STRICT;
CREATE INDEX events_subject ON events (subject);
CREATE INDEX events_type ON events (type);
CREATE UNIQUE INDEX events_idem ON events (idem) WHERE idem IS NOT NULL;`

// plain inserts rows of the same size in transactions of n, as anybody would.
type plain struct {
	db     *sql.DB
	insert *sql.Stmt
	seq    int
}

func newPlain(b *testing.B) *plain {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "plain.db")+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(4000)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(plainTable); err != nil {
		b.Fatal(err)
	}
	p := &plain{db: db}
	if p.insert, err = db.Prepare("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"); err != nil {
		b.Fatal(err)
	}
	return p
}

func (p *plain) add(b *testing.B, n int) {
	tx, err := p.db.Begin()
	if err != nil {
		b.Fatal(err)
	}
	for range n {
		p.seq++
		_, err := tx.Stmt(p.insert).Exec(p.seq, 1764000000000000+p.seq, "note", fmt.Sprintf("sidecar-%03d", p.seq%1000), "bench", nil,
			make([]byte, 16), strings.Repeat("x", 288), make([]byte, 32), make([]byte, 32), make([]byte, 32))
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAppend takes turns between the ledger and plain inserts, so that
// both have the same disk at the same time; ratio is the ledger's speed as a
// share of the plain one.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, l := newPlain(b), open(b, b.TempDir(), ledger.Options{})
			var plainTime, ledgerTime time.Duration
			i := 0
			for b.Loop() {
				events := make([]ledger.Event, n)
				for j := range events {
					events[j] = sample(i)
					i++
				}
				start := time.Now()
				p.add(b, n)
				middle := time.Now()
				if _, err := l.AppendAll(b.Context(), events); err != nil {
					b.Fatal(err)
				}
				plainTime += middle.Sub(start)
				ledgerTime += time.Since(middle)
			}
			b.ReportMetric(float64(n*b.N)/plainTime.Seconds(), "plain/s")
			b.ReportMetric(float64(n*b.N)/ledgerTime.Seconds(), "ledger/s")
			b.ReportMetric(plainTime.Seconds()/ledgerTime.Seconds(), "ratio")
		})
	}
}
