package proc

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// group is a job object, which ends with its last handle and takes all its
// processes with it.
type group struct {
	job     windows.Handle
	process *os.Process
}

func newGroup(p *os.Process, detached bool) group {
	g := group{process: p}
	if detached {
		return g // it has to outlive our handles
	}
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return g
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE}}
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err == nil {
		var h windows.Handle
		if h, err = windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(p.Pid)); err == nil {
			err = windows.AssignProcessToJobObject(job, h)
			windows.CloseHandle(h)
		}
	}
	if err != nil {
		windows.CloseHandle(job)
		return g
	}
	g.job = job
	return g
}

func (g group) terminate() {
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(g.process.Pid)) // without a console it stays until it is killed
}

func (g group) kill() {
	if g.job != 0 {
		_ = windows.TerminateJobObject(g.job, 1) // it may have ended
		return
	}
	_ = g.process.Kill() // it may have ended
}

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

// end ends what the leader left in its job.
func (g group) end(time.Duration) bool {
	if g.job != 0 {
		_ = windows.TerminateJobObject(g.job, 1) // it may have ended
	}
	return true
}

// close gives the job back, after its last use.
func (g group) close() {
	if g.job != 0 {
		windows.CloseHandle(g.job)
	}
}

func firstThread() bool { return false } // nothing follows a thread here

func signalled(*os.ProcessState) string { return "" }
func peak(*os.ProcessState) int64       { return 0 }

func attributes(bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}
