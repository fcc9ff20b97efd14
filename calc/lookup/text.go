package lookup

import (
	"strings"
	"unicode"
)

// MaxText is the longest text from a file that is passed on, in characters.
const MaxText = 200

// Clean returns s as one line of at most limit characters without what could
// deceive a reader: control characters, bidirectional overrides, zero-width
// and other invisible characters, and bytes that are not UTF-8.
func Clean(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t' || r == '\r' || r == '\u2028' || r == '\u2029':
			r = ' '
		case r == unicode.ReplacementChar, unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs), invisible(r):
			continue
		}
		if n == limit {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}

// invisible reports runes that take no room but are not format characters.
func invisible(r rune) bool {
	return r == '\u034F' || r == '\u115F' || r == '\u1160' || r == '\u3164' || r == '\uFFA0' ||
		r >= '\uFE00' && r <= '\uFE0F' || r >= 0xE0100 && r <= 0xE01EF
}
