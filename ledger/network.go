package ledger

import (
	"strings"

	"hwledger/internal/fault"
)

// refuseNetwork fails when dir is on a file system of another machine:
// SQLite's write-ahead log needs memory that all its users share, and locks
// that hold, and has neither there.
func refuseNetwork(dir string) error {
	t := mountType(dir)
	if !isNetwork(t) {
		return nil
	}
	return fault.New(fault.Denied, dir, "the ledger's directory is on a network file system (%s), where a database is not safe", t).
		WithHint("set HWLEDGER_HOME to a directory on a local disk; copy the ledger with hwledger-mcp ledger backup")
}

// networkTypes are the file systems, as the kernel names them, that lie on
// another machine.
var networkTypes = map[string]bool{
	"nfs": true, "nfs4": true, "cifs": true, "smb": true, "smb2": true, "smb3": true, "smbfs": true, "ncpfs": true,
	"afs": true, "afpfs": true, "webdav": true, "9p": true, "ceph": true, "glusterfs": true, "lustre": true,
	"gpfs": true, "beegfs": true, "orangefs": true, "coda": true, "gfs2": true, "ocfs2": true,
}

// localFuse are the file systems in user space that keep their files here.
var localFuse = map[string]bool{
	"fuse.fuse-overlayfs": true, "fuse.gocryptfs": true, "fuse.encfs": true, "fuse.cryfs": true, "fuse.securefs": true,
	"fuse.mergerfs": true, "fuse.ntfs-3g": true, "fuse.exfat": true, "fuse.bindfs": true, "fuse.lxcfs": true,
}

func isNetwork(t string) bool {
	return networkTypes[t] || strings.HasPrefix(t, "fuse.") && !localFuse[t]
}

// typeOf finds the type of dir's file system in a table of mounts, proc(5)
// /proc/pid/mountinfo: the mount point is the fifth field, the type the first
// after a field of one hyphen.
func typeOf(dir, table string) string {
	best, found := -1, ""
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := unescape(fields[4])
		if !below(dir, point) || len(point) < best { // a later mount covers an earlier one
			continue
		}
		for i := 5; i+1 < len(fields); i++ {
			if fields[i] == "-" {
				best, found = len(point), fields[i+1]
				break
			}
		}
	}
	return found
}

func below(dir, point string) bool {
	return point == "/" || dir == point || strings.HasPrefix(dir, point+"/")
}

// unescape undoes the kernel's octal escapes of space, tab, newline and
// backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
