// Command calibrate fits the measured terms of plans on recorded starts of
// engines and writes the table that package calc/engine/calibration embeds.
//
//	go run ./internal/calibrate [-models DIR] [-write] [FILE…]
//
// Without -write the table is printed. The report says, for each figure, how
// many starts stand behind it, and how the plan scores: on the rows that it
// was fitted on, and on rows of models, and of publishers, that were left out
// of the fit. Formula terms are subtracted and never fitted.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"hwledger/internal/scoring"
)

const (
	tableFile = "calc/engine/calibration/table.tsv"
	rowsFile  = "testdata/observations/vllm.jsonl"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("calibrate", flag.ContinueOnError)
	fs.SetOutput(stderr)
	dir := fs.String("models", "", "directory of config.json files, asked before the embedded catalogue")
	write := fs.Bool("write", false, "write "+tableFile+" instead of printing it")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	files := fs.Args()
	if len(files) == 0 {
		files = []string{rowsFile}
	}
	set, err := scoring.Open(files, *dir)
	if err != nil {
		fmt.Fprintln(stderr, "calibrate:", err)
		return 1
	}
	starts := plan(set, nil)
	text := comment + fit(starts).String()
	if *write {
		if err := os.WriteFile(tableFile, []byte(text), 0o644); err != nil {
			fmt.Fprintln(stderr, "calibrate:", err)
			return 1
		}
	} else {
		fmt.Fprint(stdout, text, "\n")
	}
	if err := report(stdout, set, starts); err != nil {
		fmt.Fprintln(stderr, "calibrate:", err)
		return 1
	}
	return 0
}

const comment = `# What engines were measured to take where no formula says it, of one device.
# Written by: go run ./internal/calibrate -write
# class: kind of device. ranks: 1, tp (ranks share tensors), pp (stages only).
# since: first release that a line holds for. low to high is the spread over
# all starts; with fewer than 4 samples it is the median with the spread that
# starts of the same term have around the medians of their own lines.
# samples: distinct (model, ranks, release). sources: publishers of the logs.
`
