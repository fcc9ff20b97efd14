// Package calibration holds what no formula gives: memory that engines were
// measured to take. The figures are a table that `go run ./internal/calibrate`
// fits on recorded starts; engines look figures up and add nothing of their
// own. Every figure carries how many starts stand behind it and their spread.
package calibration

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	_ "embed"

	"hwledger/calc/engine"
)

// Source is what terms made of the table name as their source.
const Source = "calc/engine/calibration/table.tsv"

// Release is an engine's version as far as the table splits by it: major,
// minor, patch.
type Release [3]int

// String returns "0.18.0".
func (r Release) String() string { return fmt.Sprintf("%d.%d.%d", r[0], r[1], r[2]) }

// Key names a figure. Class is the kind of device, in words of the engine's
// own choice; Ranks is how a model is spread: "1", "tp" or "pp".
type Key struct{ Engine, Term, Class, Ranks string }

// Figure is one line of the table.
type Figure struct {
	Key
	// Since is the first release that the figure holds for.
	Since Release
	// Unit is what the figures count: MiB, or KiB for rates.
	Unit engine.Bytes
	// Low, Median and High are in units, of one device.
	Low, Median, High int64
	// Samples is how many distinct (model, ranks, release) were measured,
	// Starts how many starts of them, Sources by how many publishers.
	Samples, Starts, Sources int
}

// Table is a set of figures.
type Table struct {
	Figures []Figure
}

//go:embed table.tsv
var embedded string

// Default returns the table in the repository. A table that cannot be read is
// empty; a test holds that it can.
var Default = sync.OnceValue(func() *Table {
	t, err := Parse(embedded)
	if err != nil {
		return &Table{}
	}
	return t
})

// Find returns the figure of the last release that is not after r, else of the
// first release known; false when nobody measured it.
func (t *Table) Find(k Key, r Release) (Figure, bool) {
	var best *Figure
	for i := range t.Figures {
		f := &t.Figures[i]
		if f.Key != k {
			continue
		}
		held := slices.Compare(f.Since[:], r[:]) <= 0
		if best == nil || held && slices.Compare(f.Since[:], best.Since[:]) > 0 {
			best = f
		}
	}
	if best == nil {
		return Figure{}, false
	}
	return *best, true
}

// Term makes a term of a figure.
func (f Figure) Term(name string, c engine.Category, on []int) engine.Term {
	return engine.Term{
		Name: name, Category: c, On: on, Confidence: engine.Measured, Source: Source,
		Formula: "median of what engines logged for this release, kind of device and number of ranks",
		Bytes:   engine.Bytes(f.Median) * f.Unit, Low: engine.Bytes(f.Low) * f.Unit, High: engine.Bytes(f.High) * f.Unit,
		Inputs: f.Inputs(),
	}
}

// Inputs says what stands behind the figure.
func (f Figure) Inputs() []engine.Input {
	return []engine.Input{
		{Name: "samples", Value: int64(f.Samples), From: "engine logs"},
		{Name: "starts", Value: int64(f.Starts), From: "engine logs"},
		{Name: "sources", Value: int64(f.Sources), From: "engine logs"},
	}
}

const header = "engine\tterm\tclass\tranks\tsince\tunit\tlow\tmedian\thigh\tsamples\tstarts\tsources"

var units = map[string]engine.Bytes{"KiB": engine.KiB, "MiB": engine.MiB}

// maxFigure bounds a figure, so that no product of it overflows.
const maxFigure = 1 << 30

// Parse reads a table: lines that start with # are comments, the first other
// line names the columns.
func Parse(text string) (*Table, error) {
	t, seen := &Table{}, false
	for n, line := range strings.Split(text, "\n") {
		switch {
		case line == "" || line[0] == '#':
		case !seen:
			if line != header {
				return nil, fmt.Errorf("line %d: the columns are %q, want %q", n+1, line, header)
			}
			seen = true
		default:
			f, err := parseFigure(strings.Split(line, "\t"))
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", n+1, err)
			}
			t.Figures = append(t.Figures, f)
		}
	}
	return t, nil
}

func parseFigure(c []string) (Figure, error) {
	if len(c) != strings.Count(header, "\t")+1 {
		return Figure{}, fmt.Errorf("%d columns", len(c))
	}
	f := Figure{Key: Key{c[0], c[1], c[2], c[3]}, Unit: units[c[5]]}
	if f.Unit == 0 {
		return f, fmt.Errorf("unknown unit %q", c[5])
	}
	since := strings.Split(c[4], ".")
	if len(since) != len(f.Since) {
		return f, fmt.Errorf("release %q is not of three numbers", c[4])
	}
	var err error
	number := func(s string) int64 {
		n, e := strconv.ParseInt(s, 10, 64)
		if e == nil && (n > maxFigure || n < -maxFigure) {
			e = fmt.Errorf("%s is out of range", s)
		}
		if e != nil && err == nil {
			err = e
		}
		return n
	}
	for i := range since {
		f.Since[i] = int(number(since[i]))
	}
	f.Low, f.Median, f.High = number(c[6]), number(c[7]), number(c[8])
	f.Samples, f.Starts, f.Sources = int(number(c[9])), int(number(c[10])), int(number(c[11]))
	if err == nil && (f.Low > f.Median || f.Median > f.High) {
		err = fmt.Errorf("%d, %d, %d are not in order", f.Low, f.Median, f.High)
	}
	return f, err
}

// String writes the table as Parse reads it, without comments.
func (t *Table) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, header)
	for _, f := range t.Figures {
		unit := "MiB"
		if f.Unit == engine.KiB {
			unit = "KiB"
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", f.Engine, f.Key.Term, f.Class, f.Ranks, f.Since, unit, f.Low, f.Median, f.High, f.Samples, f.Starts, f.Sources)
	}
	return b.String()
}
