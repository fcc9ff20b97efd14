package scoring

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// measure is one figure of one record beside ours.
type measure struct {
	Figure   string  `json:"figure"`
	Where    string  `json:"where,omitempty"` // the device, when there are several
	Observed float64 `json:"observed"`
	Planned  float64 `json:"planned"`
	// Error is |planned − observed| ÷ observed, 1 when only one of them is 0.
	Error float64 `json:"error"`
	// Exact: the difference is within what the record rounds.
	Exact bool `json:"exact"`
	// Low and High are the plan's range, when it has one.
	Ranged bool    `json:"ranged,omitempty"`
	Low    float64 `json:"low,omitempty"`
	High   float64 `json:"high,omitempty"`
}

// rangeSlack is what rounding of several printed MiB may hide.
const rangeSlack = 0.05

// inside reports whether the record's figure is in the plan's range.
func (m *measure) inside() bool {
	return m.Observed >= m.Low-rangeSlack && m.Observed <= m.High+rangeSlack
}

// entry is one record, planned.
type entry struct {
	ID      string `json:"id"`
	Model   string `json:"model"`
	Matched string `json:"matched,omitempty"`
	Setting string `json:"setting,omitempty"`
	// Skipped is why the record was not planned.
	Skipped  string    `json:"skipped,omitempty"`
	Remarks  []string  `json:"remarks,omitempty"`
	Measures []measure `json:"measures,omitempty"`
}

// add compares a figure; slack is the largest difference that the record's
// rounding explains.
func (e *entry) add(figure, where string, observed, planned, slack float64) {
	m := measure{Figure: figure, Where: where, Observed: observed, Planned: planned, Exact: math.Abs(planned-observed) <= slack}
	switch {
	case observed == planned:
	case observed == 0:
		m.Error = 1
	default:
		m.Error = math.Abs(planned-observed) / math.Abs(observed)
	}
	if m.Exact {
		m.Error = 0
	}
	e.Measures = append(e.Measures, m)
}

// agree records whether a yes or no of the record is ours too.
func (e *entry) agree(figure string, same bool) {
	planned := 0.0
	if same {
		planned = 1
	}
	e.add(figure, "", 1, planned, 0)
}

func (e *entry) remark(format string, args ...any) {
	e.Remarks = append(e.Remarks, fmt.Sprintf(format, args...))
}

// section is all records of one kind.
type section struct {
	Kind    string  `json:"kind"`
	Planned int     `json:"planned"`
	Skipped int     `json:"skipped"`
	Summary []tally `json:"summary"`
	Rows    []entry `json:"rows"`
}

// tally says how close a figure came over records.
type tally struct {
	Figure   string `json:"figure"`
	N        int    `json:"n"`
	Exact    int    `json:"exact"`
	Within3  int    `json:"within_3_percent"`
	Within5  int    `json:"within_5_percent"`
	Within10 int    `json:"within_10_percent"`
	// Inside is how many of Of records with a range lie in it.
	Inside int     `json:"inside,omitempty"`
	Of     int     `json:"of,omitempty"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Worst  string  `json:"worst,omitempty"`
}

// tallied sums up the records of a kind; figures keep the order in which they
// first appear.
func tallied(kind string, rows []entry) section {
	s := section{Kind: kind, Rows: rows}
	at := map[string]int{}
	var errs [][]float64
	for i := range rows {
		e := &rows[i]
		if e.Skipped != "" {
			s.Skipped++
			continue
		}
		s.Planned++
		for _, m := range e.Measures {
			k, ok := at[m.Figure]
			if !ok {
				k = len(s.Summary)
				at[m.Figure] = k
				s.Summary, errs = append(s.Summary, tally{Figure: m.Figure}), append(errs, nil)
			}
			s.Summary[k].count(&m, e.ID)
			errs[k] = append(errs[k], m.Error)
		}
	}
	for k := range s.Summary {
		slices.Sort(errs[k])
		n := len(errs[k])
		s.Summary[k].Median = (errs[k][(n-1)/2] + errs[k][n/2]) / 2
	}
	return s
}

func (t *tally) count(m *measure, id string) {
	t.N++
	if m.Exact {
		t.Exact++
	}
	if m.Error <= 0.03 {
		t.Within3++
	}
	if m.Error <= 0.05 {
		t.Within5++
	}
	if m.Error <= 0.10 {
		t.Within10++
	}
	if m.Ranged {
		t.Of++
		if m.inside() {
			t.Inside++
		}
	}
	if !m.Exact && m.Error >= t.Max {
		t.Max, t.Worst = m.Error, id
	}
}

// ranged is the column of ranges.
func (t *tally) ranged() string {
	if t.Of == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", t.Inside, t.Of)
}

// worstRows is how many misses a report lists.
const worstRows = 25

func sectionsText(w io.Writer, sections []section) error {
	for i := range sections {
		s := &sections[i]
		fmt.Fprintf(w, "\n%s: %d rows planned, %d skipped\n", s.Kind, s.Planned, s.Skipped)
		tw := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
		fmt.Fprintln(tw, "  figure\tn\texact\t≤ 3 %\t≤ 5 %\t≤ 10 %\tin low–high\tmedian\tmax\tworst row")
		for _, t := range s.Summary {
			fmt.Fprintf(tw, "  %s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", t.Figure, t.N, t.Exact, t.Within3, t.Within5, t.Within10, t.ranged(), pct(t.Median), pct(t.Max), short(t.Worst))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		s.worst(w)
		s.left(w)
	}
	return nil
}

// worst lists the figures that are furthest off.
func (s *section) worst(w io.Writer) {
	type miss struct {
		e *entry
		m *measure
	}
	var all []miss
	for i := range s.Rows {
		for k := range s.Rows[i].Measures {
			if m := &s.Rows[i].Measures[k]; !m.Exact && s.Rows[i].Skipped == "" {
				all = append(all, miss{&s.Rows[i], m})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b miss) int { return cmp.Compare(b.m.Error, a.m.Error) })
	if len(all) > 0 {
		fmt.Fprintf(w, "  not exact: %d, the worst\n", len(all))
	}
	for _, x := range all[:min(len(all), worstRows)] {
		where := ""
		if x.m.Where != "" {
			where = " on " + x.m.Where
		}
		fmt.Fprintf(w, "    %s %s%s: planned %s, reported %s (%s) %s", x.e.ID, x.m.Figure, where, amount(x.m.Planned), amount(x.m.Observed), pct(x.m.Error), x.e.Setting)
		if len(x.e.Remarks) > 0 {
			fmt.Fprintf(w, " [%s]", strings.Join(x.e.Remarks, "; "))
		}
		fmt.Fprintln(w)
	}
}

func amount(x float64) string {
	if x == math.Trunc(x) {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// left lists the skipped rows by reason.
func (s *section) left(w io.Writer) {
	by := map[string][]string{}
	var reasons []string
	for i := range s.Rows {
		r := s.Rows[i].Skipped
		if r == "" {
			continue
		}
		if by[r] == nil {
			reasons = append(reasons, r)
		}
		by[r] = append(by[r], s.Rows[i].ID)
	}
	if len(reasons) == 0 {
		return
	}
	slices.Sort(reasons)
	fmt.Fprintln(w, "  skipped")
	for _, r := range reasons {
		fmt.Fprintf(w, "    %s: %d (%s)\n", r, len(by[r]), strings.Join(by[r], ", "))
	}
}

func sectionsMarkdown(w io.Writer, sections []section) error {
	for i := range sections {
		s := &sections[i]
		fmt.Fprintf(w, "\n%s: %d rows planned, %d skipped\n\n", s.Kind, s.Planned, s.Skipped)
		fmt.Fprintln(w, "| figure | n | exact | ≤ 3 % | ≤ 5 % | ≤ 10 % | in low–high | median | max |")
		fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
		for _, t := range s.Summary {
			if _, err := fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %s | %s | %s |\n", t.Figure, t.N, t.Exact, t.Within3, t.Within5, t.Within10, t.ranged(), pct(t.Median), pct(t.Max)); err != nil {
				return err
			}
		}
	}
	return nil
}
