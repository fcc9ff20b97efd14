// Command accuracy plans every row of a file of records with this repository's
// planner and prints how far it is from what the engine itself reported. It
// understands, by the fields of each line: starts of vLLM servers (cache bytes
// per token, weights, capacity, concurrency, activation); what llama.cpp
// reported for a header and a setting, and llama-quantize for a file type
// (testdata/README.md); users' logs of llama.cpp and its relatives.
//
//	go run ./internal/accuracy [--models DIR] [--json|--markdown|--compact] FILE…
//
// A file holds one JSON object per line and may be compressed (gzip). Missing
// fields are allowed. Models of server logs come from the embedded catalogue, or from a
// directory of config.json files; names of quantized repositories are matched
// to the model they were made from.
package main

import (
	"errors"
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
	rec, err := readRecords(fs.Args())
	if err != nil {
		return exit(stderr, err)
	}
	rows := rec.servers
	if *compact {
		return exit(stderr, writeCompact(stdout, rows))
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
	rep.Sections = rec.sections(ms)
	switch {
	case *asJSON:
		err = rep.json(stdout)
	case *markdown:
		err = errors.Join(rep.markdown(stdout), sectionsMarkdown(stdout, rep.Sections))
	default:
		err = errors.Join(rep.text(stdout), sectionsText(stdout, rep.Sections))
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

// readFiles returns the server logs of files.
func readFiles(names []string) ([]row, error) {
	rec, err := readRecords(names)
	if err != nil {
		return nil, err
	}
	return rec.servers, nil
}
