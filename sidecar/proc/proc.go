// Package proc runs child processes that leave nothing behind: each is the
// leader of a process group of its own, ends with this process unless it is
// detached, and is known by more than its number, so that a signal never
// reaches a stranger who got the number later.
package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// Spec is what to start.
type Spec struct {
	// Path is the program's file, Args what follows it. No shell is involved.
	Path string
	Args []string
	// Env is the whole environment, as NAME=value; nothing is inherited.
	Env []string
	Dir string
	// Output takes standard output and error; without it they are pipes.
	Output *os.File
	// Mark is one of Env, which all that the process starts has too: what left
	// its group is known by it.
	Mark string
	// Detached processes outlive this one.
	Detached bool
}

// Process is a running child.
type Process struct {
	// Identity is who it is, for as long as it runs.
	Identity Identity
	// Stdin is open until the process is gone: some end with its end. Detached
	// processes have none.
	Stdin io.WriteCloser
	// Stdout and Stderr are the reading ends, nil with Spec.Output.
	Stdout, Stderr *os.File

	cmd  *exec.Cmd
	mark string
	kin  group
	done chan struct{}
	// exit and clean are set before done is closed; clean says that nothing is
	// left of the group.
	exit  Exit
	clean bool

	// mu is held to signal the group and to reap its leader. Once the leader is
	// reaped, the group's number may be a stranger's.
	mu     sync.Mutex
	reaped bool
}

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code, -1 after a signal.
	Code int
	// Signal names what ended it, "" for none.
	Signal string
	// Peak is the most memory that it had resident in bytes, 0 when unknown.
	Peak int64
	// CPU is the processor time it used.
	CPU time.Duration
}

// String says how it ended.
func (e Exit) String() string {
	if e.Signal != "" {
		return "ended by signal: " + e.Signal
	}
	if why, ok := statuses[uint32(e.Code)]; ok {
		return fmt.Sprintf("exit code 0x%X: %s", e.Code, why)
	}
	if e.Code > 0xFFFF {
		return fmt.Sprintf("exit code 0x%X", e.Code)
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// statuses are exit codes that Windows gives a program that it ends: NTSTATUS
// values, of [MS-ERREF] 2.3.1.
var statuses = map[uint32]string{
	0xC0000005: "it used memory that it does not have",
	0xC0000017: "there was not enough memory",
	0xC000001D: "the processor does not have an instruction that it uses",
	0xC00000FD: "its stack is full",
	0xC0000135: "a DLL that it needs is missing",
	0xC0000139: "a DLL that it needs is of another version",
	0xC0000142: "a DLL that it needs does not start",
	0xC0000409: "it found its own memory damaged, or gave up",
}

// Starter starts processes from one thread that lives as long as it does. On
// Linux the kernel's parent-death signal follows the thread that started the
// child, and Go ends threads as it likes; this one it keeps.
type Starter struct {
	jobs chan func()
	done chan struct{}
}

// NewStarter returns a starter. Close it after its last child has ended.
func NewStarter() *Starter {
	s := &Starter{jobs: make(chan func()), done: make(chan struct{})}
	go s.keep()
	return s
}

// keep takes a thread for itself. The first thread of a program does not end
// with its goroutine, so that another is taken while this one is held.
func (s *Starter) keep() {
	runtime.LockOSThread()
	if !firstThread() {
		s.work()
		return
	}
	taken := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(taken)
		s.work()
	}()
	<-taken
	runtime.UnlockOSThread()
}

// work starts what is asked for. The thread is never unlocked: it ends with the
// goroutine.
func (s *Starter) work() {
	defer close(s.done)
	for job := range s.jobs {
		job()
	}
}

// Close ends the thread. Children that are not detached end with it on Linux.
func (s *Starter) Close() {
	close(s.jobs)
	<-s.done
}

// Start starts a process.
func (s *Starter) Start(spec Spec) (*Process, error) {
	p := &Process{mark: spec.Mark, done: make(chan struct{}), cmd: &exec.Cmd{Path: spec.Path, Args: append([]string{spec.Path}, spec.Args...), Env: spec.Env, Dir: spec.Dir}}
	if spec.Env == nil {
		p.cmd.Env = []string{} // nil would inherit
	}
	theirs, err := p.streams(spec)
	if err != nil {
		return nil, err
	}
	if p.cmd.SysProcAttr, err = attributes(spec.Detached); err == nil {
		started := make(chan error, 1)
		s.jobs <- func() { started <- p.cmd.Start() }
		err = <-started
	}
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		p.closePipes()
		return nil, fmt.Errorf("starting %s: %w", spec.Path, err)
	}
	if p.kin, err = newGroup(p.cmd.Process, spec.Detached); err != nil {
		_ = p.cmd.Process.Kill() // it did nothing yet
		_ = p.cmd.Wait()         // it was killed
		p.closePipes()
		return nil, fmt.Errorf("starting %s: %w", spec.Path, err)
	}
	p.Identity, err = Identify(p.cmd.Process.Pid)
	if err != nil { // where processes cannot be identified, the number has to do
		p.Identity = Identity{PID: p.cmd.Process.Pid}
	}
	go p.wait()
	return p, nil
}

// streams connects the child and returns the ends that are its own.
func (p *Process) streams(spec Spec) (theirs []*os.File, err error) {
	defer func() {
		if err != nil {
			p.closePipes()
			for _, f := range theirs {
				f.Close()
			}
		}
	}()
	if spec.Output != nil {
		p.cmd.Stdout, p.cmd.Stderr = spec.Output, spec.Output
	} else {
		for _, x := range []struct {
			mine **os.File
			to   *io.Writer
		}{{&p.Stdout, &p.cmd.Stdout}, {&p.Stderr, &p.cmd.Stderr}} {
			r, w, err := os.Pipe()
			if err != nil {
				return theirs, err
			}
			*x.mine, *x.to = r, w
			theirs = append(theirs, w)
		}
	}
	if !spec.Detached {
		r, w, err := os.Pipe()
		if err != nil {
			return theirs, err
		}
		p.cmd.Stdin, p.Stdin = r, w
		theirs = append(theirs, r)
	}
	return theirs, nil
}

func (p *Process) closePipes() {
	if p.Stdin != nil {
		p.Stdin.Close()
	}
	for _, f := range []*os.File{p.Stdout, p.Stderr} {
		if f != nil {
			f.Close()
		}
	}
}

// wait ends what a child that has ended left in its group, and reaps it.
func (p *Process) wait() {
	p.clean = true
	if awaitEnd(p.cmd.Process) {
		p.clean = p.kin.end(leftGrace)
	}
	p.mu.Lock()
	err := p.cmd.Wait()
	p.reaped = true
	state := p.cmd.ProcessState
	p.exit = Exit{Code: -1}
	if state != nil {
		p.exit = Exit{Code: state.ExitCode(), Signal: signalled(state), Peak: p.kin.peak(state), CPU: state.UserTime() + state.SystemTime()}
	}
	if p.exit.Signal != "" {
		p.exit.Code = -1
	}
	p.kin.close()
	p.mu.Unlock()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		p.exit.Signal = err.Error()
	}
	close(p.done)
}

// leftGrace is how long processes may take to end whose leader has ended.
const leftGrace = time.Second

// Done is closed when the process has ended, with its group, and was reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is how it ended, after Done.
func (p *Process) Exit() Exit { return p.exit }

// signal does what signals the group, unless its leader was reaped.
func (p *Process) signal(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		do()
	}
}

// Stop asks the group to end, and after grace ends it; at once where it cannot
// be asked. It returns when nothing of it is left, with the pipes closed; false means that something is left in
// spite of all, such as a process in an uninterruptible wait.
func (p *Process) Stop(grace time.Duration) bool {
	defer p.closePipes()
	p.signal(func() {
		if !p.kin.terminate() {
			p.kin.kill()
		}
	})
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.signal(p.kin.kill)
		select {
		case <-p.done:
		case <-time.After(unkillable):
			return false
		}
	}
	return endMarked(p.mark, grace) && p.clean
}

// unkillable is how long a process may take to end after it was killed; the
// memory of a large one takes seconds to go.
const unkillable = 30 * time.Second
