package scoring

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is all rows with their summary.
type report struct {
	Rows     []result  `json:"rows"`
	Summary  []summary `json:"summary"`
	Distinct []summary `json:"distinct"` // one value for each (model, TP, version)
	Planned  int       `json:"planned"`
	Skipped  int       `json:"skipped"`
	// Sections are the records of other kinds.
	Sections []section `json:"sections,omitempty"`
}

// summary is the error of one figure over rows.
type summary struct {
	Figure string  `json:"figure"`
	Tier   string  `json:"tier"`
	N      int     `json:"n"`
	Mean   float64 `json:"mean"` // of absolute errors
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
	Worst  string  `json:"worst"`
	// Within is how many are within Limit, beyond what the print rounds.
	Within int     `json:"within"`
	Limit  float64 `json:"limit"`
	// Inside is how many logged figures lie in the plan's low–high range; Of
	// how many have one.
	Inside int `json:"inside"`
	Of     int `json:"of"`
}

// figures are the columns of the report with their limits.
var figures = []struct {
	name, unit string
	limit      float64
	get        func(*result) *figure
	ranged     bool
}{
	{"KV bytes per token", "B", 0.002, func(r *result) *figure { return r.PerToken }, false},
	{"weights", "GiB", 0.01, func(r *result) *figure { return r.Weights }, false},
	{"capacity tokens", "", 0.01, func(r *result) *figure { return r.Capacity }, false},
	{"max concurrency", "", 0.01, func(r *result) *figure { return r.Concurrency }, false},
	{"one full request", "GiB", 0.01, func(r *result) *figure { return r.Request }, false},
	{"activation", "GiB", 0.15, func(r *result) *figure { return r.Activation }, true},
	{"outside PyTorch", "GiB", 0.15, func(r *result) *figure { return r.NonTorch }, true},
	{"CUDA graphs", "GiB", 0.5, func(r *result) *figure { return r.Graphs }, true},
	{"total without cache", "GiB", 0.05, func(r *result) *figure { return r.Total }, true},
	{"predicted pool", "GiB", 0.05, func(r *result) *figure { return r.Pool }, false},
}

func summarise(rows []result) report {
	rep := report{Rows: rows}
	for i := range rows {
		if rows[i].Skipped != "" {
			rep.Skipped++
		} else {
			rep.Planned++
		}
	}
	for k := range figures {
		for _, tier := range []string{"A", "B", sglangTier} {
			if s := column(rows, k, tier, false); s.N > 0 {
				rep.Summary = append(rep.Summary, s)
			}
			if s := column(rows, k, tier, true); s.N > 0 {
				rep.Distinct = append(rep.Distinct, s)
			}
		}
	}
	return rep
}

// column summarises one figure over the rows of a tier; distinct keeps the
// worst row of each model, tensor-parallel size and version.
func column(rows []result, k int, tier string, distinct bool) summary {
	f := figures[k]
	s := summary{Figure: f.name, Tier: tier, Limit: f.limit}
	worst := map[string]*result{}
	var pick []*result
	for i := range rows {
		r := &rows[i]
		x := f.get(r)
		if x == nil || r.Skipped != "" || r.Tier != tier {
			continue
		}
		if !distinct {
			pick = append(pick, r)
			continue
		}
		key := fmt.Sprintf("%s|%d|%s", r.Matched, r.TP, r.Version)
		if w := worst[key]; w == nil || math.Abs(f.get(w).Error) < math.Abs(x.Error) {
			worst[key] = r
		}
	}
	for _, r := range worst {
		pick = append(pick, r)
	}
	var errs []float64
	for _, r := range pick {
		x := f.get(r)
		e := math.Abs(x.Error)
		errs = append(errs, e)
		s.Mean += e
		if e >= s.Max {
			s.Max, s.Worst = e, r.ID
		}
		if x.beyond() <= f.limit {
			s.Within++
		}
		if f.ranged {
			s.Of++
			if x.inside() {
				s.Inside++
			}
		}
	}
	if s.N = len(errs); s.N > 0 {
		s.Mean /= float64(s.N)
		slices.Sort(errs)
		s.Median = (errs[(s.N-1)/2] + errs[s.N/2]) / 2
	}
	return s
}

func (rep *report) json(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(rep)
}

func pct(x float64) string { return fmt.Sprintf("%.2f%%", 100*x) }

// cell prints an error with the planned figure's sign, or a dash.
func cell(f *figure) string {
	if f == nil {
		return "-"
	}
	return fmt.Sprintf("%+.2f%%", 100*f.Error)
}

func (rep *report) text(w io.Writer) error {
	if len(rep.Rows) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "tier\trow\tmatched\tversion\ttp\tKV B/token\tweights\tcapacity\tconcurrency\tactivation\ttotal\tin range\tremarks")
	var skipped []*result
	for i := range rep.Rows {
		r := &rep.Rows[i]
		if r.Skipped != "" {
			skipped = append(skipped, r)
			continue
		}
		in := "-"
		if r.Total != nil {
			in = fmt.Sprint(r.Total.inside())
		}
		remarks := slices.Clone(r.Remarks)
		if f := r.Request; f != nil {
			remarks = append(remarks, fmt.Sprintf("one request %.2f GiB, planned %.2f", f.Observed, f.Planned))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Tier, short(r.ID), r.Matched, short12(r.Version), r.TP,
			cell(r.PerToken), cell(r.Weights), cell(r.Capacity), cell(r.Concurrency), cell(r.Activation), cell(r.Total), in, strings.Join(remarks, "; "))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d rows planned, %d skipped\n\nall rows\n", rep.Planned, rep.Skipped)
	if err := table(w, rep.Summary); err != nil {
		return err
	}
	fmt.Fprint(w, "\none (model, tensor parallel, version) each, its worst row\n")
	if err := table(w, rep.Distinct); err != nil {
		return err
	}
	unscored := map[string][]string{}
	for i := range rep.Rows {
		if r := &rep.Rows[i]; r.Unscored != "" {
			unscored[r.Unscored] = append(unscored[r.Unscored], r.ID)
		}
	}
	if len(unscored) > 0 {
		fmt.Fprint(w, "\nplanned, but without a total to compare\n")
	}
	for _, why := range slices.Sorted(maps.Keys(unscored)) {
		fmt.Fprintf(w, "  %s: %d (%s)\n", why, len(unscored[why]), strings.Join(unscored[why], ", "))
	}
	slices.SortFunc(skipped, func(a, b *result) int { return cmp.Or(cmp.Compare(a.Skipped, b.Skipped), cmp.Compare(a.ID, b.ID)) })
	fmt.Fprint(w, "\nskipped\n")
	for _, r := range skipped {
		fmt.Fprintf(w, "  %s (%s): %s\n", r.ID, r.Model, r.Skipped)
	}
	return nil
}

func table(w io.Writer, rows []summary) error {
	tw := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "  figure\ttier\tn\tmean\tmedian\tmax\twithin limit\tin low–high\tworst row")
	for _, s := range rows {
		fmt.Fprintf(tw, "  %s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Figure, s.Tier, s.N, pct(s.Mean), pct(s.Median), pct(s.Max), s.within(), s.ranged(), short(s.Worst))
	}
	return tw.Flush()
}

func (s *summary) within() string {
	return fmt.Sprintf("%d/%d ≤ %g%%", s.Within, s.N, 100*s.Limit)
}

func (s *summary) ranged() string {
	if s.Of == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", s.Inside, s.Of)
}

func (rep *report) markdown(w io.Writer) error {
	if len(rep.Rows) == 0 {
		return nil
	}
	fmt.Fprintln(w, "| figure | tier | models × TP × versions | mean error | median | max | within limit | in low–high |")
	fmt.Fprintln(w, "|---|---|--:|--:|--:|--:|--:|--:|")
	for _, s := range rep.Distinct {
		fmt.Fprintf(w, "| %s | %s | %d | %s | %s | %s | %s | %s |\n", s.Figure, s.Tier, s.N, pct(s.Mean), pct(s.Median), pct(s.Max), s.within(), s.ranged())
	}
	return nil
}

func short(id string) string {
	if len(id) > 52 {
		return id[:51] + "…"
	}
	return id
}

func short12(v string) string {
	if len(v) > 12 {
		return v[:11] + "…"
	}
	return v
}

// writeCompact prints the rows that can be scored, with the fields that
// scoring reads.
func writeCompact(w io.Writer, rows []row) error {
	enc := json.NewEncoder(w)
	for i := range rows {
		r := &rows[i]
		if r.Engine != "vllm" || r.Tier == "C" || r.TP == nil || r.parseFailure != nil {
			continue
		}
		r.Notes = r.hints().text(r.Notes)
		if strings.HasPrefix(r.Source, "public code index") {
			r.Source = ""
		}
		r.GPU, _, _ = strings.Cut(r.GPU, " (size")
		if i := strings.LastIndexByte(r.Model, '('); i > 0 {
			r.Model = strings.TrimSpace(r.Model[:i])
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}
