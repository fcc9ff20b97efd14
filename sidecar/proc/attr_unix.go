//go:build unix && !linux

package proc

import (
	"os"
	"syscall"
)

// attributes: without a parent-death signal, children end at the end of their
// standard input, which helpers watch, or at the next start.
func attributes(detached bool) (*syscall.SysProcAttr, error) {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}, nil
	}
	return &syscall.SysProcAttr{Setpgid: true}, nil
}

func firstThread() bool { return false } // nothing follows a thread here

func (group) peak(s *os.ProcessState) int64 {
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		return int64(u.Maxrss) // bytes on macOS
	}
	return 0
}
