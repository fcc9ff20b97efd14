package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"hwledger/internal/fault"
	"hwledger/ledger/event"
)

// RunEvent is something that happened to an engine that the program runs, as
// whoever runs it tells: the payload's names are the teller's.
type RunEvent struct {
	// Type is prediction, launch, measurement, timing or exit.
	Type                            string
	Sidecar, Engine, Version, Model string
	// Time is when it happened; the event has the ledger's own, of when it was
	// appended.
	Time    time.Time
	Payload map[string]any
}

// Runs turns what happens to engines into events of a ledger. It may be used
// from any goroutine.
type Runs struct {
	// Open returns the ledger, opened when it is first needed.
	Open func(context.Context) (*Ledger, error)
	// Meter reads the energy counters of devices in millijoules, by the ids of
	// their memory in reserve_bytes. It may be nil: energy is not known then.
	Meter func(context.Context) (map[string]int64, error)
	// Power reads what devices draw in milliwatts, by the same ids, for those
	// that Meter has no counter of. It may be nil.
	Power func(context.Context) (map[string]int64, error)

	mu      sync.Mutex
	devices map[string]string // of sidecars, by their ids
	metered map[string]*metered
}

// mostRemembered bounds how many sidecars' devices are remembered.
const mostRemembered = 1024

// runActor is who records runs.
const runActor = "sidecar"

// hostPool is the system's memory among pools.
const hostPool = "host"

// deviceSeparator is between the devices of a run that takes several.
const deviceSeparator = "+"

// told is what a run's payload may say.
type told struct {
	Predicted []event.Figure   `json:"predicted"`
	Measured  []event.Figure   `json:"measured"`
	Reserve   map[string]int64 `json:"reserve_bytes"`
	PoolDelta map[string]int64 `json:"pool_delta_bytes"`
	Forced    bool             `json:"forced"`
	Start     string           `json:"start"`
	Terms     []event.Term     `json:"terms"`
	event.Energy

	Argv     []string `json:"argv"`
	Program  string   `json:"program"`
	Lifetime string   `json:"lifetime"`
	Daemon   string   `json:"daemon"`
	PID      int64    `json:"pid"`

	Resident     int64  `json:"resident_bytes"`
	PeakResident int64  `json:"peak_resident_bytes"`
	PeakDevice   *int64 `json:"peak_device_bytes"`

	What             string  `json:"what"`
	Milliseconds     int64   `json:"milliseconds"`
	FirstToken       int64   `json:"first_token_milliseconds"`
	PromptTokens     int64   `json:"prompt_tokens"`
	CompletionTokens int64   `json:"completion_tokens"`
	PerSecond        float64 `json:"tokens_per_second"`

	Uptime int64    `json:"uptime_milliseconds"`
	CPU    *int64   `json:"cpu_milliseconds"`
	Code   *int64   `json:"exit_code"`
	Signal string   `json:"signal"`
	Reason string   `json:"reason"`
	How    string   `json:"how"`
	Kind   string   `json:"kind"`
	Lines  []string `json:"lines"`
}

// Record appends the event. Command lines and lines of logs are kept as
// hashes: there may be secrets or prompts in them.
func (r *Runs) Record(ctx context.Context, e RunEvent) error {
	var t told
	raw, err := json.Marshal(e.Payload)
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	if err != nil {
		return fault.New(fault.InvalidArgument, "payload", "the %s of a run cannot be read", e.Type).WithHint("report it as a fault of hwledger-mcp").WithCause(err)
	}
	labels := event.Labels{Model: e.Model, Engine: e.Engine, EngineVersion: e.Version, Device: r.device(e, &t)}
	r.meter(ctx, e, &t, labels.Device)
	payload, err := t.payload(event.Type(e.Type), labels)
	if err != nil {
		return err
	}
	l, err := r.Open(ctx)
	if err != nil {
		return err
	}
	_, err = l.Append(ctx, Event{Type: event.Type(e.Type), Subject: e.Sidecar, Actor: runActor, Payload: payload})
	return err
}

// device names what the run takes memory of: its prediction says so, and what
// comes after it, a restart too, has it from there.
func (r *Runs) device(e RunEvent, t *told) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if pools := slices.Sorted(maps.Keys(t.Reserve)); len(pools) > 0 {
		if len(pools) > 1 {
			pools = slices.DeleteFunc(pools, func(id string) bool { return id == hostPool })
		}
		if r.devices == nil || len(r.devices) >= mostRemembered {
			r.devices = map[string]string{}
		}
		r.devices[e.Sidecar] = strings.Join(pools, deviceSeparator)
	}
	return r.devices[e.Sidecar]
}

// payload is what the ledger keeps of what was told.
func (t *told) payload(typ event.Type, labels event.Labels) (any, error) {
	switch typ {
	case event.TypePrediction:
		return t.prediction(labels), nil
	case event.TypeLaunch:
		l := event.Launch{Labels: labels, PID: t.PID, Program: t.Program, Lifetime: t.Lifetime, Daemon: t.Daemon, Arguments: int64(len(t.Argv))}
		if len(t.Argv) > 0 {
			l.Argv = digest(t.Argv, "\x00")
		}
		return l, nil
	case event.TypeMeasurement:
		m := event.Measurement{Labels: labels, Energy: t.Energy, Figures: t.beside(), Start: t.Start, Terms: t.Terms, PoolDelta: t.PoolDelta, Resident: known64(t.Resident), Peak: t.PeakDevice}
		if at := slices.IndexFunc(m.Figures, func(f event.Figure) bool { return f.Name == wholeFigure && f.Predicted == nil }); at >= 0 {
			m.Required = &m.Figures[at].Bytes // beside the whole prediction
		}
		return m, nil
	case event.TypeTiming:
		return event.Timing{Labels: labels, What: t.What, DurationMS: t.Milliseconds, FirstTokenMS: t.FirstToken,
			PromptTokens: t.PromptTokens, CompletionTokens: t.CompletionTokens, TokensPerSecond: t.PerSecond}, nil
	case event.TypeExit:
		x := event.Exit{Labels: labels, Energy: t.Energy, Code: t.Code, Signal: t.Signal, Reason: t.Reason, How: t.How, Failure: t.Kind, PID: t.PID,
			Peak: t.PeakDevice, Resident: known64(t.PeakResident), DurationMS: t.Uptime, CPUMS: t.CPU, LogLines: int64(len(t.Lines))}
		if len(t.Lines) > 0 {
			x.Log = digest(t.Lines, "\n")
		}
		return x, nil
	}
	return nil, fault.New(fault.InvalidArgument, "type", "a run has no event of type %q", typ).WithHint("use prediction, launch, measurement, timing or exit")
}

// wholeFigure is the figure of an engine that says only what it takes in all.
const wholeFigure = "required"

// prediction adds the figures up; one without a range is exact.
func (t *told) prediction(labels event.Labels) event.Prediction {
	p := event.Prediction{Labels: labels, Figures: t.Predicted, Reserve: t.Reserve, Forced: t.Forced}
	if len(t.Predicted) == 0 {
		return p
	}
	var sum, low, high int64
	for i := range t.Predicted {
		f := &t.Predicted[i]
		sum += f.Bytes
		low, high = low+or(f.Low, f.Bytes), high+or(f.High, f.Bytes)
	}
	p.Required, p.Low, p.High = &sum, &low, &high
	return p
}

// beside puts each measured figure beside what was predicted of it.
func (t *told) beside() []event.Figure {
	out := slices.Clone(t.Measured)
	for i := range out {
		out[i].Low, out[i].High = nil, nil
		for _, p := range t.Predicted {
			if p.Name == out[i].Name {
				low, high := or(p.Low, p.Bytes), or(p.High, p.Bytes)
				out[i].Predicted, out[i].Low, out[i].High = &p.Bytes, &low, &high
			}
		}
	}
	return out
}

func or(p *int64, otherwise int64) int64 {
	if p == nil {
		return otherwise
	}
	return *p
}

// known64 is n, or nil when it is 0, which the teller means by unknown.
func known64(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// digest is the SHA-256 of parts with an end after each, hexadecimal.
func digest(parts []string, end string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprint(h, p, end)
	}
	return hex.EncodeToString(h.Sum(nil))
}
