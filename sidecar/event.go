package sidecar

import (
	"context"
	"time"
)

// Event is something that happened to a sidecar, for the ledger.
type Event struct {
	// Type is prediction, launch, measurement, timing or exit.
	Type                            string
	Sidecar, Engine, Version, Model string
	Time                            time.Time
	// Payload is what is told of it; what is not known is not in it. No text of
	// a call, and no key, is.
	Payload map[string]any
}

// Recorder keeps events. It may be called by several sidecars at once.
type Recorder interface {
	Record(context.Context, Event) error
}

// recordWithin is how long a ledger may take: an engine that runs is not kept
// waiting for it.
const recordWithin = 5 * time.Second

// record tells the recorder. A ledger that cannot be written does not stop an
// engine that runs.
func (s *sidecar) record(typ string, payload map[string]any) {
	if s.m.opts.Recorder == nil {
		return
	}
	s.mu.Lock()
	version := s.st.Version
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), recordWithin)
	defer cancel()
	err := s.m.opts.Recorder.Record(ctx, Event{Type: typ, Sidecar: s.id, Engine: s.engine.Plans, Version: version, Model: s.spec.Model, Time: time.Now(), Payload: payload})
	if err != nil {
		s.m.opts.Log.Error("an event of a sidecar was not recorded", "id", s.id, "type", typ, "error", err)
	}
}

// recordStart records what it took when it was ready beside what was predicted,
// as a whole and of each term that plans have to learn of, and how long the
// start took.
func (s *sidecar) recordStart(log string, own, measured []Figure, took time.Duration) {
	if s.m.opts.Recorder == nil {
		return // looking for what it says is not for nothing
	}
	p := map[string]any{"predicted": s.spec.Predicted, "measured": measured, "pool_delta_bytes": taken(s.before, s.devicePools())}
	if n := s.resident(); n > 0 {
		p["resident_bytes"] = n
	}
	if s.spec.Took != nil {
		if terms := s.spec.Took(log, own, s.heldByDriver()); len(terms) > 0 {
			p["start"], p["terms"] = s.spec.Start, terms
		}
	}
	s.record("measurement", p)
	s.record("timing", map[string]any{"what": "start", "milliseconds": took.Milliseconds()})
}

// recordCall records how long a call took.
func (s *sidecar) recordCall(r *Reply) {
	p := map[string]any{"what": "call", "milliseconds": r.Total.Milliseconds()}
	for name, n := range map[string]int64{"first_token_milliseconds": r.FirstToken.Milliseconds(), "prompt_tokens": r.PromptTokens, "completion_tokens": r.CompletionTokens} {
		if n > 0 {
			p[name] = n
		}
	}
	if r.PerSecond > 0 {
		p["tokens_per_second"] = r.PerSecond
	}
	s.record("timing", p)
}

// recordExit records how it ended and what it took at most.
func (s *sidecar) recordExit(u unit, reason string, f *Failure, m *meter) {
	p := u.usage()
	p["reason"], p["how"], p["uptime_milliseconds"] = reason, u.how(), time.Since(m.began).Milliseconds()
	if f != nil {
		p["kind"], p["lines"] = f.Kind, f.Lines
	}
	if n := m.most(); n > 0 {
		p["peak_device_bytes"] = n
	}
	s.record("exit", p)
}
