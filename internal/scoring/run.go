// Package scoring plans what engines were seen to do and compares: it reads
// records of real starts, finds their models and settings, plans them with
// this repository's planner and sets every figure beside the one reported.
// The commands accuracy and calibrate share it.
package scoring

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

// Run is the command accuracy: it scores the files of args and returns the
// exit status, 2 for a wrong command line.
func Run(args []string, stdout, stderr io.Writer) int {
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
