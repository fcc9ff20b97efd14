package ledger_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
// both have the same disk at the same time, and each is first as often as the
// other: what is written first leaves the file system less to write for the
// second. ratio is the ledger's speed as a share of the plain one.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, l := newPlain(b), open(b, b.TempDir(), ledger.Options{})
			var plainTime, ledgerTime time.Duration
			i, turns := 0, 0
			for b.Loop() {
				events := make([]ledger.Event, n)
				for j := range events {
					events[j] = sample(i)
					i++
				}
				plainly := func() {
					start := time.Now()
					p.add(b, n)
					plainTime += time.Since(start)
				}
				if turns++; turns%2 == 0 {
					plainly()
				}
				start := time.Now()
				if _, err := l.AppendAll(b.Context(), events); err != nil {
					b.Fatal(err)
				}
				ledgerTime += time.Since(start)
				if turns%2 == 1 {
					plainly()
				}
			}
			b.ReportMetric(float64(n*b.N)/plainTime.Seconds(), "plain/s")
			b.ReportMetric(float64(n*b.N)/ledgerTime.Seconds(), "ledger/s")
			b.ReportMetric(plainTime.Seconds()/ledgerTime.Seconds(), "ratio")
		})
	}
}

// BenchmarkCallers appends single events from several callers, each of which
// waits for its receipt: those that wait together share a commit.
func BenchmarkCallers(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := open(b, b.TempDir(), ledger.Options{})
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range n {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if _, err := l.Append(b.Context(), sample(int(i))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// benchEvents is the size of the ledger that reading is measured on: a tenth
// of a million unless the environment says more.
func benchEvents(b *testing.B) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("HWLEDGER_BENCH_EVENTS"), "100000"))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkLarge reads a large ledger, of events with about 300 bytes.
func BenchmarkLarge(b *testing.B) {
	n, dir := benchEvents(b), b.TempDir()
	l := open(b, dir, ledger.Options{})
	for i := 0; i < n; {
		events := make([]ledger.Event, min(10_000, n-i))
		for j := range events {
			events[j] = sample(i)
			i++
		}
		if _, err := l.AppendAll(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	c, err := l.Checkpoint(b.Context())
	if err != nil || c.Size != int64(n) {
		b.Fatal(c.Size, err)
	}
	b.Run("verify", func(b *testing.B) {
		var chainTime, verifyTime time.Duration
		for b.Loop() {
			start := time.Now()
			plainChain(b, dir)
			middle := time.Now()
			if v := verified(b, l); v.Size != int64(n) {
				b.Fatal(v.Size)
			}
			chainTime += middle.Sub(start)
			verifyTime += time.Since(middle)
		}
		b.ReportMetric(float64(n*b.N)/verifyTime.Seconds(), "events/s")
		b.ReportMetric(float64(n*b.N)/chainTime.Seconds(), "chain/s")
		b.ReportMetric(chainTime.Seconds()/verifyTime.Seconds(), "ratio")
		info, err := os.Stat(filepath.Join(dir, "ledger.db"))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/float64(n), "bytes/event")
	})
	for name, check := range map[string]func(context.Context) error{"file": l.CheckFile, "rebuild": l.Rebuild, "projections": l.CheckProjections} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := check(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	b.Run("prove", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.Prove(b.Context(), 1+random.Int64N(int64(n))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("consistency", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.Consistency(b.Context(), 1+random.Int64N(int64(n)), int64(n)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("last50", func(b *testing.B) {
		for b.Loop() {
			p, err := l.Query(b.Context(), ledger.Query{Subject: fmt.Sprintf("sidecar-%03d", random.IntN(1000)), Limit: 50})
			if err != nil || len(p.Events) != 50 {
				b.Fatal(len(p.Events), err)
			}
		}
	})
	b.Run("event", func(b *testing.B) {
		for b.Loop() {
			if _, err := l.Event(b.Context(), 1+random.Int64N(int64(n))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// plainChain reads all rows and computes one SHA-256 of each and of the hash
// before it: the least that checking a chain takes, on one core.
func plainChain(b *testing.B, dir string) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "ledger.db")+"?mode=ro")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT seq, ts_us, type, subject, actor, payload, commitment, leaf FROM events ORDER BY seq")
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	var hash [sha256.Size]byte
	var buf []byte
	for rows.Next() {
		var seq, micros int64
		var typ, subject, actor, payload, commitment, leaf sql.RawBytes
		if err := rows.Scan(&seq, &micros, &typ, &subject, &actor, &payload, &commitment, &leaf); err != nil {
			b.Fatal(err)
		}
		buf = binary.BigEndian.AppendUint64(append(buf[:0], hash[:]...), uint64(seq))
		buf = binary.BigEndian.AppendUint64(buf, uint64(micros))
		for _, part := range [][]byte{typ, subject, actor, payload, commitment} {
			buf = append(buf, part...)
		}
		hash = sha256.Sum256(buf)
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
}
