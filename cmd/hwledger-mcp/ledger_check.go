package main

import (
	"encoding/base64"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"hwledger/internal/fault"
	"hwledger/ledger/proof"
)

// ledgerCheck checks a proof that prove printed, with nothing of the ledger:
// the event's hash is that of its receipt, and the key was kept elsewhere.
func ledgerCheck(e *env, args []string) error {
	f := ledgerFlags(e, "check")
	leaf := f.String("leaf", "", "the event's `hash`, as its receipt has it")
	key := f.String("key", "", "verifier `key` of the ledger")
	words, err := ledgerWords(e, f, args, 1)
	if err != nil {
		return wrongUse(err)
	}
	v, err := note.NewVerifier(*key)
	if err != nil {
		return wrongUse(fmt.Errorf("--key is not what ledger key prints: %w", err))
	}
	b, err := base64.StdEncoding.DecodeString(*leaf)
	if err != nil || len(b) != len(proof.Hash{}) {
		return wrongUse(fmt.Errorf("--leaf is not the leaf of a receipt, 32 bytes in base64"))
	}
	text, err := readValue(words[0])
	if err != nil {
		return wrongUse(err)
	}
	p, err := proof.ParseInclusion(text)
	if err != nil {
		return fault.New(fault.MalformedFile, words[0], "the proof cannot be read").WithHint("give a file with what hwledger-mcp ledger prove prints").WithCause(err)
	}
	c, err := p.Check(proof.Hash(b), v)
	if err != nil {
		return fault.New(fault.IntegrityViolation, words[0], "nothing is proven of this event").WithHint("compare the event's hash, the key and the proof with those kept elsewhere").WithCause(err)
	}
	fmt.Fprintf(e.stdout, "PROVEN. Event %d is one of the %d that %s signed, root %s.\n", p.Index+1, c.Size, c.Origin, c.Root)
	return nil
}
