package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// System is the machine as sources see it.
type System struct {
	OS, Arch string // as runtime.GOOS and runtime.GOARCH
	// Root is the directory that holds proc and sys, Files its tree.
	Root  string
	Files fs.FS
	// Run runs a command and returns what it wrote to standard output.
	Run    func(ctx context.Context, c Command) ([]byte, error)
	Getenv func(string) string
	UID    int // of this process, -1 where there are none
	// GPULimit estimates what an Apple chip's GPU may have of total bytes when
	// no limit was set; nil knows none.
	GPULimit func(chip string, total int64) int64
	// NVML is the path of NVIDIA's management library, "" for the system's.
	NVML string
}

// Command is a program to run.
type Command struct {
	Name string // looked up in PATH
	Args []string
	// Line asks for the first line only: the program goes on printing until
	// it is stopped.
	Line bool
}

// Local returns this machine.
func Local() *System {
	return &System{OS: runtime.GOOS, Arch: runtime.GOARCH, Root: "/", Files: os.DirFS("/"), Run: runCommand, Getenv: os.Getenv, UID: os.Getuid()}
}

// Bounds on a command: a tool that hangs or never stops printing costs that
// much and no more.
const (
	commandTime   = 5 * time.Second
	commandOutput = 8 << 20
	commandErrors = 4 << 10
)

// ExecError is a command that ran and failed.
type ExecError struct {
	Name string
	// Code is the exit status, -1 when it was killed.
	Code    int
	Stderr  string // its end
	Timeout bool
}

// Error says how the command ended.
func (e *ExecError) Error() string {
	switch {
	case e.Timeout:
		return fmt.Sprintf("%s did not answer in %v", e.Name, commandTime)
	case e.Stderr != "":
		return fmt.Sprintf("%s ended with status %d: %s", e.Name, e.Code, e.Stderr)
	}
	return fmt.Sprintf("%s ended with status %d", e.Name, e.Code)
}

// runCommand runs c with bounds on time and output. A command that is not
// installed is exec.ErrNotFound. What was printed before a failure is
// returned with it: several tools end with a status of their own.
func runCommand(ctx context.Context, c Command) ([]byte, error) {
	path, err := exec.LookPath(c.Name)
	if err != nil {
		if errors.Is(err, exec.ErrDot) { // never one from the working directory
			err = exec.ErrNotFound
		}
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, c.Args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "LANG=C")
	alone(cmd)
	cmd.WaitDelay = 500 * time.Millisecond // children may keep the pipes open
	out := &capped{most: commandOutput}
	if c.Line {
		out.full = cancel
		out.line = true
	}
	tail := &capped{most: commandErrors}
	cmd.Stdout, cmd.Stderr = out, tail
	err = cmd.Run()
	if c.Line && bytes.IndexByte(out.b.Bytes(), '\n') >= 0 {
		line, _, _ := bytes.Cut(out.b.Bytes(), []byte("\n"))
		return line, nil
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // it ended well, and left a child that holds its output
		return out.b.Bytes(), nil
	}
	e := &ExecError{Name: c.Name, Code: -1, Stderr: oneLine(tail.b.String()), Timeout: errors.Is(ctx.Err(), context.DeadlineExceeded)}
	if cmd.ProcessState != nil {
		e.Code = cmd.ProcessState.ExitCode()
	}
	return out.b.Bytes(), e
}

// capped keeps the first bytes written to it, and drops the rest.
type capped struct {
	b    bytes.Buffer
	most int
	line bool
	full func() // called when a whole line is there
}

func (w *capped) Write(p []byte) (int, error) {
	w.b.Write(p[:min(len(p), w.most-w.b.Len())])
	if w.line && bytes.IndexByte(p, '\n') >= 0 {
		w.full()
	}
	return len(p), nil
}

// mostFile bounds what is read of one file.
const mostFile = 1 << 20

// read returns a file's content; paths have no slash in front.
func (s *System) read(path string) ([]byte, error) {
	f, err := s.Files.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, mostFile))
}

// text returns a file's content without space around it, "" when it cannot be
// read.
func (s *System) text(path string) string {
	b, err := s.read(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// dir lists the names in a directory, none when it cannot be read.
func (s *System) dir(path string) []string {
	entries, err := fs.ReadDir(s.Files, path)
	if err != nil {
		return nil
	}
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Name()
	}
	return out
}

// exists reports whether a file is there.
func (s *System) exists(path string) bool {
	_, err := fs.Stat(s.Files, path)
	return err == nil
}

// fileField reads a file as a field, with parse for its text.
func fileField[T any](s *System, source, path string, parse func(string) (T, bool)) Field[T] {
	b, err := s.read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing[T](source, Unsupported, "the driver has no "+filepath.Base(path))
	case errors.Is(err, fs.ErrPermission):
		return missing[T](source, Denied, "no permission to read /"+path)
	case err != nil: // drivers refuse with EBUSY, EINVAL or EOPNOTSUPP what a device cannot say
		return missing[T](source, Unsupported, "the driver refuses "+filepath.Base(path))
	}
	v, ok := parse(strings.TrimSpace(string(b)))
	if !ok {
		return missing[T](source, Unsupported, fmt.Sprintf("%s is %s", filepath.Base(path), quote(string(b))))
	}
	return known(source, v)
}

// quote quotes foreign text for a reason.
func quote(s string) string { return fmt.Sprintf("%q", oneLine(s)) }

// oneLine returns foreign text in one line of printable characters and
// reasonable length.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return s
}
