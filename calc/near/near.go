// Package near finds the names that are most like a misspelt one, for the
// candidates in error answers.
package near

import (
	"sort"
	"strings"
)

// Names returns at most n of names, most similar to query first. Letters'
// case and punctuation do not count. A name qualifies when it contains the
// query or the query contains it, or when at most a third of the query's
// characters have to change.
func Names(query string, names []string, n int) []string {
	q := Squash(query)
	if q == "" {
		return nil
	}
	type scored struct {
		name string
		cost int
	}
	var found []scored
	for _, name := range names {
		s := Squash(name)
		if cost, ok := distance(q, s); ok {
			found = append(found, scored{name, cost})
		}
	}
	sort.SliceStable(found, func(i, j int) bool {
		if found[i].cost != found[j].cost {
			return found[i].cost < found[j].cost
		}
		return found[i].name < found[j].name
	})
	out := make([]string, 0, n)
	for _, f := range found {
		if len(out) == n {
			break
		}
		out = append(out, f.name)
	}
	return out
}

// Squash returns s in lower case without anything but letters and digits.
func Squash(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, s)
}

// distance returns how far two squashed names are apart: what is left over
// when one contains the other, else twice the edit distance.
func distance(q, s string) (int, bool) {
	if strings.Contains(s, q) || len(s) > 3 && strings.Contains(q, s) {
		return max(len(s)-len(q), len(q)-len(s)), true
	}
	limit := len(q) / 3
	if len(q) > 64 || max(len(s)-len(q), len(q)-len(s)) > limit {
		return 0, false
	}
	d := edits(q, s)
	return 2 * d, d <= limit
}

// edits is the Levenshtein distance of two short strings.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
