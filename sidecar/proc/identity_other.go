//go:build !linux && !darwin

package proc

import "errors"

// Identify is not known here.
func Identify(int) (Identity, error) {
	return Identity{}, errors.New("processes cannot be identified on this system")
}

// Members is not known here.
func Members(int) ([]int, bool) { return nil, false }

// Marked is not known here.
func Marked(int, string) bool { return false }

// AllMarked finds none here.
func AllMarked(string) []int { return nil }

// Usage is not known here.
func Usage(int) (resident, moved int64) { return 0, 0 }
