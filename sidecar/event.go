package sidecar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"time"
)

// Event is something that happened to a sidecar, for the ledger.
type Event struct {
	// Type is prediction, launch, measurement, call or exit.
	Type string
	// Sidecar is the id of what it happened to.
	Sidecar string
	Time    time.Time
	// Payload is the ledger's payload of the type, by its names. What is not
	// known is not in it.
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
	known := func(name, value string) {
		if value != "" {
			payload[name] = value
		}
	}
	known("model", s.spec.Model)
	known("engine", s.engine.Plans)
	known("engine_version", version)
	known("device", s.spec.Device)
	ctx, cancel := context.WithTimeout(context.Background(), recordWithin)
	defer cancel()
	if err := s.m.opts.Recorder.Record(ctx, Event{Type: typ, Sidecar: s.id, Time: time.Now(), Payload: payload}); err != nil {
		s.m.opts.Log.Error("an event of a sidecar was not recorded", "id", s.id, "type", typ, "error", err)
	}
}

// load is what the engine was asked to serve.
func (s *sidecar) load() map[string]any {
	out := map[string]any{}
	if s.spec.Weights != "" {
		out["weights"] = s.spec.Weights
	}
	if s.spec.ContextTokens > 0 {
		out["context_tokens"] = s.spec.ContextTokens
	}
	if s.spec.Sequences > 0 {
		out["sequences"] = s.spec.Sequences
	}
	return out
}

// memory is figures by the ledger's names. Figures that it has no name for are
// left out.
func memory(figures []Figure) map[string]any {
	out := map[string]any{}
	for _, f := range figures {
		switch f.Name {
		case "weights", "kv_cache", "state", "workspace", "runtime", "required":
			out[f.Name+"_bytes"] = f.Bytes
		}
	}
	return out
}

// recordPrediction records what the plan said.
func (s *sidecar) recordPrediction() {
	p := memory(s.spec.Predicted)
	var all, low, high int64
	for _, f := range s.spec.Predicted {
		if all += f.Bytes; f.Low == 0 && f.High == 0 { // exact
			f.Low, f.High = f.Bytes, f.Bytes
		}
		low, high = low+f.Low, high+f.High
	}
	if len(s.spec.Predicted) > 0 {
		p["required_bytes"], p["low_bytes"], p["high_bytes"] = all, low, high
	}
	if s.spec.Verdict != "" {
		p["verdict"] = s.spec.Verdict
	}
	maps.Copy(p, s.load())
	s.record("prediction", p)
}

// recordLaunch records what was started.
func (s *sidecar) recordLaunch(more map[string]any) {
	p := memory(s.spec.Predicted)
	maps.Copy(p, s.load())
	maps.Copy(p, more)
	p["lifetime"] = string(s.spec.Lifetime)
	if len(s.spec.Reserve) > 0 {
		n := int64(0)
		for _, bytes := range s.spec.Reserve {
			n += bytes
		}
		p["reservation_bytes"] = n
	}
	s.record("launch", p)
}

// recordMeasurement records what it took when it was ready, and how long that
// was after its start.
func (s *sidecar) recordMeasurement(figures []Figure, source string, took time.Duration) {
	if s.m.opts.Recorder == nil {
		return // looking for what it says is not for nothing
	}
	p := memory(figures)
	maps.Copy(p, s.load())
	p["duration_ms"] = took.Milliseconds()
	if len(figures) > 0 && source != "" {
		p["source"] = source
	}
	if n := s.resident(); n > 0 {
		p["resident_bytes"] = n
	}
	s.record("measurement", p)
}

// recordCall records a call: of what was asked only its hash and length.
func (s *sidecar) recordCall(q Call, r *Reply) {
	if s.m.opts.Recorder == nil {
		return
	}
	prompt := []byte(q.Prompt)
	if len(q.Messages) > 0 {
		prompt, _ = json.Marshal(q.Messages) // texts always can be
	}
	sum := sha256.Sum256(prompt)
	p := map[string]any{"prompt_sha256": hex.EncodeToString(sum[:]), "prompt_bytes": int64(len(prompt)), "duration_ms": r.Total.Milliseconds()}
	for name, n := range map[string]int64{"prompt_tokens": r.PromptTokens, "completion_tokens": r.CompletionTokens, "first_token_ms": r.FirstToken.Milliseconds()} {
		if n > 0 {
			p[name] = n
		}
	}
	if r.PerSecond > 0 {
		p["decode_tokens_per_second"] = r.PerSecond
	}
	s.record("call", p)
}

// recordExit records how it ended and what it took at most.
func (s *sidecar) recordExit(u unit, reason string, f *Failure, m *meter) {
	p := u.usage()
	p["reason"] = clip(reason)
	if f != nil {
		p["failure"] = f.Kind
	}
	m.result(p)
	s.record("exit", p)
}
