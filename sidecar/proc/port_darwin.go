package proc

import (
	"bytes"
	"context"
	"os/exec"
	"strconv"
	"time"
)

// PortOwner reports whether a process of the group listens on the TCP port of
// this machine, another does, or nobody, as lsof says, which is part of macOS.
func PortOwner(port, pgid int) Owner {
	ours, ok := listening(port, "-a", "-g", strconv.Itoa(pgid))
	if !ok {
		return Unknown
	}
	if ours {
		return Ours
	}
	anybody, ok := listening(port)
	switch {
	case !ok:
		return Unknown
	case anybody:
		return Stranger
	}
	return Nobody
}

// listening reports whether lsof lists a listener on the port, of those that
// the options select.
func listening(port int, options ...string) (some, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/sbin/lsof", append(options, "-nP", "-t", "-iTCP:"+strconv.Itoa(port), "-sTCP:LISTEN")...)
	cmd.Env = []string{}
	out, err := cmd.Output()
	if len(bytes.TrimSpace(out)) > 0 {
		return true, true
	}
	// It ends with 1 when there is nothing to list.
	return false, err == nil || cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 1
}
