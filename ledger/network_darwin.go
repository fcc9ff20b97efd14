package ledger

import "golang.org/x/sys/unix"

// mountType returns the type of the file system that dir is on, "" when it
// cannot be told.
func mountType(dir string) string {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return ""
	}
	return unix.ByteSliceToString(s.Fstypename[:])
}
