package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"hwledger/sidecar/logs"
	"hwledger/sidecar/proc"
)

// The files in a sidecar's folder.
const (
	recordFile = "record.json"
	lockFile   = "lock"
	keyFile    = "key"
	keyConfig  = "key.yaml"
	socketFile = "s.sock"
	logFile    = "log"
)

// maxSocket is the longest path of a UNIX socket, in bytes, on every system.
const maxSocket = 100

// process is a child that was started here, or adopted.
type process interface {
	Done() <-chan struct{}
	Stop(grace time.Duration) bool
}

// child is a unit that is a process of ours.
type child struct {
	s     *sidecar
	p     process
	own   *proc.Process // nil when it was adopted
	ident proc.Identity
	began time.Time

	readers sync.WaitGroup
	file    *logs.File
	port    int
	socket  string
	talk    talker
	proxy   *proxy
}

// talker speaks to a child that runs.
type talker interface {
	ready(context.Context) (bool, *Failure)
	call(context.Context, Call, func(string)) (*Reply, error)
	alive(context.Context) bool
	measure(context.Context) []Figure
	// bye asks for the end in the engine's own way, where it has one.
	bye()
	close()
}

// save writes the record of a process; of none, before it is started.
func (c *child) save(who proc.Identity) error {
	r := c.s.saved()
	r.Port, r.Process = c.port, who
	return c.s.save(r)
}

// startChild starts the engine's program.
func startChild(s *sidecar) (_ *child, err error) {
	c := &child{s: s, began: time.Now()}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	args, err := c.listen()
	if err != nil {
		return nil, err
	}
	spec := proc.Spec{Path: s.spec.Program, Args: args, Dir: s.dir, Env: environment(s), Mark: mark(s.id), Detached: s.spec.Lifetime == Detached}
	if spec.Detached {
		if spec.Output, err = logs.Create(s.path(logFile)); err != nil {
			return nil, err
		}
		defer spec.Output.Close()
	}
	if err := c.save(proc.Identity{}); err != nil { // the intent, before there is a process
		return nil, err
	}
	starter := s.m.threads()
	if starter == nil {
		return nil, errors.New("the server is shutting down")
	}
	if c.own, err = starter.Start(spec); err != nil {
		return nil, err
	}
	c.p, c.ident = c.own, c.own.Identity
	if err := c.save(c.ident); err != nil {
		s.m.opts.Log.Error("a sidecar cannot be adopted after a crash of the server", "id", s.id, "error", err)
	}
	if err := c.connect(); err != nil {
		c.own.Stop(0)
		return nil, err
	}
	argv := append([]string{s.spec.Program}, args...)
	if len(s.spec.HelperArgs) > 0 {
		argv = append(append(argv, "--"), s.spec.HelperArgs...) // they go by message
	}
	s.record("launch", map[string]any{"argv": argv, "program": s.spec.Program, "lifetime": string(s.spec.Lifetime), "pid": c.ident.PID})
	return c, nil
}

// threads returns the starter, nil when the manager is closed.
func (m *Manager) threads() *proc.Starter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.starter
}

// listen chooses where the child listens, and returns its arguments.
func (c *child) listen() ([]string, error) {
	e, args := c.s.engine, c.s.spec.Args
	if e.Talk == Stdio {
		return args, nil
	}
	// Other clients reach a session's socket through a port of our own, which
	// nobody can take from it; a detached one has to have a port itself. On
	// Windows Python serves none, and a file is not its owner's by its mode.
	if path := c.s.path(socketFile); e.SocketFlag != "" && len(path) <= maxSocket && c.s.spec.Lifetime == Session && runtime.GOOS != "windows" {
		c.socket = path
		return e.onSocket(args, path), nil
	}
	port, err := c.s.m.ports.take()
	if err != nil {
		return nil, err
	}
	c.port = port
	return e.onPort(args, port), nil
}

// connect follows the child's output and prepares to talk to it.
func (c *child) connect() (err error) {
	if c.s.spec.Lifetime == Detached {
		if c.file, err = logs.Follow(c.s.path(logFile), c.s.log, 50*time.Millisecond); err != nil {
			return err
		}
	}
	if c.s.engine.Talk == Stdio {
		c.talk = newStdioTalk(c)
		c.copy(c.own.Stderr)
		return nil
	}
	if c.own != nil && c.own.Stdout != nil {
		c.copy(c.own.Stdout)
		c.copy(c.own.Stderr)
	}
	c.talk = newWebTalk(c)
	if c.socket != "" {
		if c.proxy, err = newProxy(c.socket); err != nil {
			return err
		}
	}
	return nil
}

// copy moves output into the log until its end.
func (c *child) copy(from *os.File) {
	c.readers.Add(1)
	go func() {
		defer c.readers.Done()
		_, _ = io.Copy(c.s.log, from) // it ends with the child, or when it is closed
	}()
}

// drain waits for the rest of the output of a child that has ended. What the
// child left behind may keep the pipe open: that is not waited for long.
func (c *child) drain() {
	read := make(chan struct{})
	go func() { c.readers.Wait(); close(read) }()
	select {
	case <-read:
	case <-time.After(time.Second):
	}
	c.sync()
}

// sync reads the log file to its end.
func (c *child) sync() {
	if c.file != nil {
		c.file.Sync()
	}
}

func (c *child) done() <-chan struct{} { return c.p.Done() }

func (c *child) how() string {
	select {
	case <-c.p.Done():
		if c.own != nil {
			return c.own.Exit().String()
		}
		return "ended"
	default:
		return "running"
	}
}

func (c *child) usage() map[string]any {
	out := map[string]any{"pid": c.ident.PID}
	if c.own != nil {
		select {
		case <-c.own.Done():
			x := c.own.Exit()
			out["cpu_milliseconds"] = x.CPU.Milliseconds()
			if x.Signal != "" {
				out["signal"] = x.Signal
			} else {
				out["exit_code"] = x.Code
			}
			if x.Peak > 0 {
				out["peak_resident_bytes"] = x.Peak
			}
		default:
		}
	}
	return out
}

func (c *child) progress() int64 {
	return c.s.log.Written() + proc.Moved(c.ident.PID)
}

func (c *child) describe(st *Status) {
	st.PID = c.ident.PID
	switch {
	case c.socket != "":
		st.Endpoint = "unix:" + c.socket
		if c.proxy != nil {
			st.BaseURL = "http://" + c.proxy.address() + "/v1"
		}
	case c.port != 0:
		st.Endpoint = fmt.Sprintf("http://127.0.0.1:%d", c.port)
		st.BaseURL = st.Endpoint + "/v1"
	default:
		st.Endpoint = "stdio"
	}
	if c.file != nil {
		st.Log = c.s.path(logFile)
	}
}

// ready asks the engine, and makes sure that it is the engine who answers.
func (c *child) ready(ctx context.Context) (bool, *Failure) {
	ok, f := c.talk.ready(ctx)
	if !ok || f != nil || c.port == 0 {
		return ok, f
	}
	switch proc.PortOwner(c.port, c.ident.PID) {
	case proc.Stranger:
		return false, &Failure{Kind: PortInUse, Cause: fmt.Sprintf("another process answers on port %d", c.port)}
	case proc.Nobody:
		return false, nil
	}
	if now, err := proc.Identify(c.ident.PID); err == nil && now.Exe != c.ident.Exe { // a script has become its program
		c.ident = now
		_ = c.save(now) // it was saved before
	}
	return true, nil
}

func (c *child) call(ctx context.Context, q Call, onText func(string)) (*Reply, error) {
	return c.talk.call(ctx, q, onText)
}

func (c *child) alive(ctx context.Context) bool { return c.talk.alive(ctx) }

func (c *child) measure(ctx context.Context) []Figure { return c.talk.measure(ctx) }

func (c *child) stop(grace time.Duration) bool {
	if c.own != nil {
		select {
		case <-c.own.Done():
		default:
			c.talk.bye()
		}
	}
	gone := c.p.Stop(grace)
	c.drain()
	c.close()
	return gone
}

func (c *child) leave() {
	if a, ok := c.p.(*proc.Adopted); ok {
		a.Leave()
	}
	c.close()
}

// close gives up what belongs to this program.
func (c *child) close() {
	if c.talk != nil {
		c.talk.close()
	}
	if c.proxy != nil {
		c.proxy.close()
	}
	if c.file != nil {
		c.file.Close()
		c.file = nil
	}
	if c.port != 0 {
		c.s.m.ports.release(c.port)
	}
	if c.socket != "" {
		_ = os.Remove(c.socket) // the engine may have done it
	}
}

// pages are the memory of the sidecar's processes, 0 when unknown: of their
// own, and of files that they have mapped.
func (s *sidecar) pages() (anonymous, files int64) {
	s.mu.Lock()
	pid := s.st.PID
	s.mu.Unlock()
	if pid == 0 {
		return 0, 0
	}
	return proc.Resident(pid)
}

// inherited are the variables that a child gets of ours: who and where it is,
// which devices it may see, and where it keeps models. Nothing else is passed,
// such as the secrets of this program's own environment.
var inherited = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TEMP", "TMP",
	// Windows: without SYSTEMROOT no program opens a socket.
	"SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERNAME", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "PROGRAMDATA", "PROGRAMFILES",
	"NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE",
	"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "ROCM_PATH",
	"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES", "ONEAPI_DEVICE_SELECTOR",
	"HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "XDG_CACHE_HOME", "SSL_CERT_FILE", "HTTPS_PROXY", "NO_PROXY",
}

// mark is in the environment of a sidecar's processes, so that they are known
// again.
func mark(id string) string { return "HWLEDGER_SIDECAR=" + id }

// inheritedEnv are the inherited variables that are set.
func inheritedEnv() []string {
	out := []string{} // nil would inherit all
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// environment is all that the child has.
func environment(s *sidecar) []string {
	set := map[string]string{"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
	for _, v := range inheritedEnv() {
		name, value, _ := strings.Cut(v, "=")
		set[name] = value
	}
	for _, from := range []map[string]string{s.engine.Env, s.spec.Env} {
		for k, v := range from {
			set[k] = v
		}
	}
	if filepath.IsAbs(s.spec.Model) {
		set["HF_HUB_OFFLINE"] = "1"
	}
	if set["HF_HUB_OFFLINE"] == "1" {
		delete(set, "HF_TOKEN") // nothing is fetched with it
	}
	if s.engine.KeyEnv != "" {
		set[s.engine.KeyEnv] = s.key
	}
	out := []string{mark(s.id)}
	for k, v := range set {
		out = append(out, k+"="+v)
	}
	return out
}
