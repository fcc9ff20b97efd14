package sidecar

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"hwledger/sidecar/logs"
)

// unit is one run of an engine: a child, or a model in a daemon.
type unit interface {
	// ready reports whether it serves. An error is final.
	ready(context.Context) (bool, *Failure)
	// done is closed when it has ended by itself, and how says how.
	done() <-chan struct{}
	how() string
	// usage is what the end tells of it, for the ledger.
	usage() map[string]any
	call(context.Context, Call, func(string)) (*Reply, error)
	// alive asks for a sign of life; a busy engine may fail to give one.
	alive(context.Context) bool
	// measure is what it says itself that it takes, beside its log.
	measure(context.Context) []Figure
	// progress grows while it gets on with its start.
	progress() int64
	// stop ends it, and reports whether nothing is left; leave lets it run on.
	stop(grace time.Duration) bool
	leave()
	// describe fills in where it is.
	describe(*Status)
}

// leftOver is the reason of a sidecar that could not be ended.
const leftOver = "it was killed and something of it is still there"

// sidecar is one sidecar. Its goroutine alone changes its state; others read
// it and send requests.
type sidecar struct {
	m      *Manager
	engine *Engine
	spec   Spec
	id     string
	key    string
	dir    string
	log    *logs.Ring
	lock   *flock.Flock

	// ctx ends when the sidecar shall; cause says why.
	ctx      context.Context
	cancel   context.CancelCauseFunc
	finished chan struct{}
	again    restarts
	// before is the memory that was free when it was launched.
	before []Pool

	mu      sync.Mutex
	st      Status
	changed chan struct{} // closed and replaced at each change
	unit    unit          // while ready
	readyAt time.Time
	idle    chan struct{} // told that a call has ended
	leaving bool
}

func newSidecar(m *Manager, e *Engine, spec Spec, id string) *sidecar {
	s := &sidecar{
		m: m, engine: e, spec: spec, id: id, dir: m.folder(id), log: &logs.Ring{},
		finished: make(chan struct{}), changed: make(chan struct{}), idle: make(chan struct{}, 1),
		again: restarts{first: m.opts.Pause},
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.st = Status{
		ID: id, Name: spec.Name, Engine: e.Name, Version: spec.Version, Model: spec.Model, State: Starting, Lifetime: spec.Lifetime,
		Created: time.Now(), Predicted: spec.Predicted, Reserve: spec.Reserve,
	}
	return s
}

func (s *sidecar) path(name string) string { return filepath.Join(s.dir, name) }

// state returns the state.
func (s *sidecar) state() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st.State
}

// watch returns the state and a channel that closes when it changes.
func (s *sidecar) watch() (<-chan struct{}, State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed, s.st.State
}

// status returns a copy of the status.
func (s *sidecar) status() *Status {
	s.mu.Lock()
	st := s.st
	s.mu.Unlock()
	st.Predicted, st.Measured = slices.Clone(st.Predicted), slices.Clone(st.Measured)
	return &st
}

// observed is the status with what has to be looked for.
func (s *sidecar) observed() *Status {
	st := s.status()
	if !st.State.Over() {
		st.Resident = s.resident()
	}
	return st
}

func (s *sidecar) resident() int64 {
	anonymous, files := s.pages()
	return anonymous + files
}

// set changes the state and wakes all who wait for that.
func (s *sidecar) set(to State, reason string, more func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := s.st.State
	s.st.State, s.st.Reason = to, reason
	if more != nil {
		more(&s.st)
	}
	if from != to {
		s.m.opts.Log.Info("sidecar", "id", s.id, "state", to, "reason", reason)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// endCause is why a sidecar's context ended.
type endCause string

func (c endCause) Error() string { return string(c) }

// end asks for the sidecar's end. It may be asked more than once.
func (s *sidecar) end(why string) { s.cancel(endCause(why)) }

// leave lets a detached sidecar run on without us.
func (s *sidecar) leave() {
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	s.end("left running")
}

func (s *sidecar) isLeaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving
}

// run is the sidecar's life: attempts until it is asked to end, or one fails
// and another would not help. adopted is a unit that runs already, else nil.
func (s *sidecar) run(adopted unit) {
	defer close(s.finished)
	const portTries = 3
	// How one that was adopted was started is not known.
	once := adopted != nil
	for lost := 0; ; { // ports, in a row
		began := time.Now()
		readyAt, f := s.attempt(adopted)
		if s.ctx.Err() != nil {
			s.close(Stopped, context.Cause(s.ctx).Error(), nil)
			return
		}
		if f == nil { // it was not used for its time to live
			s.close(Stopped, "not used for "+s.spec.TTL.String(), nil)
			return
		}
		if lost++; f.Kind != PortInUse || !readyAt.IsZero() {
			lost = 0
		}
		pause, more := time.Duration(0), lost > 0 && lost < portTries
		if once {
			more = false
		} else if !more {
			pause, more = s.again.next(f, !readyAt.IsZero(), time.Since(readyAt), time.Now())
		}
		s.m.opts.Log.Warn("a sidecar failed", "id", s.id, "kind", f.Kind, "cause", f.Cause, "after", time.Since(began), "again", more)
		if !more {
			s.close(Failed, f.Cause, f)
			return
		}
		s.set(Starting, "again after: "+f.Cause, func(st *Status) { st.Restarts++; st.Failure, st.PID = f, 0 })
		if !sleep(s.ctx, pause) {
			s.close(Stopped, context.Cause(s.ctx).Error(), f)
			return
		}
	}
}

// sleep waits and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// close gives up what the sidecar held and enters its last state. One that
// still runs keeps its files for who adopts or ends it.
func (s *sidecar) close(to State, reason string, f *Failure) {
	s.mu.Lock()
	left, stuck := s.leaving, s.st.Reason == leftOver
	s.mu.Unlock()
	if stuck {
		to, reason = Failed, leftOver
	}
	if left || stuck { // the next run looks after it
		_ = s.lock.Unlock() // it ends with this process
	} else {
		s.discard()
	}
	s.set(to, reason, func(st *Status) {
		st.PID, st.Endpoint, st.BaseURL, st.KeyFile, st.Log = 0, "", "", "", ""
		if f != nil {
			st.Failure = f
		}
	})
}

// discard removes the sidecar's files.
func (s *sidecar) discard() {
	if s.lock != nil {
		_ = s.lock.Unlock() // it goes with its file
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.m.opts.Log.Warn("the files of a sidecar stay", "id", s.id, "error", err)
	}
}
