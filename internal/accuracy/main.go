// Command accuracy plans every row of a file of server logs with this
// repository's planner and prints how far it is from what the engine itself
// logged: cache bytes per token, weights, capacity, concurrency, activation.
//
//	go run ./internal/accuracy [--models DIR] [--json|--markdown|--compact] FILE…
//
// A file holds one JSON object per line: one start of one server. Missing
// fields are allowed. Models come from the embedded catalogue, or from a
// directory of config.json files; names of quantized repositories are matched
// to the model they were made from.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("accuracy", flag.ContinueOnError)
	fs.SetOutput(stderr)
	dir := fs.String("models", "", "directory of config.json files, asked before the embedded catalogue")
	asJSON := fs.Bool("json", false, "print rows and summary as JSON")
	markdown := fs.Bool("markdown", false, "print the summary as Markdown")
	compact := fs.Bool("compact", false, "print the rows that can be scored, with their measured fields only")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if fs.NArg() == 0 {
		fmt.Fprintln(stderr, "usage: accuracy [--models DIR] [--json|--markdown|--compact] FILE…")
		return 2
	}
	rows, err := readFiles(fs.Args())
	if err == nil && *compact {
		err = writeCompact(stdout, rows)
		return exit(stderr, err)
	}
	if err != nil {
		return exit(stderr, err)
	}
	ms, err := newModels(*dir)
	if err != nil {
		return exit(stderr, err)
	}
	results := make([]result, len(rows))
	for i := range rows {
		results[i] = score(&rows[i], ms)
	}
	rep := summarise(results)
	switch {
	case *asJSON:
		err = rep.json(stdout)
	case *markdown:
		err = rep.markdown(stdout)
	default:
		err = rep.text(stdout)
	}
	return exit(stderr, err)
}

func exit(stderr io.Writer, err error) int {
	if err != nil {
		fmt.Fprintln(stderr, "accuracy:", err)
		return 1
	}
	return 0
}

func readFiles(names []string) ([]row, error) {
	var rows []row
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		more, err := readRows(f, name)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}
