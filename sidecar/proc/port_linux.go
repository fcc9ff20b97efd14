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
	inodes, ok := listeners(port)
	if !ok {
		return Unknown
	}
	if len(inodes) == 0 {
		return Nobody
	}
	pids, _ := Members(pgid)
	for _, pid := range pids {
		fds := "/proc/" + strconv.Itoa(pid) + "/fd"
		dir, err := os.Open(fds)
		if err != nil {
			continue
		}
		names, _ := dir.Readdirnames(-1) // what can be read
		dir.Close()
		for _, n := range names {
			if to, err := os.Readlink(fds + "/" + n); err == nil && inodes[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] {
				return Ours
			}
		}
	}
	return Stranger
}

// listeners returns the inodes of the sockets that listen on the port.
func listeners(port int) (map[string]bool, bool) {
	out, read := map[string]bool{}, false
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		read = true
		for s := bufio.NewScanner(f); s.Scan(); {
			if inode, ok := listening(s.Text(), port); ok {
				out[inode] = true
			}
		}
		f.Close()
	}
	return out, read
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
