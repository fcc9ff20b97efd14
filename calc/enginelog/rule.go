package enginelog

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
)

// rule is what one form of line means. Most programs that hold this package
// never read a log, so that an expression is compiled when one is.
type rule struct {
	re func() *regexp.Regexp
	// words are texts of which every line of the form has one, none when the
	// form has none: almost all lines are told apart by them alone.
	words func() []string
	do    func(r *reading, m []string)
}

// on makes a rule.
func on(pattern string, do func(r *reading, m []string)) rule {
	return rule{
		re:    sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) }),
		words: sync.OnceValue(func() []string { return needed(pattern) }),
		do:    do,
	}
}

// escape are the colours of a terminal.
var escape = on("\x1b\\[[0-9;?]*[A-Za-z]", nil)

// match returns what the expression captures in a line, nil without a match.
func (r *rule) match(line string) []string {
	words := r.words()
	found := len(words) == 0
	for _, w := range words {
		found = found || strings.Contains(line, w)
	}
	if !found {
		return nil
	}
	return r.re().FindStringSubmatch(line)
}

// needed returns the longest text that a match has for sure, or one for each
// branch of an expression that is only branches; nil when there is none.
func needed(pattern string) []string {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil { // MustCompile says so
		return nil
	}
	parts := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpConcat {
		parts = tree.Sub
	}
	if w := longest(parts); w != "" {
		return []string{w}
	}
	var words []string
	for _, p := range parts {
		if p.Op != syntax.OpAlternate {
			continue
		}
		words = words[:0]
		for _, branch := range p.Sub {
			sub := []*syntax.Regexp{branch}
			if branch.Op == syntax.OpConcat {
				sub = branch.Sub
			}
			w := longest(sub)
			if w == "" {
				return nil
			}
			words = append(words, w)
		}
		return words
	}
	return nil
}

// longest returns the longest literal of a sequence.
func longest(parts []*syntax.Regexp) string {
	out := ""
	for _, p := range parts {
		if s := string(p.Rune); p.Op == syntax.OpLiteral && p.Flags&syntax.FoldCase == 0 && len(s) > len(out) {
			out = s
		}
	}
	return out
}
