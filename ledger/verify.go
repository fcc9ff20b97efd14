package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"hwledger/internal/fault"
	"hwledger/ledger/proof"
)

// VerifyOptions say what to verify a ledger against.
type VerifyOptions struct {
	// Checkpoints are signed notes that were kept outside.
	Checkpoints []string
	// Key is the verifier key that was kept outside; the ledger's own when
	// empty.
	Key string
	// Progress is told how many of all events are checked, when not nil.
	Progress func(done, total int64)
}

// Verification is what verifying came to.
type Verification struct {
	// Size and Root are those of the events that are good.
	Size int64
	Root proof.Hash
	// Damage is the first bad event, nil when there is none.
	Damage *proof.Damage
	// Checkpoints is how many signed checkpoints were compared, and Pinned
	// the events that the largest of them covers: later ones can be cut off
	// without a trace.
	Checkpoints int
	Pinned      int64
	// ClockBack counts events that were written with an earlier time than the
	// one before them.
	ClockBack int64
	// Notes are what else there is to say.
	Notes []string
}

// Verify reads all events and checks the chain, the tree and the signed
// checkpoints: those in the ledger, and those given. Damage is in the answer;
// an error is that it could not be looked for.
func (l *Ledger) Verify(ctx context.Context, o VerifyOptions) (v Verification, err error) {
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	err = l.snapshot(ctx, func(tx *sql.Tx) error {
		trusted, damage, err := l.trusted(ctx, tx, o)
		if err == nil && damage == nil {
			var w *proof.Walker
			if w, damage, err = l.walkAll(ctx, tx, trusted, o.Progress); err == nil {
				v.Size, v.Root, v.ClockBack = w.Size(), w.Root(), w.ClockBack
			}
		}
		if err != nil {
			return err
		}
		v.Damage, v.Checkpoints = damage, len(trusted)
		for _, c := range trusted {
			v.Pinned = max(v.Pinned, c.Size)
		}
		return v.remark(ctx, tx)
	})
	if err != nil && corrupt(err) {
		v.Damage = &proof.Damage{Kind: proof.Unreadable, Seq: v.Size + 1, Why: err.Error()}
		err = nil
	}
	return v, err
}

// trusted returns the checkpoints to compare with, or the damage that one of
// them is not the ledger's.
func (l *Ledger) trusted(ctx context.Context, tx *sql.Tx, o VerifyOptions) ([]proof.Checkpoint, *proof.Damage, error) {
	public := o.Key
	if public == "" {
		var err error
		if public, err = l.VerifierKey(ctx); err != nil {
			return nil, nil, err
		}
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		return nil, nil, fault.New(fault.InvalidArgument, "key", "the verifier key cannot be read").WithHint("it is what hwledger-mcp ledger key prints").WithCause(err)
	}
	kept, err := l.knownCheckpoints(ctx, tx, false)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range o.Checkpoints {
		kept = append(kept, known{"checkpoint", n})
	}
	var out []proof.Checkpoint
	for i, k := range kept {
		c, err := proof.OpenCheckpoint(k.Note, v)
		switch {
		case errors.Is(err, proof.ErrWrongKey):
			return out, &proof.Damage{Kind: proof.WrongKey, Why: fmt.Sprintf("the checkpoint in %s is not signed by %s", k.from, v.Name())}, nil
		case err != nil && i >= len(kept)-len(o.Checkpoints):
			return nil, nil, fault.New(fault.InvalidArgument, "checkpoint", "the checkpoint cannot be used").WithHint("give the text that hwledger-mcp ledger checkpoint prints").WithCause(err)
		case err != nil:
			return out, &proof.Damage{Kind: proof.Edited, Why: fmt.Sprintf("the checkpoint in %s is broken: %v", k.from, err)}, nil
		}
		out = append(out, c)
	}
	return out, nil, nil
}

// unreadable makes damage of a file that breaks off after size events.
func unreadable(err error, size int64) (*proof.Damage, error) {
	if !corrupt(err) {
		return nil, err
	}
	return &proof.Damage{Kind: proof.Unreadable, Seq: size + 1, Why: err.Error()}, nil
}

// remark adds what is not damage and still worth knowing.
func (v *Verification) remark(ctx context.Context, tx *sql.Tx) error {
	whole, err := guarded(ctx, tx)
	if err != nil {
		return err
	}
	if !whole {
		v.Notes = append(v.Notes, "the triggers that keep the log append-only are not those that it was made with")
	}
	if v.Damage == nil && v.Pinned < v.Size {
		v.Notes = append(v.Notes, fmt.Sprintf("the last %d events are in no checkpoint yet, and could be cut off without a trace", v.Size-v.Pinned))
	}
	if v.ClockBack > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("%d events have an earlier time than the one before them: the clock was set back", v.ClockBack))
	}
	return nil
}
