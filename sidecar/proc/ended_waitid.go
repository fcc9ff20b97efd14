//go:build linux || darwin

package proc

import (
	"os"
	"syscall"
	"unsafe"
)

// awaitEnd returns when the child has ended, and leaves it a zombie: until it
// is reaped its number, which is its group's, is given to nobody else.
func awaitEnd(p *os.Process) bool {
	const byPID = 1     // P_PID
	var info [16]uint64 // a siginfo_t has at most 128 bytes
	for {
		_, _, e := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(p.Pid), uintptr(unsafe.Pointer(&info)), syscall.WEXITED|syscall.WNOWAIT, 0, 0)
		if e != syscall.EINTR {
			return e == 0
		}
	}
}
