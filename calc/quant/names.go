package quant

import (
	"sort"
	"strings"

	"hwledger/calc/model"
)

// unknown returns the error for a name that is none of known: the nearest ones
// are its candidates.
func unknown(field, what, name string, known []string) *model.Error {
	e := model.Errorf(model.InvalidArgument, field, "unknown %s %q", what, clip(name))
	e.Candidates = nearest(name, known, 5)
	return e.WithHint("use one of the candidates")
}

// clip bounds a name that is quoted back.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// nearest returns at most n of known, most alike first.
func nearest(name string, known []string, n int) []string {
	type scored struct {
		name string
		d    int
	}
	name = fold(clip(name))
	all := make([]scored, 0, len(known))
	for _, k := range known {
		f := fold(k)
		d := 2 * distance(name, f)
		if name != "" && (strings.HasPrefix(f, name) || strings.HasPrefix(name, f)) {
			d -= 3
		}
		all = append(all, scored{k, d})
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].d < all[j].d })
	out := make([]string, 0, n)
	for i := 0; i < len(all) && i < n; i++ {
		out = append(out, all[i].name)
	}
	return out
}

// fold drops case and separators.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '-', '_', '.', ' ', ':':
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// distance is the number of single-byte edits between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			up := row[j]
			row[j] = min(row[j]+1, row[j-1]+1, diag+btoi(a[i-1] != b[j-1]))
			diag = up
		}
	}
	return row[len(b)]
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
