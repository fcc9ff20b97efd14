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

// needed returns texts of which every match of a pattern has at least one, nil
// when there are none.
func needed(pattern string) []string {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil { // MustCompile says so
		return nil
	}
	return literals(tree)
}

// literals returns the texts of one part of an expression: of parts in a row
// those that tell the most, of branches those of each.
func literals(p *syntax.Regexp) []string {
	switch p.Op {
	case syntax.OpLiteral:
		if p.Flags&syntax.FoldCase == 0 {
			return []string{string(p.Rune)}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return literals(p.Sub[0])
	case syntax.OpConcat:
		var best []string
		for _, sub := range p.Sub {
			if w := literals(sub); shortest(w) > shortest(best) {
				best = w
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range p.Sub {
			w := literals(sub)
			if len(w) == 0 {
				return nil
			}
			all = append(all, w...)
		}
		return all
	}
	return nil
}

// shortest is the length of the shortest text, 0 for none.
func shortest(words []string) int {
	n := 0
	for i, w := range words {
		if i == 0 || len(w) < n {
			n = len(w)
		}
	}
	return n
}
