// Package shell writes words for a POSIX shell.
package shell

import "strings"

// Quote returns word so that a POSIX shell reads it as one word with exactly
// these bytes. (POSIX 2.2.2: within single quotes every character stands for
// itself.) A NUL cannot be in an argument and is left out.
func Quote(word string) string {
	word = strings.ReplaceAll(word, "\x00", "")
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// plain are the characters that mean nothing to a shell anywhere in a word.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+@%"

// Join quotes words and puts spaces between them.
func Join(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}
