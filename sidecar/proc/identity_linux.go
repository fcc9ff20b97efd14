package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// stat is what is read of /proc/PID/stat.
type stat struct {
	state byte
	group int
	start uint64
}

// parseStat reads a line of /proc/PID/stat. The program's name, in
// parentheses, may hold anything.
func parseStat(b []byte) (stat, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return stat{}, fmt.Errorf("no name in it")
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 || f[0] == "" { // fields 3 to 22
		return stat{}, fmt.Errorf("%d fields", len(f))
	}
	group, err := strconv.Atoi(f[2])
	if err != nil {
		return stat{}, err
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	return stat{state: f[0][0], group: group, start: start}, err
}

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

// CanIdentify reports whether processes are known again here.
const CanIdentify = true

// Identify returns who has the number now. A zombie is nobody.
func Identify(pid int) (Identity, error) {
	s, err := readStat(pid)
	if err != nil {
		return Identity{}, err
	}
	if s.state == 'Z' || s.state == 'X' {
		return Identity{}, fmt.Errorf("process %d has ended", pid)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Identity{}, err
	}
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil {
		exe = "" // another user's
	}
	return Identity{PID: pid, Start: s.start, Boot: strings.TrimSpace(string(boot)), Exe: exe}, nil
}

// Members returns the processes of a group that have not ended.
func Members(pgid int) (pids []int, known bool) {
	all, err := numbers()
	for _, pid := range all {
		if s, err := readStat(pid); err == nil && s.group == pgid && s.state != 'Z' && s.state != 'X' {
			pids = append(pids, pid)
		}
	}
	return pids, err == nil
}

// numbers are those of all processes.
func numbers() (pids []int, err error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// AllMarked returns the processes that were started with mark, NAME=value, in
// their environment and have not ended.
func AllMarked(mark string) (pids []int) {
	all, _ := numbers() // those that can be seen
	self := os.Getpid()
	for _, pid := range all {
		if pid > 1 && pid != self && Marked(pid, mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Marked reports whether the process was started with mark, NAME=value, in its
// environment.
func Marked(pid int, mark string) bool {
	if mark == "" {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	for _, v := range bytes.Split(b, []byte{0}) {
		if string(v) == mark {
			return true
		}
	}
	return false
}

// Resident is the memory that a group has now in bytes: its own, and pages of
// files that it has mapped.
func Resident(pgid int) (anonymous, files int64) {
	pids, _ := Members(pgid)
	for _, pid := range pids {
		status := "/proc/" + strconv.Itoa(pid) + "/status"
		anonymous += (field(status, "RssAnon:") + field(status, "RssShmem:")) << 10
		files += field(status, "RssFile:") << 10
	}
	return anonymous, files
}

// Moved is how many bytes a group has read from and written to storage.
func Moved(pgid int) (n int64) {
	pids, _ := Members(pgid)
	for _, pid := range pids {
		io := "/proc/" + strconv.Itoa(pid) + "/io"
		n += field(io, "read_bytes:") + field(io, "write_bytes:")
	}
	return n
}

// field returns the number after a name at the beginning of a line.
func field(path, name string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseInt(f[0], 10, 64) // 0 when it is none
				return n
			}
		}
	}
	return 0
}
