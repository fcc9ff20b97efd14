package calibration

import (
	"strings"
	"testing"

	"hwledger/calc/engine"
)

// The table in the repository is read, and says what the starts of H100s that
// it was made from print: 0.24 to 0.46 GiB outside PyTorch on one rank, 0.51
// before the first reading.
func TestDefault(t *testing.T) {
	if _, err := Parse(embedded); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		term      string
		low, high engine.Bytes
	}{{"memory outside PyTorch", 240, 480}, {"device context", 520, 525}} {
		f, ok := Default().Find(Key{"vllm", c.term, "nvidia", "1"}, Release{0, 19, 0})
		if !ok || f.Samples < 10 || engine.Bytes(f.Low) < c.low || engine.Bytes(f.High) > c.high || f.Unit != engine.MiB {
			t.Errorf("%s: %+v, %v", c.term, f, ok)
		}
	}
}

func TestFindBySince(t *testing.T) {
	table, err := Parse(header + `
e	a	c	1	0.0.0	MiB	1	2	3	1	1	1
e	a	c	1	0.18.0	KiB	4	5	6	7	8	2
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		r    Release
		want int64
	}{{Release{0, 17, 9}, 2}, {Release{0, 18, 0}, 5}, {Release{1, 0, 0}, 5}, {Release{}, 2}} {
		f, ok := table.Find(Key{"e", "a", "c", "1"}, c.r)
		if !ok || f.Median != c.want {
			t.Errorf("%s: %d, want %d", c.r, f.Median, c.want)
		}
	}
	if _, ok := table.Find(Key{"e", "a", "other", "1"}, Release{}); ok {
		t.Error("found a figure of a class that has none")
	}
	term := table.Figures[1].Term("a", engine.Runtime, []int{0})
	if term.Bytes != 5<<10 || term.Low != 4<<10 || term.High != 6<<10 || term.Confidence != engine.Measured || term.Inputs[0].Value != 7 {
		t.Errorf("%+v", term)
	}
}

func TestParseRefuses(t *testing.T) {
	good := "e\ta\tc\t1\t0.0.0\tMiB\t1\t2\t3\t1\t1\t1"
	for name, text := range map[string]string{
		"columns":  "engine\tterm\n" + good,
		"short":    header + "\ne\ta",
		"unit":     header + "\n" + strings.Replace(good, "MiB", "MB", 1),
		"release":  header + "\n" + strings.Replace(good, "0.0.0", "0.0", 1),
		"number":   header + "\n" + strings.Replace(good, "\t2\t", "\ttwo\t", 1),
		"overflow": header + "\n" + strings.Replace(good, "\t3\t", "\t99999999999\t", 1),
		"order":    header + "\n" + strings.Replace(good, "\t1\t2\t3", "\t3\t2\t1", 1),
	} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(embedded)
	f.Add(header + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(table.String())
		if err != nil || len(again.Figures) != len(table.Figures) {
			t.Errorf("not read again: %v", err)
		}
	})
}
