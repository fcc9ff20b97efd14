package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hwledger/internal/fault"
	"hwledger/internal/rename"
	"hwledger/ledger"
	"hwledger/ledger/proof"
	"hwledger/tools"
)

// ledgerCommands are the subcommands of ledger.
var ledgerCommands = []struct {
	name, args, short string
	run               func(e *env, args []string) error
}{
	{"verify", "[--checkpoint FILE]… [--key KEY] [--file EXPORT] [--rebuild] [--json]", "check every event, the tree and the signed checkpoints", ledgerVerify},
	{"query", "[--NAME VALUE]…", "list events, as query_ledger does", ledgerQuery},
	{"export", "[--format jsonl|focus] [--out FILE]", "write all events as JSON Lines, or costs as CSV", ledgerExport},
	{"import", "FILE [--key KEY]", "take an export into an empty ledger", ledgerImport},
	{"checkpoint", "[--out FILE]", "sign the ledger as it is", ledgerCheckpoint},
	{"prove", "SEQ", "print the proof that an event is in the ledger", ledgerProve},
	{"check", "PROOF --leaf HASH --key KEY", "check such a proof, without the ledger", ledgerCheck},
	{"key", "", "print the key that verifies checkpoints", ledgerKey},
	{"backup", "FILE", "copy the ledger while it is in use, and verify the copy", ledgerBackup},
	{"erase", "SEQ --reason TEXT", "remove an event's payload for good", ledgerErase},
}

// errUsage is a mistake in the command line.
type errUsage struct{ error }

// errDamage is a ledger that is not what was written; what it is was printed.
var errDamage = errors.New("the ledger is damaged")

func ledgerCommand(e *env, args []string) int {
	if len(args) == 0 {
		return misuse(e, "ledger needs a subcommand: hwledger-mcp help ledger lists them")
	}
	for _, c := range ledgerCommands {
		if c.name != args[0] {
			continue
		}
		err := c.run(e, args[1:])
		var usage errUsage
		switch {
		case err == nil:
			return exitOK
		case errors.Is(err, flag.ErrHelp):
			ledgerHelp(e)
			return exitOK
		case errors.As(err, &usage):
			return misuse(e, "ledger %s: %v", c.name, err)
		case !errors.Is(err, errDamage):
			printFault(e, err)
		}
		return exitError
	}
	return misuse(e, "there is no ledger subcommand %q; hwledger-mcp help ledger lists them", args[0])
}

func ledgerHelp(e *env) {
	fmt.Fprintln(e.stdout)
	for _, c := range ledgerCommands {
		fmt.Fprintf(e.stdout, "  %s\n      %s\n", strings.TrimSpace("ledger "+c.name+" "+c.args), c.short)
	}
	fmt.Fprint(e.stdout, `
Keep what checkpoint prints where the ledger's files are not: a ledger that was
cut or written anew shows only against it. Exit codes: 0 ok, 1 damage or error,
2 usage.
`)
}

// printFault says what went wrong and what to do next.
func printFault(e *env, err error) {
	var f *fault.Error
	if !errors.As(err, &f) {
		fmt.Fprintf(e.stderr, "hwledger-mcp: %v\n", err)
		return
	}
	fmt.Fprintf(e.stderr, "%s: %v.\nNext: %s.\n", f.Code, f, f.Hint)
}

// ledgerWords parses a subcommand's flags and returns its other words, of which
// there must be n.
func ledgerWords(e *env, f *flag.FlagSet, args []string, n int) ([]string, error) {
	var positional []string
	for len(args) > 0 {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if args = f.Args(); len(args) > 0 { // flags may follow the words
			positional, args = append(positional, args[0]), args[1:]
		}
	}
	if len(positional) != n {
		return nil, errUsage{fmt.Errorf("%d words, want %d; hwledger-mcp help ledger", len(positional), n)}
	}
	return positional, nil
}

func ledgerFlags(e *env, name string) *flag.FlagSet {
	f := newFlags(e, "ledger "+name)
	f.SetOutput(io.Discard) // the error is printed once, by ledgerCommand
	f.Usage = func() {}
	return f
}

// files are the values of a flag that may be repeated.
type files []string

func (l *files) String() string     { return strings.Join(*l, ", ") }
func (l *files) Set(s string) error { *l = append(*l, s); return nil }

func ledgerVerify(e *env, args []string) error {
	f := ledgerFlags(e, "verify")
	var checkpoints files
	f.Var(&checkpoints, "checkpoint", "`file` with a signed checkpoint that was kept elsewhere")
	key := f.String("key", "", "verifier key that was kept elsewhere")
	file := f.String("file", "", "verify this export instead, without the ledger")
	rebuild := f.Bool("rebuild", false, "make the projections anew before they are compared")
	asJSON := f.Bool("json", false, "print the answer's JSON")
	if _, err := ledgerWords(e, f, args, 0); err != nil {
		return wrongUse(err)
	}
	o := ledger.VerifyOptions{Key: *key, Progress: progressLine(e, "verified")}
	for _, path := range checkpoints {
		text, err := readValue(path)
		if err != nil {
			return wrongUse(err)
		}
		o.Checkpoints = append(o.Checkpoints, text)
	}
	v, err := verification(e, o, *file, *rebuild)
	if err != nil {
		return err
	}
	s := tools.StateOf(v)
	if *asJSON {
		raw, err := json.Marshal(s)
		if err == nil {
			err = printJSON(e.stdout, raw)
		}
		if err != nil {
			return err
		}
	} else {
		fmt.Fprint(e.stdout, s.Text())
	}
	if !s.OK {
		return errDamage
	}
	return nil
}

// wrongUse marks an error as a mistake in the command line.
func wrongUse(err error) error {
	var already errUsage
	if errors.As(err, &already) || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return errUsage{err}
}

// verification verifies an export, or the ledger and its projections.
func verification(e *env, o ledger.VerifyOptions, file string, rebuild bool) (v ledger.Verification, err error) {
	if file != "" {
		in, err := os.Open(file)
		if err != nil {
			return v, wrongUse(err)
		}
		defer in.Close() // it was only read
		w, damage, err := proof.VerifyExport(e.ctx, in, o.Key, o.Checkpoints, o.Progress)
		if err != nil {
			return v, err
		}
		v = ledger.Verification{Size: w.Size(), Root: w.Root(), Damage: damage, ClockBack: w.ClockBack, Pinned: w.Pinned()}
		if o.Key == "" {
			v.Notes = append(v.Notes, "the export was checked with the key that is in it, which whoever made it anew can change: give --key")
		}
		if damage == nil && v.Pinned < v.Size {
			v.Notes = append(v.Notes, fmt.Sprintf("the last %d events are in no checkpoint, and could be cut off without a trace", v.Size-v.Pinned))
		}
		return v, nil
	}
	e.ledger.readOnly = !rebuild // looking at evidence does not change it
	l, err := e.ledger.ledger(e.ctx)
	if err != nil {
		return v, err
	}
	if rebuild {
		if err := l.Rebuild(e.ctx); err != nil {
			return v, err
		}
	}
	if v, err = l.Verify(e.ctx, o); err != nil || v.Damage != nil {
		return v, err
	}
	return v, cmp.Or(l.CheckFile(e.ctx), l.CheckProjections(e.ctx))
}

// progressLine reports on a terminal how far slow work is.
func progressLine(e *env, what string) func(done, total int64) {
	if !e.terminal {
		return func(int64, int64) {}
	}
	return func(done, total int64) {
		end := "\r"
		if done >= total {
			end = "\n"
		}
		fmt.Fprintf(e.stderr, "%d of %d %s%s", done, total, what, end)
	}
}

func ledgerQuery(e *env, args []string) error {
	s, err := surface(e, tools.Options{})
	if err != nil {
		return err
	}
	t, err := s.Tool("query_ledger")
	if err != nil {
		return err
	}
	a := arguments{schema: t.In, switches: []string{"json"}}
	if err := a.parse(args); err != nil {
		return wrongUse(err)
	}
	if len(a.positional) > 0 {
		return wrongUse(fmt.Errorf("unexpected argument %q", a.positional[0]))
	}
	raw, err := a.json()
	if err != nil {
		return err
	}
	r := s.Call(e.ctx, t.Name, raw)
	if a.on["json"] {
		err = printJSON(e.stdout, r.Structured)
	} else if r.Failed {
		fmt.Fprint(e.stderr, r.Text)
	} else {
		fmt.Fprint(e.stdout, r.Text)
	}
	if err == nil && r.Failed {
		err = errDamage
	}
	return err
}

func ledgerExport(e *env, args []string) error {
	f := ledgerFlags(e, "export")
	format := f.String("format", "jsonl", "jsonl: all events; focus: costs as CSV")
	out := f.String("out", "", "`file` to write, standard output when empty")
	if _, err := ledgerWords(e, f, args, 0); err != nil {
		return wrongUse(err)
	}
	if !slices.Contains([]string{"jsonl", "focus"}, *format) {
		return wrongUse(fmt.Errorf("there is no format %q; there are jsonl and focus", *format))
	}
	l, err := e.ledger.ledger(e.ctx)
	if err != nil {
		return err
	}
	return writeOut(e, *out, func(w io.Writer) error {
		if *format == "focus" {
			return l.ExportFocus(e.ctx, w)
		}
		return l.Export(e.ctx, w, progressLine(e, "exported"))
	})
}

// writeOut writes a file whole or not at all, or standard output.
func writeOut(e *env, path string, write func(io.Writer) error) error {
	if path == "" {
		return write(e.stdout)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return wrongUse(err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = rename.Over(f.Name(), path)
	}
	return err
}

func ledgerImport(e *env, args []string) error {
	f := ledgerFlags(e, "import")
	key := f.String("key", "", "verifier key of the export")
	words, err := ledgerWords(e, f, args, 1)
	if err != nil {
		return wrongUse(err)
	}
	in, err := os.Open(words[0])
	if err != nil {
		return wrongUse(err)
	}
	defer in.Close() // it was only read
	return withLedger(e, func(ctx context.Context, l *ledger.Ledger) error {
		n, err := l.Import(ctx, in, *key)
		if err == nil {
			fmt.Fprintf(e.stdout, "Imported %d events.\n", n)
		}
		return err
	})
}

func withLedger(e *env, f func(context.Context, *ledger.Ledger) error) error {
	l, err := e.ledger.ledger(e.ctx)
	if err != nil {
		return err
	}
	return f(e.ctx, l)
}

func ledgerCheckpoint(e *env, args []string) error {
	f := ledgerFlags(e, "checkpoint")
	out := f.String("out", "", "`file` to write, standard output when empty")
	if _, err := ledgerWords(e, f, args, 0); err != nil {
		return wrongUse(err)
	}
	return withLedger(e, func(ctx context.Context, l *ledger.Ledger) error {
		c, err := l.Checkpoint(ctx)
		if err != nil {
			return err
		}
		return writeOut(e, *out, func(w io.Writer) error {
			_, err := io.WriteString(w, c.Note)
			return err
		})
	})
}

// seqWord reads the number of an event.
func seqWord(s string) (int64, error) {
	seq, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, wrongUse(fmt.Errorf("%q is not the number of an event", s))
	}
	return seq, nil
}

func ledgerProve(e *env, args []string) error {
	words, err := ledgerWords(e, ledgerFlags(e, "prove"), args, 1)
	if err != nil {
		return wrongUse(err)
	}
	seq, err := seqWord(words[0])
	if err != nil {
		return err
	}
	return withLedger(e, func(ctx context.Context, l *ledger.Ledger) error {
		text, err := l.Prove(ctx, seq)
		if err == nil {
			_, err = io.WriteString(e.stdout, text)
		}
		return err
	})
}

func ledgerKey(e *env, args []string) error {
	if _, err := ledgerWords(e, ledgerFlags(e, "key"), args, 0); err != nil {
		return wrongUse(err)
	}
	return withLedger(e, func(ctx context.Context, l *ledger.Ledger) error {
		key, err := l.VerifierKey(ctx)
		if err == nil {
			fmt.Fprintln(e.stdout, key)
		}
		return err
	})
}

func ledgerBackup(e *env, args []string) error {
	words, err := ledgerWords(e, ledgerFlags(e, "backup"), args, 1)
	if err != nil {
		return wrongUse(err)
	}
	return withLedger(e, func(ctx context.Context, l *ledger.Ledger) error {
		v, err := l.Backup(ctx, words[0])
		if err != nil {
			return err
		}
		s := tools.StateOf(v)
		fmt.Fprint(e.stdout, s.Text())
		if !s.OK {
			return errDamage
		}
		return nil
	})
}

func ledgerErase(e *env, args []string) error {
	f := ledgerFlags(e, "erase")
	reason := f.String("reason", "", "why, without what is erased")
	words, err := ledgerWords(e, f, args, 1)
	if err != nil {
		return wrongUse(err)
	}
	seq, err := seqWord(words[0])
	if err != nil {
		return err
	}
	return withLedger(e, func(ctx context.Context, l *ledger.Ledger) error {
		r, err := l.Erase(ctx, seq, *reason, "command line")
		if err == nil {
			fmt.Fprintf(e.stdout, "Erased the payload of event %d; event %d says so. Backups and exports still have it.\n", seq, r.Seq)
		}
		return err
	})
}
