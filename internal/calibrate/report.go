package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"hwledger/calc/engine/vllm"
	"hwledger/internal/scoring"
)

// scored are the figures that calibration moves.
var scored = []string{"activation", "outside PyTorch", "CUDA graphs", "total without cache", "predicted pool"}

// report prints how plans score with the table fitted on all rows, on rows that
// were left out of the fit, a model or a publisher at a time, and on those with
// what their publishers' other starts on the same devices took.
func report(w io.Writer, set *scoring.Set, starts []start) error {
	tw := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "figure\tfit on\tn\twithin limit\tin low–high\tmedian\tmax\tworst row")
	for _, how := range []struct {
		name string
		fold func(*start) string
	}{
		{"all rows", func(*start) string { return "" }},
		{"other models", func(s *start) string { return s.Model }},
		{"other sources", func(s *start) string { return s.Source }},
	} {
		rows := validate(set, starts, how.fold)
		for _, name := range scored {
			tally(tw, name, how.name, rows)
		}
	}
	without, one, all := afterOthers(set, starts)
	for _, name := range scored {
		tally(tw, name, "other sources*", without)
		tally(tw, name, "  and one start here", one)
		tally(tw, name, "  and all starts here", all)
	}
	fmt.Fprintln(tw, "* rows whose source started another model on the same devices")
	return tw.Flush()
}

// validate plans every start with a table fitted on the starts of other folds;
// one fold of all is fitted on itself.
func validate(set *scoring.Set, starts []start, fold func(*start) string) []*scoring.Start {
	folds := map[string][]start{}
	for i := range starts {
		k := fold(&starts[i])
		folds[k] = append(folds[k], starts[i])
	}
	var out []*scoring.Start
	for k, in := range folds {
		rest := starts
		if len(folds) > 1 {
			rest = slices.DeleteFunc(slices.Clone(starts), func(s start) bool { return fold(&s) == k })
		}
		e := vllm.With(fit(rest))
		for _, s := range in {
			if x := set.Plan(s.row, e); x != nil {
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(a, b *scoring.Start) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

func tally(w io.Writer, name, how string, rows []*scoring.Start) {
	var errs []float64
	within, inside, worst, high, ranged := 0, 0, "", -1.0, false
	for _, r := range rows {
		f, ok := r.Figures[name]
		if !ok {
			continue
		}
		e := math.Abs(f.Error)
		errs = append(errs, e)
		if e > high {
			worst, high = r.ID, e
		}
		ranged = f.Ranged
		if f.Within {
			within++
		}
		if f.Inside {
			inside++
		}
	}
	if len(errs) == 0 {
		return
	}
	in := "-"
	if ranged {
		in = fmt.Sprint(inside)
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%.2f%%\t%.1f%%\t%s\n", name, how, len(errs), within, in, 100*middle(errs), 100*high, worst)
}
