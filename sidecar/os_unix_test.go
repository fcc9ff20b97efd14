//go:build unix

package sidecar_test

import "syscall"

// leaves says that a process can leave the group that it was started in, and
// outliveOwner how many of a child's two children outlive the child and us.
const (
	leaves       = true
	outliveOwner = 2
)

// apart starts a process in a session of its own.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func freeze(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }
