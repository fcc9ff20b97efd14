package sidecar

import (
	"context"
	"fmt"
	"slices"
	"time"

	"hwledger/calc/model"
)

// attempt starts the engine and stays with it to its end. It returns when it
// was ready, zero for never, and why it failed; nil when it was ended for
// being idle, or on request.
func (s *sidecar) attempt(u unit) (time.Time, *Failure) {
	began, adopted := time.Now(), u != nil
	m := newMeter(s, adopted)
	if u == nil {
		var f *Failure
		if u, f = s.start(); f != nil {
			return time.Time{}, f
		}
	}
	s.set(Starting, "loading", func(st *Status) { u.describe(st) })
	f := s.awaitReady(u)
	if f == nil && s.ctx.Err() == nil {
		at := time.Now()
		s.measured(u, at.Sub(began), adopted)
		f = s.serve(u, m)
		return at, s.finish(u, f, m)
	}
	return time.Time{}, s.finish(u, f, m)
}

// finish ends the unit and records how it went.
func (s *sidecar) finish(u unit, f *Failure, m *meter) *Failure {
	if s.isLeaving() {
		u.leave()
		return f
	}
	reason := "idle"
	switch {
	case f != nil:
		reason = f.Cause
	case s.ctx.Err() != nil:
		reason = context.Cause(s.ctx).Error()
	}
	s.set(Stopping, reason, nil)
	m.look()
	held := s.devicePools()
	if !u.stop(s.m.opts.Grace) {
		s.set(Stopping, leftOver, nil)
	}
	s.awaitMemory(held)
	s.recordExit(u, reason, f, m)
	return f
}

// start makes a unit of the engine's kind.
func (s *sidecar) start() (unit, *Failure) {
	if s.engine.Daemon != nil {
		u, err := startDaemon(s)
		if err != nil {
			return nil, &Failure{Kind: Unknown, Cause: clip(err.Error()), Permanent: true}
		}
		return u, nil
	}
	if s.spec.Prepare != nil {
		s.set(Starting, "preparing what it runs in", nil)
		if err := s.spec.Prepare(s.ctx, s.log); err != nil {
			return nil, &Failure{Kind: Unknown, Cause: clip(err.Error()), Permanent: true, Lines: s.log.Tail(failureLines, 4<<10)}
		}
		s.spec.Prepare = nil // it is there for later starts
	}
	u, err := startChild(s)
	if err != nil {
		f := diagnose(s.engine, err.Error(), err.Error())
		f.Permanent = true
		return nil, f
	}
	return u, nil
}

// Polling for readiness begins fast, for engines that start at once, and grows
// slow, for those that load for minutes.
const (
	firstPoll   = 2 * time.Millisecond
	slowestPoll = 250 * time.Millisecond
	// lookEvery is how often a start's progress is looked at.
	lookEvery = time.Second
)

// awaitReady returns nil when the unit serves or the sidecar shall end.
func (s *sidecar) awaitReady(u unit) *Failure {
	last, at, looked := int64(-1), time.Now(), time.Now()
	for poll := firstPoll; ; poll = min(poll*5/4, slowestPoll) {
		ok, f := u.ready(s.ctx)
		if ok || f != nil || s.ctx.Err() != nil {
			return f
		}
		t := time.NewTimer(poll)
		select {
		case <-t.C:
		case <-s.ctx.Done():
			t.Stop()
			return nil
		case <-u.done():
			t.Stop()
			return diagnose(s.engine, s.settledLog(u), "it ended before it was ready: "+u.how())
		}
		if time.Since(looked) < min(lookEvery, s.spec.Stall/4) {
			continue // looking costs more than asking
		}
		looked = time.Now()
		if n := u.progress(); n != last {
			last, at = n, looked
		} else if time.Since(at) > s.spec.Stall {
			f := diagnose(s.engine, s.log.Text(), "")
			return &Failure{Kind: Stalled, Cause: fmt.Sprintf("no progress for %s while starting", s.spec.Stall), Lines: f.Lines, Permanent: true}
		}
	}
}

// settledLog is the log when all of it has come.
func (s *sidecar) settledLog(u unit) string {
	if c, ok := u.(interface{ drain() }); ok {
		c.drain()
	}
	return s.log.Text()
}

// lastWords is how much of the log can tell why a sidecar ended that was
// ready: what it printed at its start was no failure.
const lastWords = 8 << 10

// serve enters ready and stays until the unit fails, is idle for too long
// (nil), or the sidecar shall end (nil).
func (s *sidecar) serve(u unit, m *meter) *Failure {
	s.mu.Lock()
	s.unit, s.readyAt = u, time.Now()
	s.mu.Unlock()
	m.look()
	s.set(Ready, "", func(st *Status) { st.LastUsed = time.Now() })
	defer func() {
		s.mu.Lock()
		s.unit = nil
		s.mu.Unlock()
	}()
	ttl := time.NewTimer(time.Hour)
	defer ttl.Stop()
	check := time.NewTicker(s.m.opts.Check)
	defer check.Stop()
	missed := 0
	for {
		if s.spec.TTL > 0 {
			left, over := s.idleFor()
			if over {
				return nil
			}
			ttl.Reset(left)
		}
		select {
		case <-u.done():
			log := s.settledLog(u)
			return diagnose(s.engine, log[max(0, len(log)-lastWords):], "it ended while it was ready: "+u.how())
		case <-s.ctx.Done():
			return nil
		case <-check.C:
			m.look()
			if missed = s.missed(u, missed); missed >= mostMissed {
				return &Failure{Kind: Stalled, Cause: "it runs and does not answer any more", Lines: s.log.Tail(failureLines, 4<<10)}
			}
		case <-ttl.C:
		case <-s.idle:
			m.look()
		}
	}
}

// mostMissed is how many signs of life in a row one may fail to give.
const mostMissed = 3

// missed asks for a sign of life and returns how many were missed in a row. One
// that works on calls may be too busy: their own silence is watched.
func (s *sidecar) missed(u unit, before int) int {
	s.mu.Lock()
	busy := s.st.Calls > 0
	s.mu.Unlock()
	if busy {
		return 0
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.m.opts.Check)
	defer cancel()
	select {
	case <-u.done():
		return before // its end is looked at next
	default:
	}
	if u.alive(ctx) || s.ctx.Err() != nil {
		return 0
	}
	return before + 1
}

// idleFor returns how long the sidecar may still be idle. When the time is
// over it takes it out of service in the same step, so that no call begins
// that would be cut off.
func (s *sidecar) idleFor() (left time.Duration, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.st.Calls > 0 {
		return s.spec.TTL, false
	}
	if left = s.spec.TTL - time.Since(s.st.LastUsed); left > 0 {
		return left, false
	}
	s.unit = nil
	return 0, true
}

// acquire returns the unit for a call; release gives it back.
func (s *sidecar) acquire() (unit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unit == nil || s.st.State != Ready {
		e := model.Errorf(model.NotReady, "id", "the sidecar is %s", s.st.State)
		if s.st.Reason != "" {
			e.Message += ": " + s.st.Reason
		}
		if s.st.State == Starting {
			return nil, e.WithHint("ask get_sidecar until it is ready")
		}
		return nil, e.WithHint("launch_sidecar starts one")
	}
	s.st.Calls++
	return s.unit, nil
}

func (s *sidecar) release() {
	s.mu.Lock()
	s.st.Calls--
	s.st.LastUsed = time.Now()
	s.mu.Unlock()
	select {
	case s.idle <- struct{}{}:
	default:
	}
}

// measured reads what the engine took, and records it beside the prediction. Of
// one that was adopted it was recorded when it became ready.
func (s *sidecar) measured(u unit, took time.Duration, adopted bool) {
	r, log := Reading{}, s.settled(u)
	if s.m.opts.Reader != nil {
		r = s.m.opts.Reader.Read(s.engine.Plans, log)
	}
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	// What it says itself takes the place of what its log says of the same.
	own := u.measure(ctx)
	r.Measured = slices.DeleteFunc(r.Measured, func(f Figure) bool {
		return slices.ContainsFunc(own, func(o Figure) bool { return o.Name == f.Name })
	})
	r.Measured = append(r.Measured, own...)
	s.mu.Lock()
	s.st.Measured = r.Measured
	if !adopted {
		s.st.Took = took
	}
	if s.st.Version == "" {
		s.st.Version = r.Version
	}
	s.mu.Unlock()
	if !adopted {
		s.recordStart(log, own, r.Measured, took)
	}
}

// settled is the log up to now: a file is read to its end first.
func (s *sidecar) settled(u unit) string {
	if c, ok := u.(interface{ sync() }); ok {
		c.sync()
	}
	return s.log.Text()
}
