package sidecar

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"hwledger/calc/model"
	"hwledger/sidecar/proc"
)

// Options configure a Manager. Zero values mean the defaults.
type Options struct {
	// Dir holds what is known of each sidecar: record, key, socket and log.
	Dir string
	// Engines are those that can be run.
	Engines []*Engine
	// Recorder, Probe and Reader may be nil: nothing is recorded, only the
	// host's memory is known, and only the engine's own answers are measured.
	Recorder Recorder
	Probe    Probe
	Reader   Reader
	// Grace is how long an engine may take to end when it is asked; 10 s.
	Grace time.Duration
	// Pause is the first pause before a restart; 1 s.
	Pause time.Duration
	// Check is how often one that is ready is asked for a sign of life; 30 s.
	Check time.Duration
	// Keep is how many ended sidecars can still be looked at; 32.
	Keep int
	Log  *slog.Logger
}

// How long a start may show no progress.
const (
	stall       = 5 * time.Minute
	daemonStall = 30 * time.Minute
)

// maxRunning bounds the sidecars that run at once.
const maxRunning = 256

// Manager runs sidecars.
type Manager struct {
	opts    Options
	ports   ports
	recover sync.Once

	mu       sync.Mutex
	starter  *proc.Starter
	sidecars map[string]*sidecar
	order    []string // oldest first
	closed   bool
}

// New returns a manager. It touches nothing before its first use.
func New(opts Options) *Manager {
	if opts.Grace <= 0 {
		opts.Grace = 10 * time.Second
	}
	if opts.Pause <= 0 {
		opts.Pause = firstPause
	}
	if opts.Check <= 0 {
		opts.Check = 30 * time.Second
	}
	if opts.Keep <= 0 {
		opts.Keep = 32
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if opts.Probe == nil {
		opts.Probe = hostProbe{}
	}
	return &Manager{opts: opts, sidecars: map[string]*sidecar{}}
}

// Engine returns the adapter of that name, or an error that lists all.
func (m *Manager) Engine(name string) (*Engine, error) {
	var names []string
	for _, e := range m.opts.Engines {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	err := model.Errorf(model.InvalidArgument, "engine", "there is no engine %q to launch", name)
	err.Candidates = names
	return nil, err.WithHint("name one of the candidates")
}

// For returns the adapters of a planner's engine, the preferred one first.
func (m *Manager) For(plans string) []*Engine {
	var out []*Engine
	for _, e := range m.opts.Engines {
		if e.Plans == plans {
			out = append(out, e)
		}
	}
	return out
}

// Launch admits and starts a sidecar and returns at once: Wait says when it is
// ready. It returns WouldNotFit when the memory that is free, less what
// starting sidecars have been promised, is less than it needs.
func (m *Manager) Launch(ctx context.Context, spec Spec) (*Status, error) {
	e, err := m.Engine(spec.Engine)
	if err != nil {
		return nil, err
	}
	m.adoptAll()
	pools, claims, err := m.look(ctx)
	if err != nil {
		return nil, model.Errorf(model.NotReady, "", "free memory cannot be read").WithHint("set force to start without a check") // the cause is the probe's
	}
	s, err := m.newSidecar(e, spec)
	if err != nil {
		return nil, err
	}
	s.before = pools
	if err := m.admit(s, pools, claims); err != nil {
		s.discard()
		return nil, err
	}
	s.record("prediction", map[string]any{"predicted": spec.Predicted, "reserve_bytes": spec.Reserve, "forced": spec.Force})
	go s.run(nil)
	return s.status(), nil
}

// admit adds s unless it would not fit.
func (m *Manager) admit(s *sidecar, pools []Pool, claims map[string]map[string]int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return model.Errorf(model.NotReady, "", "the server is shutting down")
	}
	running := 0
	for _, other := range m.sidecars {
		if !other.state().Over() {
			running++
			if s.spec.Name != "" && other.spec.Name == s.spec.Name {
				return model.Errorf(model.InvalidArgument, "name", "a sidecar %q is running", s.spec.Name).WithHint("take another name, or stop_sidecar it")
			}
		}
	}
	if running >= maxRunning {
		return model.Errorf(model.Denied, "", "%d sidecars are running", running).WithHint("stop_sidecar those that are not needed")
	}
	if !s.spec.Force {
		if err := fits(s.spec.Reserve, m.lessClaimed(pools, claims)); err != nil {
			return err
		}
	}
	if m.starter == nil {
		m.starter = proc.NewStarter()
	}
	m.add(s)
	return nil
}

// add keeps s, and forgets the oldest that have ended.
func (m *Manager) add(s *sidecar) {
	m.sidecars[s.id] = s
	m.order = append(m.order, s.id)
	over := 0
	for _, id := range slices.Backward(m.order) {
		if m.sidecars[id].state().Over() {
			if over++; over > m.opts.Keep {
				delete(m.sidecars, id)
			}
		}
	}
	m.order = slices.DeleteFunc(m.order, func(id string) bool { return m.sidecars[id] == nil })
}

// newSidecar makes the folder and the key of a sidecar.
func (m *Manager) newSidecar(e *Engine, spec Spec) (*sidecar, error) {
	if spec.Lifetime == "" {
		spec.Lifetime = Session
	}
	switch {
	case spec.Stall > 0:
	case e.Daemon != nil:
		spec.Stall = daemonStall // daemons do not say how far they are
	default:
		spec.Stall = stall
	}
	if spec.Lifetime == Detached && e.Daemon == nil && (e.Talk == Stdio || !proc.CanIdentify) {
		return nil, model.Errorf(model.InvalidArgument, "lifetime", "%s cannot outlive the server here: it would not be found again", e.Name).WithHint("leave lifetime out")
	}
	if err := e.checkArgs(spec.Args, nil); err != nil {
		return nil, err
	}
	s := newSidecar(m, e, spec, randomHex(5))
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of a sidecar: %w", err)
	}
	if err := s.takeLock(); err != nil {
		s.discard()
		return nil, err
	}
	for name, text := range spec.Files {
		if name != filepath.Base(name) || name[0] == '.' {
			s.discard()
			return nil, fmt.Errorf("%q is no name of a file", name)
		}
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			s.discard()
			return nil, fmt.Errorf("writing a file of a sidecar: %w", err)
		}
	}
	if e.hasKey(spec.Args) {
		s.key = randomHex(24)
		s.log.Secret = s.key
		if err := os.WriteFile(s.path(keyFile), []byte(s.key+"\n"), 0o600); err != nil {
			s.discard()
			return nil, fmt.Errorf("keeping the key of a sidecar: %w", err)
		}
		s.st.KeyFile = s.path(keyFile)
	}
	if at := slices.Index(spec.Args, keyPlace); at >= 0 {
		if err := os.WriteFile(s.path(keyConfig), []byte(e.KeyText+s.key+"\n"), 0o600); err != nil {
			s.discard()
			return nil, fmt.Errorf("keeping the key of a sidecar: %w", err)
		}
		s.spec.Args = slices.Clone(spec.Args)
		s.spec.Args[at] = s.path(keyConfig)
	}
	return s, nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// List returns all sidecars, the newest first.
func (m *Manager) List() []*Status {
	m.adoptAll()
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*Status, 0, len(m.order))
	for _, id := range slices.Backward(m.order) {
		out = append(out, m.sidecars[id].observed())
	}
	return out
}

// find returns a sidecar by id, or by the name of the newest that has it.
func (m *Manager) find(ref string) (*sidecar, error) {
	m.adoptAll()
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sidecars[ref]; s != nil {
		return s, nil
	}
	var names []string
	for _, id := range slices.Backward(m.order) {
		if s := m.sidecars[id]; s.spec.Name != "" && s.spec.Name == ref {
			return s, nil
		}
		names = append(names, id)
	}
	err := model.Errorf(model.InvalidArgument, "id", "there is no sidecar %.80q", ref)
	err.Candidates = names
	return nil, err.WithHint("list_sidecars has their ids")
}

// Get returns one sidecar as it is now.
func (m *Manager) Get(ref string) (*Status, error) {
	s, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	return s.observed(), nil
}

// LogText returns what is kept of a sidecar's output: its beginning and end.
func (m *Manager) LogText(ref string) (string, error) {
	s, err := m.find(ref)
	if err != nil {
		return "", err
	}
	return s.log.Text(), nil
}

// LogTail returns the last lines of a sidecar's output, at most n lines and
// size bytes.
func (m *Manager) LogTail(ref string, n, size int) ([]string, error) {
	s, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	return s.log.Tail(n, size), nil
}

// Wait returns when the sidecar is ready or has ended, or ctx does; the status
// says which. progress, unless nil, is told of the start's course.
func (m *Manager) Wait(ctx context.Context, ref string, progress Progress) (*Status, error) {
	s, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		changed, state := s.watch()
		if state == Ready || state.Over() {
			return s.status(), nil
		}
		select {
		case <-changed:
		case <-tick.C:
			if progress != nil {
				line := ""
				if last := s.log.Tail(1, failureLine); len(last) > 0 {
					line = last[0]
				}
				progress(line, time.Since(began))
			}
		case <-ctx.Done():
			return s.status(), nil
		}
	}
}

// Stop ends a sidecar and returns when nothing of it is left.
func (m *Manager) Stop(ctx context.Context, ref string) (*Status, error) {
	s, err := m.find(ref)
	if err != nil {
		return nil, err
	}
	s.end("stopped by request")
	select {
	case <-s.finished:
		return s.status(), nil
	case <-ctx.Done():
		return s.status(), ctx.Err()
	}
}

// Close ends all session sidecars and lets detached ones run.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	all := make([]*sidecar, 0, len(m.sidecars))
	for _, s := range m.sidecars {
		all = append(all, s)
	}
	starter := m.starter
	m.starter = nil
	m.mu.Unlock()
	var err error
	for _, s := range all {
		if s.spec.Lifetime == Detached {
			s.leave()
		} else {
			s.end("the server ended")
		}
	}
	for _, s := range all {
		<-s.finished
		if st := s.status(); st.Reason == leftOver {
			err = errors.Join(err, fmt.Errorf("sidecar %s: %s", s.id, leftOver))
		}
	}
	if starter != nil {
		starter.Close()
	}
	return err
}

// folder is where a sidecar keeps its files.
func (m *Manager) folder(id string) string { return filepath.Join(m.opts.Dir, id) }
