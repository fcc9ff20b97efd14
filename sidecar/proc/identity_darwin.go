package proc

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// CanIdentify reports whether processes are known again here.
const CanIdentify = true

// Identify returns who has the number now.
func Identify(pid int) (Identity, error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return Identity{}, err
	}
	const zombie = 5 // SZOMB
	if k.Proc.P_stat == zombie || int(k.Proc.P_pid) != pid {
		return Identity{}, fmt.Errorf("process %d has ended", pid)
	}
	boot, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return Identity{}, err
	}
	start := k.Proc.P_starttime
	return Identity{
		PID: pid, Start: uint64(start.Sec)*1e6 + uint64(start.Usec), Boot: fmt.Sprint(boot.Sec),
		Exe: unix.ByteSliceToString(k.Proc.P_comm[:]),
	}, nil
}

// Members returns the processes of a group that have not ended.
func Members(pgid int) (pids []int, known bool) {
	ps, err := unix.SysctlKinfoProcSlice("kern.proc.pgrp", pgid)
	if err != nil {
		return nil, false
	}
	const zombie = 5 // SZOMB
	for i := range ps {
		if ps[i].Proc.P_stat != zombie {
			pids = append(pids, int(ps[i].Proc.P_pid))
		}
	}
	return pids, true
}

// Marked is not known here: the environment of others cannot be read.
func Marked(int, string) bool { return false }

// AllMarked finds none here.
func AllMarked(string) []int { return nil }

// Resident is not known here.
func Resident(int) (anonymous, files int64) { return 0, 0 }

// Moved is not known here.
func Moved(int) int64 { return 0 }
