package sidecar_test

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// leaves says that a process can leave the group that it was started in, and
// outliveOwner how many of a child's two children outlive the child and us: all
// are in one job, which ends with us.
const (
	leaves       = false
	outliveOwner = 0
)

func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

func freeze(pid int) error {
	h, err := windows.OpenProcess(windows.PROCESS_SUSPEND_RESUME, false, uint32(pid))
	if err != nil {
		return err
	}
	defer windows.CloseHandle(h)
	if r, _, _ := windows.NewLazySystemDLL("ntdll.dll").NewProc("NtSuspendProcess").Call(uintptr(h)); r != 0 {
		return windows.NTStatus(r)
	}
	return nil
}
