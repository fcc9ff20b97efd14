package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// group is a job object, with all that its first process starts. The handle to
// that one keeps its number from being given to another.
type group struct {
	job, leader windows.Handle
	pid         int
	// asks says that it shares our console, through which it can be asked to end.
	asks bool
}

// attributes of a process that does not run before it is in its job: nothing
// that it starts can be outside.
func attributes(detached bool) (*syscall.SysProcAttr, error) {
	flags := uint32(windows.CREATE_NEW_PROCESS_GROUP | windows.CREATE_SUSPENDED)
	if !sharesConsole(detached) {
		flags |= windows.CREATE_NO_WINDOW // a console of its own, which nobody closes
	}
	if detached {
		free, err := breakaway()
		if err != nil {
			return nil, err
		}
		flags |= free
	}
	return &syscall.SysProcAttr{CreationFlags: flags}, nil
}

// sharesConsole reports whether a child gets our console. A detached one does
// not, since it would end with it; and without one it would open a window.
func sharesConsole(detached bool) bool {
	if detached {
		return false
	}
	console, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	console.Close()
	return true
}

// breakaway returns the flag with which a child is not in the job that this
// process is in. It fails when that job lets nobody out and ends with its owner:
// then nothing started here can outlive it.
func breakaway() (uint32, error) {
	var job windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	if windows.QueryInformationJobObject(0, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&job)), uint32(unsafe.Sizeof(job)), nil) != nil {
		return windows.CREATE_BREAKAWAY_FROM_JOB, nil // it is in none
	}
	switch limits := job.BasicLimitInformation.LimitFlags; {
	case limits&windows.JOB_OBJECT_LIMIT_BREAKAWAY_OK != 0:
		return windows.CREATE_BREAKAWAY_FROM_JOB, nil
	case limits&windows.JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK != 0, limits&windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE == 0:
		return 0, nil
	}
	return 0, errors.New("what started this server ends all that it starts with it: nothing can outlive it")
}

// newGroup puts a suspended process into its job and lets it run.
func newGroup(p *os.Process, detached bool) (group, error) {
	g := group{pid: p.Pid, asks: sharesConsole(detached)}
	var err error
	if g.leader, err = windows.OpenProcess(windows.PROCESS_ALL_ACCESS, false, uint32(p.Pid)); err != nil {
		return g, err
	}
	if g.job, err = newJob(g.leader, p.Pid, !detached); err == nil {
		err = resume(p.Pid)
	}
	if err != nil {
		g.close()
		return group{}, fmt.Errorf("putting it into a job: %w", err)
	}
	return g, nil
}

// terminate asks for the end, and reports whether that could be done.
func (g group) terminate() bool {
	return g.asks && windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(g.pid)) == nil
}

func (g group) kill() { _ = windows.TerminateJobObject(g.job, killed) } // it may have ended

// killed is the exit code of what was ended here. No program ends with it by
// itself: it has the bits of an error that is a user's own.
const killed = 0xE0484B49

// awaitEnd returns when the child has ended.
func awaitEnd(p *os.Process) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(p.Pid))
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	_, err = windows.WaitForSingleObject(h, windows.INFINITE)
	return err == nil
}

// end ends what the leader left in its job, and reports whether nothing is
// left. There is no asking: they have no console of ours.
func (g group) end(time.Duration) bool {
	g.kill()
	end := time.Now().Add(unkillable)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if pids, known := inJob(g.job); !known || len(pids) == 0 {
			return known
		}
		if time.Now().After(end) {
			return false
		}
		time.Sleep(pause) // a job tells only who listens on a port of completions
	}
}

// close gives the handles back, after their last use.
func (g group) close() {
	for _, h := range []windows.Handle{g.job, g.leader} {
		if h != 0 {
			windows.CloseHandle(h)
		}
	}
}

// peak is the most memory that the leader had resident, in bytes.
func (g group) peak(*os.ProcessState) int64 { return memory(g.leader).peak }

func firstThread() bool { return false } // nothing follows a thread here

func signalled(s *os.ProcessState) string {
	if uint32(s.ExitCode()) == killed {
		return "killed"
	}
	return ""
}

// endings are the ways to end a process that is not a child: to be asked it
// would have to share our console.
func endings(time.Duration) []ending {
	return []ending{{do: Identity.kill, wait: unkillable, again: true}}
}

// kill ends the process unless it has ended. The handle keeps its number its
// own until it is known whose that is, and until it has ended.
func (i Identity) kill() {
	h, err := windows.OpenProcess(windows.PROCESS_TERMINATE|windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(i.PID))
	if err != nil {
		return
	}
	defer windows.CloseHandle(h)
	if now, err := identify(h, i.PID); err == nil && now.is(i) {
		_ = windows.TerminateProcess(h, killed) // it may have ended
	}
}
