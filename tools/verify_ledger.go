package tools

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/ledger"
)

// VerifyArgs are the input of verify_ledger.
type VerifyArgs struct {
	Checkpoint string `json:"checkpoint,omitempty" doc:"Signed note kept elsewhere: only it shows a cut or rewritten end." alias:"note,signed_checkpoint"`
}

// LedgerState is the output of verify_ledger.
type LedgerState struct {
	OK bool `json:"ok"`
	// Size and Root, base64, are those of the events that are good.
	Size int64  `json:"size"`
	Root string `json:"root"`
	// Code is integrity_violation when the ledger is not what was written;
	// Damage says how, and FirstBad from which event on.
	Code     model.Code `json:"code,omitempty"`
	FirstBad int64      `json:"first_bad_seq,omitempty"`
	Damage   string     `json:"damage,omitempty"`
	Why      string     `json:"why,omitempty"`
	// Pinned is how many events a signed checkpoint covers.
	Pinned int64    `json:"pinned"`
	Notes  []string `json:"notes,omitempty"`
}

// mostCompared is how many events are compared with what was made of them: it
// takes several times as long as verifying, and clients do not wait forever.
const mostCompared = 100_000

func verifyLedger(opts Options) Tool {
	return define(Tool{
		Name: "verify_ledger", Title: "Verify the ledger", Toolset: LedgerSet,
		Description: "Checks hash chain, Merkle tree and checkpoints. Damage names the first bad event.",
	}, func(ctx context.Context, a VerifyArgs) (*LedgerState, error) {
		l, err := opts.ledger(ctx)
		if err != nil {
			return nil, err
		}
		o := ledger.VerifyOptions{}
		if a.Checkpoint != "" {
			o.Checkpoints = []string{a.Checkpoint}
		}
		o.Progress = func(done, total int64) { lookup.Report(ctx, done, total, "verifying the ledger") }
		v, err := l.Verify(ctx, o)
		if err != nil {
			return nil, err
		}
		switch {
		case v.Damage != nil:
		case v.Size > mostCompared:
			v.Notes = append(v.Notes, "the file's indexes and the projections of so many events were not compared: hwledger-mcp ledger verify does")
		default: // what the other tools answer from has to be right as well
			if err := cmp.Or(l.CheckFile(ctx), l.CheckProjections(ctx)); err != nil {
				return nil, err
			}
		}
		return StateOf(v), nil
	})
}

// StateOf is a verification as verify_ledger answers it.
func StateOf(v ledger.Verification) *LedgerState {
	s := &LedgerState{OK: v.Damage == nil, Size: v.Size, Root: v.Root.String(), Pinned: v.Pinned, Notes: v.Notes}
	if d := v.Damage; d != nil {
		s.Code, s.FirstBad, s.Damage, s.Why = model.IntegrityViolation, d.Seq, string(d.Kind), d.Why
	}
	return s
}

// Text says what was verified.
func (s *LedgerState) Text() string {
	var b strings.Builder
	switch {
	case s.OK:
		fmt.Fprintf(&b, "INTACT. %s, root %s; %s pinned by a signed checkpoint.\n", plural(int(s.Size), "event", "events"), s.Root, number(s.Pinned))
	case s.FirstBad > 0:
		fmt.Fprintf(&b, "%s: %s from event %d on: %s.\nNext: keep the file as it is, trust the events before it only, and go on from a backup.\n", s.Code, s.Damage, s.FirstBad, s.Why)
	default:
		fmt.Fprintf(&b, "%s: %s: %s.\nNext: compare the key and the checkpoints with those kept elsewhere.\n", s.Code, s.Damage, s.Why)
	}
	for _, n := range s.Notes {
		b.WriteString(sentence(n) + "\n")
	}
	return b.String()
}
