package ledger

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"hwledger/internal/fault"
	"hwledger/ledger/proof"
)

// Export writes all events as JSON Lines that verify on their own: a
// proof.Header with a checkpoint, then a proof.Line for each.
func (l *Ledger) Export(ctx context.Context, w io.Writer, progress func(done, total int64)) error {
	h := proof.Header{Version: proof.ExportVersion}
	if !l.opts.ReadOnly {
		if _, err := l.Checkpoint(ctx); err != nil {
			return err
		}
	}
	latest, err := l.Latest(ctx)
	if err != nil {
		return err
	}
	h.Checkpoint = latest.Note
	out := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false) // the payload's bytes are what was hashed
	err = l.snapshot(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT origin, verifier, (SELECT coalesce(max(seq), 0) FROM events) FROM meta").Scan(&h.Origin, &h.Key, &h.Size); err != nil {
			return err
		}
		if err := enc.Encode(h); err != nil {
			return err
		}
		return l.each(ctx, tx, func(r *proof.Record, leaf proof.Hash) error {
			if r.Seq%every == 0 {
				progress(r.Seq, h.Size)
			}
			return enc.Encode(proof.Line{Seq: r.Seq, Micros: r.Micros, Type: r.Type, Subject: r.Subject, Actor: r.Actor, Key: r.Key,
				Salt: r.Salt, Payload: r.Payload, Commitment: r.Commitment[:], Leaf: leaf[:]})
		})
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// each calls f with every event, in order. The record is f's for the call.
func (l *Ledger) each(ctx context.Context, tx *sql.Tx, f func(*proof.Record, proof.Hash) error) error {
	rows, err := tx.QueryContext(ctx, "SELECT "+recordColumns+", leaf, nodes FROM events ORDER BY seq")
	if err != nil {
		return err
	}
	defer rows.Close() // its error is in Err
	s := scanner{rows: rows, full: true}
	for rows.Next() {
		if err := s.scan(); err != nil {
			return err
		}
		if err := f(&s.record, s.stored().Leaf); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Import takes the events of an export, with their times and hashes, into a
// ledger that is empty or has the first of them already. It verifies each on
// the way, and takes all or none. key is the verifier key that the export's
// checkpoint must be signed with; that in the export when empty.
func (l *Ledger) Import(ctx context.Context, from io.Reader, key string) (added int64, err error) {
	e, err := proof.OpenExport(from)
	if err != nil {
		return 0, errExport(err)
	}
	pinned, damage, err := e.Checkpoints(key, nil)
	switch {
	case err != nil:
		return 0, errExport(err)
	case damage != nil:
		return 0, errDamaged(damage)
	}
	err = l.job(ctx, func(w *writer) error {
		if err := w.catchUp(); err != nil {
			return err
		}
		before := w.front.Size()
		if err := w.load(ctx, e, proof.NewWalker(pinned)); err != nil {
			return err
		}
		added = w.front.Size() - before
		_, err := w.conn.ExecContext(ctx, `INSERT OR IGNORE INTO erasures SELECT json_extract(payload, '$.erases'), seq FROM events
			WHERE type = 'erasure' AND seq > ? AND json_valid(payload) AND json_type(payload, '$.erases') = 'integer'`, before)
		return err
	}, true)
	if err != nil {
		return 0, err
	}
	return added, nil
}

func errExport(err error) error {
	return fault.New(fault.MalformedFile, "file", "the export cannot be read; nothing was imported").WithHint("give a file that hwledger-mcp ledger export wrote").WithCause(err)
}

func errDamaged(d *proof.Damage) error {
	return fault.New(fault.IntegrityViolation, "file", "the export is not what was written, and nothing was imported: %s", d).WithHint("export it again, or take a backup")
}

// load appends an export's events, each once it is checked.
func (w *writer) load(ctx context.Context, e *proof.Export, walk *proof.Walker) error {
	before := w.front.Size()
	for {
		r, s, err := e.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errExport(err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if d := walk.Next(r, s); d != nil {
			return errDamaged(d)
		}
		if err := checkNames(r.Subject, r.Actor, r.Key); err != nil {
			return errExport(err)
		}
		if r.Seq > before {
			if err := w.place(r, &Receipt{}); err != nil {
				return err
			}
			continue
		}
		if r.Seq == before && s.Leaf != w.last {
			return fault.New(fault.InvalidArgument, "file", "this ledger has other events than the export").WithHint("import into an empty ledger: set HWLEDGER_HOME to a new directory")
		}
	}
	if walk.Size() < before {
		return fault.New(fault.InvalidArgument, "file", "this ledger has %d events and the export %d", before, walk.Size()).WithHint("import into an empty ledger: set HWLEDGER_HOME to a new directory")
	}
	if d := walk.End(); d != nil {
		return errDamaged(d)
	}
	if walk.Size() < e.Header.Size {
		return errDamaged(&proof.Damage{Kind: proof.Truncated, Seq: walk.Size() + 1, Why: fmt.Sprintf("there are %d events, and the header says %d", walk.Size(), e.Header.Size)})
	}
	return nil
}

// Backup writes a copy of the ledger to a file that is not there yet, from one
// moment, while others append, and verifies the copy. The key is not in it.
func (l *Ledger) Backup(ctx context.Context, path string) (Verification, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Verification{}, err
	}
	if _, err := os.Lstat(path); err == nil {
		return Verification{}, fault.New(fault.InvalidArgument, "file", "%s is there already", path).WithHint("name a file that is not there")
	}
	key, err := l.VerifierKey(ctx)
	if err != nil {
		return Verification{}, err
	}
	if err := l.vacuumInto(ctx, path); err != nil {
		os.Remove(path) // what there is of it is not a backup
		return Verification{}, describe(path, err)
	}
	copied := &Ledger{dir: filepath.Dir(path), path: path, opts: Options{ReadOnly: true, Log: l.opts.Log}, stretch: l.stretch}
	if err := copied.openReader(ctx); err != nil {
		return Verification{}, errors.Join(copied.failure(err), copied.release())
	}
	v, err := copied.Verify(ctx, VerifyOptions{Key: key})
	return v, errors.Join(err, copied.release())
}

// settle makes a finished copy durable and readable by its owner only.
func settle(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Sync(), f.Close())
}

// vacuumInto copies the ledger on a connection of its own, so that neither
// appends nor queries wait for it.
func (l *Ledger) vacuumInto(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", l.readURI)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", path)
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return settle(path)
}
