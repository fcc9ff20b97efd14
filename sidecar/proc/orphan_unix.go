//go:build unix

package proc

import (
	"syscall"
	"time"
)

// EndGroup ends what is left of a sidecar of an earlier run: the process of
// the identity with its group, and every process that has the mark in its
// environment. Nothing else is signalled: when the process has ended, its
// number may be a stranger's. It reports whether nothing is left.
func EndGroup(i Identity, mark string, grace time.Duration) bool {
	gone := true
	if _, err := i.ours(mark); i.PID > 1 && err == nil {
		g := group(i.PID)
		g.terminate()
		for end := time.Now().Add(grace); i.Same() && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond) // it is nobody's child here: nothing tells of its end
		}
		if i.Same() {
			g.kill()
		}
		gone = g.end(grace)
	}
	return endMarked(mark, grace) && gone
}

// endMarked ends the processes that have the mark: those that left their
// group, and those whose leader has ended.
func endMarked(mark string, grace time.Duration) bool {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		pids := AllMarked(mark)
		for _, pid := range pids {
			_ = syscall.Kill(pid, sig) // it may have ended
		}
		for end := time.Now().Add(max(grace, time.Second)); len(pids) > 0 && time.Now().Before(end); pids = AllMarked(mark) {
			time.Sleep(5 * time.Millisecond) // as above
		}
		if len(pids) == 0 {
			return true
		}
	}
	return false
}
