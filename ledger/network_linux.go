package ledger

import (
	"os"
	"path/filepath"
)

// mountType returns the type of the file system that dir is on, "" when it
// cannot be told.
func mountType(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return typeOf(dir, string(table))
}
