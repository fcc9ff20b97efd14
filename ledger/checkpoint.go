package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"hwledger/internal/fault"
	"hwledger/ledger/proof"
)

// SignedCheckpoint is a checkpoint with the note that proves it.
type SignedCheckpoint struct {
	proof.Checkpoint
	// Note is the signed text, to be kept where the ledger's files are not.
	Note string
}

// VerifierKey returns the public key that this ledger's checkpoints are signed
// with, in the form of package note ("name+hash+base64").
func (l *Ledger) VerifierKey(ctx context.Context) (string, error) {
	k, err := loadKey(l.dir)
	if err == nil {
		return k.verifier, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", l.failure(err)
	}
	var public string // a copy without the key is still verifiable
	err = l.read.QueryRowContext(ctx, "SELECT verifier FROM meta").Scan(&public)
	return public, l.failure(err)
}

// Checkpoint signs the ledger as it is, and keeps the note in the file
// "checkpoint" beside the database as well. It fails with
// integrity_violation, and signs nothing, when the ledger does not extend the
// checkpoints before.
func (l *Ledger) Checkpoint(ctx context.Context) (SignedCheckpoint, error) {
	var out SignedCheckpoint
	err := l.job(ctx, func(w *writer) (err error) {
		out, err = l.sign(ctx, w)
		return err
	}, true)
	if err != nil {
		return SignedCheckpoint{}, err
	}
	return out, nil
}

// sign is Checkpoint in the writer's turn.
func (l *Ledger) sign(ctx context.Context, w *writer) (SignedCheckpoint, error) {
	k, err := loadKey(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return SignedCheckpoint{}, fault.New(fault.Denied, filepath.Join(l.dir, keyName), "the ledger's key is gone; nothing can be signed").
			WithHint("put the key back from a backup")
	}
	if err != nil {
		return SignedCheckpoint{}, err
	}
	return l.checkpoint(ctx, w.conn, k)
}

// checkpoint is Checkpoint inside a write transaction, which keeps two
// processes from signing at once.
func (l *Ledger) checkpoint(ctx context.Context, c *sql.Conn, k *key) (out SignedCheckpoint, err error) {
	v, err := note.NewVerifier(k.verifier)
	if err != nil {
		return out, err
	}
	out.Origin = k.signer.Name()
	if out.Size, err = size(ctx, c); err != nil {
		return out, err
	}
	if out.Root, err = rootAt(ctx, c, out.Size); err != nil {
		return out, err
	}
	known, err := l.knownCheckpoints(ctx, c, true)
	if err != nil {
		return out, err
	}
	pinned := false
	for _, signed := range known {
		old, err := proof.OpenCheckpoint(signed.Note, v)
		if err != nil {
			return out, fault.New(fault.IntegrityViolation, signed.from, "the last checkpoint cannot be trusted").WithHint("run hwledger-mcp ledger verify").WithCause(err)
		}
		if err := extends(ctx, c, old, out.Size); err != nil {
			return out, err
		}
		if old.Size == out.Size {
			out.Note, pinned = signed.Note, pinned || signed.from == pinnedName
		}
	}
	if out.Note == "" {
		if out.Note, err = out.Sign(k.signer); err != nil {
			return out, err
		}
		if _, err := c.ExecContext(ctx, "INSERT INTO checkpoints VALUES (?, ?, ?)", out.Size, out.Note, l.opts.Now().UnixMicro()); err != nil {
			return out, err
		}
	}
	if pinned {
		return out, nil
	}
	return out, replace(filepath.Join(l.dir, pinnedName), []byte(out.Note), 0o644)
}

// extends checks that the ledger's first events are those of an earlier
// checkpoint.
func extends(ctx context.Context, q queryer, old proof.Checkpoint, now int64) error {
	if old.Size > now {
		return fault.New(fault.IntegrityViolation, "", "the ledger has %d events, and a signed checkpoint of %d: it was truncated", now, old.Size).
			WithHint("run hwledger-mcp ledger verify, and go on from a backup")
	}
	root, err := rootAt(ctx, q, old.Size)
	if err == nil && root != old.Root {
		err = fault.New(fault.IntegrityViolation, "", "the first %d events are not those of the signed checkpoint of that size: they were rewritten", old.Size).
			WithHint("run hwledger-mcp ledger verify, and go on from a backup")
	}
	return err
}

// known is a checkpoint that is kept somewhere.
type known struct {
	from string // the table or the file
	Note string
}

// knownCheckpoints returns what is pinned in the table, all of it or the last,
// and in the file beside it.
func (l *Ledger) knownCheckpoints(ctx context.Context, q queryer, last bool) ([]known, error) {
	limit := ""
	if last {
		limit = " LIMIT 1"
	}
	rows, err := q.QueryContext(ctx, "SELECT note FROM checkpoints ORDER BY size DESC"+limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close() // its error is in Err
	var out []known
	for rows.Next() {
		k := known{from: "checkpoints"}
		if err := rows.Scan(&k.Note); err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	file, err := readSmall(filepath.Join(l.dir, pinnedName))
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	return append(out, known{pinnedName, string(file)}), err
}

// Prove returns the proof that event seq is in the ledger, in the portable
// form of c2sp.org/tlog-proof, against the latest checkpoint, or a new one
// when that is older than the event.
func (l *Ledger) Prove(ctx context.Context, seq int64) (string, error) {
	signed, err := l.covering(ctx, seq)
	if err != nil {
		return "", err
	}
	p := proof.Inclusion{Index: seq - 1, Checkpoint: signed.Note}
	err = l.snapshot(ctx, func(tx *sql.Tx) error {
		p.Path, err = tlog.ProveRecord(signed.Size, p.Index, hashReader(ctx, tx))
		return err
	})
	if err != nil {
		return "", err
	}
	return p.Text(), nil
}

// covering returns the latest checkpoint, which has event seq.
func (l *Ledger) covering(ctx context.Context, seq int64) (out SignedCheckpoint, err error) {
	out, err = l.Latest(ctx)
	if err != nil || seq >= 1 && seq <= out.Size {
		return out, err
	}
	n, err := size(ctx, l.read)
	if err != nil {
		return out, l.failure(err)
	}
	if seq < 1 || seq > n {
		return out, fault.New(fault.InvalidArgument, "seq", "there is no event %d", seq).WithHint("events are numbered from 1 to %d", n)
	}
	return l.Checkpoint(ctx)
}

// Latest returns the latest checkpoint that the ledger keeps, that of size 0
// without a note when there is none yet.
func (l *Ledger) Latest(ctx context.Context) (out SignedCheckpoint, err error) {
	err = l.read.QueryRowContext(ctx, "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").Scan(&out.Note)
	if errors.Is(err, sql.ErrNoRows) {
		return out, nil
	}
	if err != nil {
		return out, l.failure(err)
	}
	public, err := l.VerifierKey(ctx)
	if err != nil {
		return out, err
	}
	v, err := note.NewVerifier(public)
	if err == nil {
		out.Checkpoint, err = proof.OpenCheckpoint(out.Note, v)
	}
	if err != nil {
		return out, fault.New(fault.IntegrityViolation, "checkpoints", "the last checkpoint cannot be trusted").WithHint("run hwledger-mcp ledger verify").WithCause(err)
	}
	return out, nil
}

// Consistency returns the proof that the tree of newer events extends that of
// older, RFC 6962 section 2.1.2.
func (l *Ledger) Consistency(ctx context.Context, older, newer int64) (path tlog.TreeProof, err error) {
	err = l.snapshot(ctx, func(tx *sql.Tx) error {
		n, err := size(ctx, tx)
		if err != nil {
			return err
		}
		if older < 1 || older > newer || newer > n {
			return fault.New(fault.InvalidArgument, "size", "there is no proof from %d to %d events", older, newer).WithHint("sizes go from 1 to %d, the older one first", n)
		}
		path, err = tlog.ProveTree(newer, older, hashReader(ctx, tx))
		if err != nil {
			err = fmt.Errorf("proving that %d events extend %d: %w", newer, older, err)
		}
		return err
	})
	return path, err
}
