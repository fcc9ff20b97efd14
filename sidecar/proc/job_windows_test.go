package proc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/windows"
)

// wine reports whether this is Wine and not Windows.
func wine() bool {
	return windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
}

// forgets reports whether this system knows nothing of a process's memory when
// it has ended: Windows does as long as there is a handle, Wine does not.
func forgets() bool { return wine() }

// A child that shares our console is asked to end; one that has its own cannot
// be, and is ended at once.
func TestAsked(t *testing.T) {
	if wine() {
		t.Skip("Wine 10 takes CTRL_BREAK for a group and does not deliver it")
	}
	if os.Getenv("CONSOLE") == "" { // it is run again where there is a console
		cmd := exec.Command(os.Args[0], "-test.run=^TestAsked$", "-test.v")
		cmd.Env = append(os.Environ(), "CONSOLE=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NO_WINDOW}
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("PASS")) {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	s := NewStarter()
	defer s.Close()
	for _, detached := range []bool{false, true} {
		p := child(t, s, "polite", detached)
		if _, err := p.Stdout.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if !p.Stop(time.Minute) || time.Since(began) > 30*time.Second {
			t.Errorf("detached %v: it did not end, or late", detached)
		}
		if x := p.Exit(); detached != (x.Signal == "killed") || !detached && x.Code != 5 {
			t.Errorf("detached %v: %+v", detached, x)
		}
	}
}

// A program in a job that ends with its owner starts what outlives it only
// where the job lets its processes out, and says so where it does not.
func TestBreakaway(t *testing.T) {
	if wine() {
		t.Skip("Wine 10 says of every job that it has no limits")
	}
	const kill = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	for name, c := range map[string]struct {
		limits   uint32
		outlives bool
	}{
		"closed": {kill, false}, "open": {kill | windows.JOB_OBJECT_LIMIT_BREAKAWAY_OK, true}, "silent": {kill | windows.JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK, true},
	} {
		t.Run(name, func(t *testing.T) {
			job, err := windows.CreateJobObject(nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			closed := false
			defer func() {
				if !closed {
					windows.CloseHandle(job)
				}
			}()
			limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: c.limits}}
			if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "CHILD=owner")
			cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_SUSPENDED}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			h, err := windows.OpenProcess(windows.PROCESS_ALL_ACCESS, false, uint32(cmd.Process.Pid))
			if err == nil {
				err = windows.AssignProcessToJobObject(job, h)
				windows.CloseHandle(h)
			}
			if err == nil {
				err = resume(cmd.Process.Pid)
			}
			if err != nil {
				_ = cmd.Process.Kill() // it did nothing yet
				t.Fatal(err)
			}
			var bound, free int
			if n, _ := fmt.Fscan(out, &bound, &free); !c.outlives {
				rest, err := io.ReadAll(out)
				if n != 1 || err != nil || cmd.Wait() == nil {
					t.Errorf("%d, %v: %s", n, err, rest)
				}
				return
			}
			windows.CloseHandle(job)
			closed = true
			_ = cmd.Wait() // it was killed
			who, err := Identify(free)
			if err != nil {
				t.Fatalf("the detached one ended: %v", err)
			}
			if !EndGroup(who, "", 0) || who.Same() {
				t.Error("something is left")
			}
		})
	}
}

// An environment is read as Windows keeps it; a variable is found whole only.
func TestEnvironment(t *testing.T) {
	block := utf16.Encode([]rune("A=1\x00MARK=x\x00Ünï=ö\x00\x00"))
	for variable, want := range map[string]bool{"A=1": true, "MARK=x": true, "Ünï=ö": true, "MARK=": false, "MARK=xy": false, "ARK=x": false, "A=": false} {
		if hasVariable(block, variable) != want {
			t.Errorf("%s: %v", variable, !want)
		}
	}
	s := NewStarter()
	defer s.Close()
	p := child(t, s, "stubborn", false)
	defer p.Stop(0)
	for mark, want := range map[string]bool{"MARK=" + t.Name(): true, "CHILD=stubborn": true, "MARK=": false, "": false} {
		if Marked(p.Identity.PID, mark) != want || slices.Contains(AllMarked(mark), p.Identity.PID) != want {
			t.Errorf("%q: %v", mark, !want)
		}
	}
	if Marked(0, "MARK=x") || Marked(4, "MARK=x") {
		t.Error("the system is marked")
	}
}

// What a group has and moves is known while it runs.
func TestMeters(t *testing.T) {
	s := NewStarter()
	defer s.Close()
	p := child(t, s, "stubborn", false)
	if _, err := p.Stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if n, _ := Resident(p.Identity.PID); n < 1<<20 || n > 1<<30 {
		t.Errorf("%d bytes are resident", n)
	}
	p.Stop(0)
	if n, _ := Resident(p.Identity.PID); n != 0 || Moved(p.Identity.PID) != 0 {
		t.Errorf("%d bytes are resident of one that has ended", n)
	}
}

// Rows of the tables of listeners: only those count where 127.0.0.1 is
// answered.
func TestListeners(t *testing.T) {
	row4 := func(address string, port uint16, pid uint32) []byte {
		b := make([]byte, tcp4.row)
		copy(b[4:], address)
		binary.BigEndian.PutUint16(b[8:], port)
		binary.LittleEndian.PutUint32(b[20:], pid)
		return b
	}
	row6 := func(address string, port uint16, pid uint32) []byte {
		b := make([]byte, tcp6.row)
		copy(b, address)
		binary.BigEndian.PutUint16(b[20:], port)
		binary.LittleEndian.PutUint32(b[52:], pid)
		return b
	}
	table := func(rows ...[]byte) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, uint32(len(rows))), bytes.Join(rows, nil)...)
	}
	const here, all = "\x7f\x00\x00\x01", ""
	four := table(row4(here, 80, 7), row4(all, 80, 8), row4("\x0a\x00\x00\x01", 80, 9), row4(here, 81, 10))
	if got := tcp4.listeners(four, 80); !slices.Equal(got, []uint32{7, 8}) {
		t.Errorf("%v", got)
	}
	six := table(row6(all, 80, 7), row6(strings.Repeat("\x00", 15)+"\x01", 80, 8), row6(all, 20480, 9))
	if got := tcp6.listeners(six, 80); !slices.Equal(got, []uint32{7}) {
		t.Errorf("%v", got)
	}
	for cut := range four { // rows that are not there are not read
		tcp4.listeners(four[:cut], 80)
	}
}
