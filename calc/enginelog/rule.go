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
	// word is a text that every line of the form has, "" when the form has
	// none: almost all lines are told apart by it alone.
	word func() string
	do   func(r *reading, m []string)
}

// on makes a rule.
func on(pattern string, do func(r *reading, m []string)) rule {
	return rule{
		re:   sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) }),
		word: sync.OnceValue(func() string { return needed(pattern) }),
		do:   do,
	}
}

// escape are the colours of a terminal.
var escape = on("\x1b\\[[0-9;?]*[A-Za-z]", nil)

// match returns what the expression captures in a line, nil without a match.
func (r *rule) match(line string) []string {
	if !strings.Contains(line, r.word()) {
		return nil
	}
	return r.re().FindStringSubmatch(line)
}

// needed returns the longest text that a match has for sure.
func needed(pattern string) string {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil { // MustCompile says so
		return ""
	}
	parts := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpConcat {
		parts = tree.Sub
	}
	longest := ""
	for _, p := range parts {
		if s := string(p.Rune); p.Op == syntax.OpLiteral && p.Flags&syntax.FoldCase == 0 && len(s) > len(longest) {
			longest = s
		}
	}
	return longest
}
