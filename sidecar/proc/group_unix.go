//go:build unix

package proc

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// group is a process group by its leader's number. The number stays taken
// while anything is in the group, and while its leader is not reaped: only
// then may it be signalled.
type group int

func newGroup(p *os.Process, _ bool) (group, error) { return group(p.Pid), nil }

// terminate asks for the end, and reports whether that could be done.
func (g group) terminate() bool {
	_ = syscall.Kill(-int(g), syscall.SIGTERM) // it may have ended
	return true
}

func (g group) kill() { _ = syscall.Kill(-int(g), syscall.SIGKILL) } // it may have ended

// alive reports whether the group has a member that is not a zombie: one that
// nobody reaps would look alive for ever.
func (g group) alive() bool {
	if errors.Is(syscall.Kill(-int(g), 0), syscall.ESRCH) {
		return false
	}
	members, known := Members(int(g))
	return !known || len(members) > 0
}

// end ends what the leader left behind, and reports whether nothing is left.
func (g group) end(grace time.Duration) bool {
	if !g.alive() {
		return true
	}
	g.terminate()
	if g.gone(grace) {
		return true
	}
	g.kill()
	return g.gone(unkillable)
}

// close has nothing to give back.
func (g group) close() {}

// gone waits until the group is.
func (g group) gone(most time.Duration) bool {
	end := time.Now().Add(most)
	for pause := time.Millisecond; g.alive(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(pause) // the kernel tells nobody of the end of a grandchild
	}
	return true
}

// endings are the ways to end a process that is not a child, one after another.
func endings(grace time.Duration) []ending {
	return []ending{
		{do: func(i Identity) { i.signal(syscall.SIGTERM) }, wait: max(grace, time.Second)},
		{do: func(i Identity) { i.signal(syscall.SIGKILL) }, wait: unkillable, again: true},
	}
}

// signal sends the signal to the process unless it has ended. On Linux the
// handle is the process's and not the number's, so that nobody else can be
// reached in between.
func (i Identity) signal(s syscall.Signal) {
	p, err := os.FindProcess(i.PID)
	if err != nil {
		return
	}
	defer p.Release()
	if i.Same() {
		_ = p.Signal(s) // it may have ended
	}
}

func signalled(s *os.ProcessState) string {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return w.Signal().String()
	}
	return ""
}
