package main

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"hwledger/internal/scoring"
)

var update = flag.Bool("update", false, "write the table of package calibration")

func open(t *testing.T) (*scoring.Set, []start) {
	t.Helper()
	set, err := scoring.Open([]string{"../../" + rowsFile}, "")
	if err != nil {
		t.Fatal(err)
	}
	return set, plan(set, nil)
}

// The embedded table is what the command makes of the rows in the repository.
func TestTable(t *testing.T) {
	_, starts := open(t)
	want := comment + fit(starts).String()
	path := "../../" + tableFile
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("the table is out of date: go test ./internal/calibrate -update")
	}
}

// Rows of models that were left out of the fit: at least 85 % fall within ±5 %
// and inside the range. The README says how many do.
func TestHoldsForModelsLeftOut(t *testing.T) {
	set, starts := open(t)
	n, within, inside := 0, 0, 0
	for _, r := range validate(set, starts, func(s *start) string { return s.Model }) {
		f, ok := r.Figures["total without cache"]
		if !ok {
			continue
		}
		n++
		if f.Within {
			within++
		}
		if f.Inside {
			inside++
		}
	}
	if n < 90 || within*100 < n*85 || inside*100 < n*85 {
		t.Errorf("%d rows, %d within ±5 %%, %d inside the range", n, within, inside)
	}
}

// What other models took on the same devices makes plans better: of publishers
// left out of the fit more totals fall within ±5 %, and more inside the range.
func TestHistoryHelps(t *testing.T) {
	set, starts := open(t)
	without, one, all := afterOthers(set, starts)
	count := func(rows []*scoring.Start) (n, within, inside int) {
		for _, r := range rows {
			if f, ok := r.Figures["total without cache"]; ok {
				n++
				if f.Within {
					within++
				}
				if f.Inside {
					inside++
				}
			}
		}
		return n, within, inside
	}
	n, within, inside := count(without)
	for name, rows := range map[string][]*scoring.Start{"one start": one, "all starts": all} {
		m, w, in := count(rows)
		if m != n || n < 60 || w < within+5 || w*100 < 84*n || in < inside+7 || in*100 < 84*n {
			t.Errorf("%s: %d of %d within ±5 %%, %d inside the range; without %d and %d of %d", name, w, m, in, within, inside, n)
		}
	}
}

// The order of rows does not decide the table.
func TestFitIgnoresOrder(t *testing.T) {
	_, starts := open(t)
	want := fit(starts).String()
	for i, j := 0, len(starts)-1; i < j; i, j = i+1, j-1 {
		starts[i], starts[j] = starts[j], starts[i]
	}
	if got := fit(starts).String(); got != want {
		t.Errorf("reversed rows give\n%s\nnot\n%s", got, want)
	}
}

func TestCommand(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"../../" + rowsFile}, &out, &errs); code != 0 || !bytes.Contains(out.Bytes(), []byte("other models")) {
		t.Errorf("run = %d, %q", code, errs.String())
	}
	if code := run([]string{"no such file"}, &out, &errs); code != 1 {
		t.Errorf("run without a file = %d", code)
	}
	if code := run([]string{"-nonsense"}, &out, &errs); code != 2 {
		t.Errorf("run with a wrong flag = %d", code)
	}
}
