//go:build !unix

package proc

import "time"

// EndGroup cannot know what is left of a group here; its job has ended it.
func EndGroup(Identity, string, time.Duration) bool { return true }

func endMarked(string, time.Duration) bool { return true }
