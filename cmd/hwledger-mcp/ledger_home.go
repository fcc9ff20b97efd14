package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"hwledger/internal/fault"
	"hwledger/ledger"
	"hwledger/tools"
)

// pinEvery is how often a running server signs what the ledger has.
const pinEvery = 10 * time.Minute

// ledgerHome is this user's ledger, opened when it is first needed: most
// sessions never need it, and a server must be there at once.
type ledgerHome struct {
	getenv   func(string) string
	readOnly bool
	log      *slog.Logger

	mu   sync.Mutex
	open *ledger.Ledger
}

// ledger opens the ledger, or returns the open one. What cannot be written can
// still be read.
func (h *ledgerHome) ledger(ctx context.Context) (*ledger.Ledger, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open != nil {
		return h.open, nil
	}
	dir, err := ledger.Home(h.getenv)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // it outlives the call
	opts := ledger.Options{ReadOnly: h.readOnly, CheckpointEvery: pinEvery, Log: h.log}
	l, err := ledger.Open(ctx, dir, opts)
	var f *fault.Error
	if errors.As(err, &f) && f.Code == fault.Denied && !h.readOnly {
		opts.ReadOnly, opts.Refusal = true, err
		if reader, e := ledger.Open(ctx, dir, opts); e == nil {
			l, err = reader, nil
		}
	}
	if err != nil {
		return nil, err
	}
	h.open = l
	return l, nil
}

// there reports whether the ledger exists.
func (h *ledgerHome) there() bool {
	dir, err := ledger.Home(h.getenv)
	if err == nil {
		_, err = os.Stat(dir)
	}
	return err == nil
}

// tool is ledger for the tools.
func (h *ledgerHome) tool(ctx context.Context) (tools.Ledger, error) {
	l, err := h.ledger(ctx)
	if err != nil {
		return nil, err // not a *Ledger that is nil in an interface that is not
	}
	return l, nil
}

// close signs and closes the ledger, if it was opened.
func (h *ledgerHome) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil {
		return nil
	}
	l := h.open
	h.open = nil
	return l.Close()
}

// closeLedger ends a command with its ledger closed, and returns the command's
// exit code, or that of a ledger that did not close well.
func closeLedger(e *env, code int) int {
	if err := e.ledger.close(); err != nil {
		fmt.Fprintf(e.stderr, "hwledger-mcp: closing the ledger: %v\n", err)
		return max(code, exitError)
	}
	return code
}
