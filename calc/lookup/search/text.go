package search

import (
	"strings"

	"hwledger/calc/near"
)

// How a name matched, best first.
const (
	exact  = iota // the whole name, or the part after the organisation
	prefix        // the name begins with the text
	words         // all words of the text are in the name
	fuzzy         // the name is like the text
	other         // the place that was asked matched by its own rules
)

// matchNames are what matched_by says.
var matchNames = [...]string{"exact name", "beginning of the name", "words of the name", "similar name", "the Hub's own search"}

// matcher compares names with one text.
type matcher struct {
	whole string // squashed
	words []string
}

func newMatcher(text string) matcher {
	m := matcher{whole: near.Squash(text)}
	for _, w := range strings.FieldsFunc(strings.ToLower(text), separates) {
		m.words = append(m.words, strings.Trim(w, "."))
	}
	return m
}

// empty reports a text that has nothing to compare: every name matches.
func (m *matcher) empty() bool { return m.whole == "" }

// rank returns how well name matches; false when it does not.
func (m *matcher) rank(name string) (int, bool) {
	if m.empty() {
		return other, true
	}
	full := near.Squash(name)
	_, base, _ := strings.Cut(name, "/")
	short := near.Squash(base)
	switch {
	case full == m.whole || short == m.whole:
		return exact, true
	case strings.HasPrefix(full, m.whole) || strings.HasPrefix(short, m.whole):
		return prefix, true
	}
	tokens := strings.FieldsFunc(strings.ToLower(name), separates)
	for _, w := range m.words {
		if !contains(tokens, full, w) {
			return 0, false
		}
	}
	return words, true
}

// contains reports whether a token begins with the word. Short words, such as
// sizes, must begin one: 8b is not in 1.8b. Longer ones may be anywhere.
func contains(tokens []string, full, word string) bool {
	for _, t := range tokens {
		if strings.HasPrefix(t, word) {
			return true
		}
	}
	w := near.Squash(word)
	return len(w) > 3 && strings.Contains(full, w)
}

// separates reports characters between words; a dot stays within a number.
func separates(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.')
}

// similar returns the names most like the text, for a text that no name
// matches.
func (m *matcher) similar(text string, names []string) []string {
	const most = 10
	out := near.Names(text, names, most)
	bases := make([]string, len(names))
	byBase := map[string][]string{}
	for i, n := range names {
		_, bases[i], _ = strings.Cut(n, "/")
		byBase[bases[i]] = append(byBase[bases[i]], n)
	}
	seen := map[string]bool{}
	for _, n := range out {
		seen[n] = true
	}
	for _, b := range near.Names(text, bases, most) {
		for _, n := range byBase[b] {
			if !seen[n] && len(out) < most {
				seen[n] = true
				out = append(out, n)
			}
		}
	}
	return out
}
