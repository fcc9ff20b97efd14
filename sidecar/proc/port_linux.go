package proc

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// PortOwner reports whether a process of the group listens on the TCP port of
// this machine, another does, or nobody.
func PortOwner(port, pgid int) Owner {
	pids, _ := Members(pgid) // those that can be seen
	ours := map[string]bool{}
	for _, pid := range pids {
		for _, inode := range sockets(pid) {
			ours[inode] = true
		}
	}
	out := Unknown
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		switch now := listener(path, port, ours); now {
		case Ours:
			return Ours
		case Unknown:
		default:
			out = max(out, now)
		}
	}
	return out
}

// sockets returns the inodes of a process's sockets.
func sockets(pid int) (inodes []string) {
	fds := "/proc/" + strconv.Itoa(pid) + "/fd"
	dir, err := os.Open(fds)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what can be read
	for _, n := range names {
		if to, err := os.Readlink(fds + "/" + n); err == nil {
			if inode, ok := strings.CutPrefix(to, "socket:["); ok {
				inodes = append(inodes, strings.TrimSuffix(inode, "]"))
			}
		}
	}
	return inodes
}

// tableLine is the length of a line of /proc/net/tcp. The kernel makes as many
// lines as a read asks for, the listeners first; to find the rest it looks
// through a table that takes it milliseconds.
const tableLine = 150

// listener looks for the port in one of the kernel's tables until it finds a
// listener that is ours.
func listener(path string, port int, ours map[string]bool) Owner {
	f, err := os.Open(path)
	if err != nil {
		return Unknown
	}
	defer f.Close()
	out := Nobody
	s := bufio.NewScanner(f)
	s.Buffer(make([]byte, tableLine), 64*tableLine)
	for s.Scan() {
		inode, ok := listening(s.Text(), port)
		switch {
		case !ok:
		case ours[inode]:
			return Ours
		default:
			out = Stranger
		}
	}
	return out
}

// listening reads a line of /proc/net/tcp: sl, local, remote, state, …, inode.
func listening(line string, port int) (inode string, ok bool) {
	f := strings.Fields(line)
	const listen = "0A"
	if len(f) < 10 || f[3] != listen {
		return "", false
	}
	_, hex, found := strings.Cut(f[1], ":")
	n, err := strconv.ParseUint(hex, 16, 16)
	return f[9], found && err == nil && int(n) == port
}
