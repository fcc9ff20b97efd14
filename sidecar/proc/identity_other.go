//go:build !linux && !darwin && !windows

package proc

import "errors"

// CanIdentify reports whether processes are known again here.
const CanIdentify = false

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

// Resident is not known here.
func Resident(int) (anonymous, files int64) { return 0, 0 }

// Moved is not known here.
func Moved(int) int64 { return 0 }
