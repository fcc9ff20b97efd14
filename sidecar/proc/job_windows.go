package proc

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// jobName is what the job of a process is called, in the session of its user.
func jobName(leader int, start uint64) string {
	return fmt.Sprintf(`Local\hwledger-%d-%x`, leader, start)
}

var openJobObject = kernel32.NewProc("OpenJobObjectW")

// openJob returns the job of a leader that was started by this program, in this
// run or an earlier one.
func openJob(leader int, start uint64) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(jobName(leader, start))
	if err != nil {
		return 0, err
	}
	h, _, err := openJobObject.Call(jobQuery, 0, uintptr(unsafe.Pointer(name)))
	if h == 0 {
		return 0, err
	}
	return windows.Handle(h), nil
}

// jobQuery is JOB_OBJECT_QUERY: to ask about a job, and nothing more.
const jobQuery = 4

// inJob returns the processes in a job that have not ended.
func inJob(job windows.Handle) (pids []int, known bool) {
	const head = 8 // how many there are, and how many of them are in the list
	for n := 64; n <= 1<<16; n *= 4 {
		buf := make([]uintptr, head/unsafe.Sizeof(uintptr(0))+uintptr(n))
		err := windows.QueryInformationJobObject(job, windows.JobObjectBasicProcessIdList, uintptr(unsafe.Pointer(&buf[0])), uint32(uintptr(len(buf))*unsafe.Sizeof(buf[0])), nil)
		if err == windows.ERROR_MORE_DATA {
			continue
		}
		if err != nil {
			return nil, false
		}
		listed := *(*[2]uint32)(unsafe.Pointer(&buf[0]))
		for _, pid := range buf[head/unsafe.Sizeof(buf[0]):][:listed[1]] {
			pids = append(pids, int(pid))
		}
		return pids, true
	}
	return nil, false
}

// newJob makes the job of a process that does not run yet and puts it in. One
// that is bound ends with the last handle to it. One that is not gives a handle
// to the process itself, so that the job is found by its name for as long as
// the process runs, whoever else ends.
func newJob(h windows.Handle, pid int, bound bool) (windows.Handle, error) {
	start, err := started(h)
	if err != nil {
		return 0, err
	}
	name, err := windows.UTF16PtrFromString(jobName(pid, start))
	if err != nil {
		return 0, err
	}
	job, err := windows.CreateJobObject(nil, name)
	if err != nil {
		return 0, err
	}
	if pids, known := inJob(job); !known || len(pids) > 0 { // no other has had the name
		windows.CloseHandle(job)
		return 0, errors.New("another program has a job of its name")
	}
	if bound {
		limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE}}
		_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	}
	if err == nil {
		err = windows.AssignProcessToJobObject(job, h)
	}
	if err == nil && !bound {
		var theirs windows.Handle
		err = windows.DuplicateHandle(windows.CurrentProcess(), job, h, &theirs, jobQuery, false, 0)
	}
	if err != nil {
		windows.CloseHandle(job)
		return 0, err
	}
	return job, nil
}

// resume lets a process run that was started suspended. It has one thread.
func resume(pid int) error {
	all, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(all)
	t := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(all, &t); err == nil; err = windows.Thread32Next(all, &t) {
		if t.OwnerProcessID != uint32(pid) {
			continue
		}
		h, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, t.ThreadID)
		if err != nil {
			return err
		}
		_, err = windows.ResumeThread(h)
		windows.CloseHandle(h)
		return err
	}
	return fmt.Errorf("looking for its thread: %w", err)
}
