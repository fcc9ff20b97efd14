package main

import (
	"fmt"
	"os"
	"os/user"
	"strings"

	"hwledger/tools"
)

// doctor prints what is detected, what is missing and what to do, to be pasted
// into a report.
func doctor(e *env, args []string) int {
	f := newFlags(e, "doctor")
	if code, ok := parseFlags(e, f, args); !ok {
		return code
	}
	s, err := surface(e, tools.Options{})
	if err != nil {
		return misuse(e, "%v", err)
	}
	text, err := s.Doctor(e.ctx)
	if err != nil {
		fmt.Fprintf(e.stderr, "hwledger-mcp: doctor: %v\n", err)
		return exitError
	}
	fmt.Fprint(e.stdout, withoutNames(text, ownNames()))
	return exitOK
}

// ownNames are the names of this machine and of its user.
func ownNames() map[string]string {
	names := map[string]string{}
	if host, err := os.Hostname(); err == nil {
		names[host] = "HOST"
	}
	if u, err := user.Current(); err == nil {
		names[u.Username] = "USER"
		names[u.Name] = "USER"
	}
	return names
}

// withoutNames replaces names where they stand as words. Short and common ones
// stay: they tell nothing, and are parts of much else.
func withoutNames(text string, names map[string]string) string {
	for name, mark := range names {
		if len(name) < 4 || name == "root" || name == "localhost" || name == "user" {
			continue
		}
		text = replaceWord(text, name, mark)
	}
	return text
}

// replaceWord replaces word in text where no letter or digit adjoins it.
func replaceWord(text, word, with string) string {
	var b strings.Builder
	for {
		i := strings.Index(text, word)
		if i < 0 {
			return b.String() + text
		}
		end := i + len(word)
		b.WriteString(text[:i])
		if i > 0 && alphanumeric(text[i-1]) || end < len(text) && alphanumeric(text[end]) {
			b.WriteString(word)
		} else {
			b.WriteString(with)
		}
		text = text[end:]
	}
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
