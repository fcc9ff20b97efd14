package proc

import (
	"os"
	"syscall"
)

func attributes(detached bool) (*syscall.SysProcAttr, error) {
	if detached {
		return &syscall.SysProcAttr{Setsid: true}, nil
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}, nil
}

func firstThread() bool { return syscall.Gettid() == syscall.Getpid() }

func (group) peak(s *os.ProcessState) int64 {
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10
	}
	return 0
}
