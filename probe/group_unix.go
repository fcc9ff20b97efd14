//go:build unix

package probe

import (
	"os/exec"
	"syscall"
)

// alone gives cmd a process group, which is killed as one: what a tool's
// script started ends with it.
func alone(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
