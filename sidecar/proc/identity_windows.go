package proc

import (
	"fmt"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

// CanIdentify reports whether processes are known again here.
const CanIdentify = true

// Identify returns who has the number now. One that has ended is nobody, though
// its number stays taken while somebody has a handle to it.
func Identify(pid int) (Identity, error) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return Identity{}, err
	}
	defer windows.CloseHandle(h)
	return identify(h, pid)
}

// identify is Identify by a handle, which keeps the number from being given to
// another for as long as it is open.
func identify(h windows.Handle, pid int) (Identity, error) {
	if state, err := windows.WaitForSingleObject(h, 0); err != nil || state != uint32(windows.WAIT_TIMEOUT) {
		return Identity{}, fmt.Errorf("process %d has ended", pid)
	}
	start, err := started(h)
	if err != nil {
		return Identity{}, err
	}
	run, err := boot()
	if err != nil {
		return Identity{}, err
	}
	name := make([]uint16, windows.MAX_LONG_PATH)
	size := uint32(len(name))
	if windows.QueryFullProcessImageName(h, 0, &name[0], &size) != nil {
		size = 0 // it has ended in between, or is another user's
	}
	return Identity{PID: pid, Start: start, Boot: run, Exe: windows.UTF16ToString(name[:size])}, nil
}

// started is when a process was made, in units of 100 ns: what the clock said
// then, which later changes of the clock leave as it is.
func started(h windows.Handle) (uint64, error) {
	var made, ended, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &made, &ended, &kernel, &user); err != nil {
		return 0, err
	}
	return uint64(made.HighDateTime)<<32 | uint64(made.LowDateTime), nil
}

// boot is when the system was started. Windows moves that time when the clock
// is set, and keeps in the bias by how much: without it the time stays.
var boot = sync.OnceValues(func() (string, error) {
	var t struct { // SYSTEM_TIMEOFDAY_INFORMATION
		boot, now, zone  int64
		zoneID, reserved uint32
		bias, sleep      int64
	}
	if err := windows.NtQuerySystemInformation(windows.SystemTimeOfDayInformation, unsafe.Pointer(&t), uint32(unsafe.Sizeof(t)), nil); err != nil {
		return "", fmt.Errorf("asking when the system was started: %w", err)
	}
	return strconv.FormatInt(t.boot-t.bias, 10), nil
})

// Members returns the processes of a group by its leader: those in its job.
func Members(leader int) (pids []int, known bool) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(leader))
	if err != nil {
		return nil, false
	}
	defer windows.CloseHandle(h)
	start, err := started(h)
	if err != nil {
		return nil, false
	}
	job, err := openJob(leader, start)
	if err != nil {
		return nil, false
	}
	defer windows.CloseHandle(job)
	return inJob(job)
}

// AllMarked returns the processes that were started with mark, NAME=value, in
// their environment and have not ended.
func AllMarked(mark string) (pids []int) {
	self := windows.GetCurrentProcessId()
	for _, pid := range numbers() {
		if pid != 0 && pid != self && Marked(int(pid), mark) {
			pids = append(pids, int(pid))
		}
	}
	return pids
}

// numbers are those of all processes.
func numbers() []uint32 {
	for n := 1 << 10; n <= 1<<20; n *= 2 {
		all, size := make([]uint32, n), uint32(0)
		if windows.EnumProcesses(all, &size) != nil {
			return nil
		}
		if got := int(size / 4); got < n { // else there may be more
			return all[:got]
		}
	}
	return nil
}

// Resident is the memory that a group has now in bytes. Pages of files are in
// the sum of each process and are not told apart.
func Resident(leader int) (anonymous, files int64) {
	pids, _ := Members(leader)
	for _, pid := range pids {
		withProcess(pid, func(h windows.Handle) { anonymous += memory(h).now })
	}
	return anonymous, 0
}

// Moved is how many bytes a group has read and written.
func Moved(leader int) (n int64) {
	pids, _ := Members(leader)
	for _, pid := range pids {
		withProcess(pid, func(h windows.Handle) {
			var c struct{ operations, bytes [3]uint64 } // IO_COUNTERS: read, written, other
			if r, _, _ := ioCounters.Call(uintptr(h), uintptr(unsafe.Pointer(&c))); r != 0 {
				n += int64(c.bytes[0] + c.bytes[1])
			}
		})
	}
	return n
}

func withProcess(pid int, do func(windows.Handle)) {
	if h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid)); err == nil {
		do(h)
		windows.CloseHandle(h)
	}
}

var (
	kernel32   = windows.NewLazySystemDLL("kernel32.dll")
	ioCounters = kernel32.NewProc("GetProcessIoCounters")
	memoryInfo = kernel32.NewProc("K32GetProcessMemoryInfo")
)

// held is the memory that a process has resident, in bytes; 0 when unknown.
type held struct{ now, peak int64 }

// memory asks for it; the peak can still be asked for when it has ended.
func memory(h windows.Handle) held {
	var c struct { // PROCESS_MEMORY_COUNTERS
		size, faults   uint32
		peak, resident uintptr
		other          [6]uintptr
	}
	c.size = uint32(unsafe.Sizeof(c))
	if r, _, _ := memoryInfo.Call(uintptr(h), uintptr(unsafe.Pointer(&c)), uintptr(c.size)); r == 0 {
		return held{}
	}
	return held{now: int64(c.resident), peak: int64(c.peak)}
}
