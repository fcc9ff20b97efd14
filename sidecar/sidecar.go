// Package sidecar runs inference engines as children: a specification becomes
// a process, the process becomes ready, what it took is measured beside what
// was predicted, and it ends with nothing left of it.
//
// Each sidecar's state belongs to one goroutine:
//
//	starting ──► ready ──► stopping ──► stopped
//	    │  ▲       │
//	    ▼  └───────┴── (crashed, and worth another try)
//	  failed
//
// What happens is told to a Recorder, memory is asked of a Probe, and what an
// engine's log says is read by a Reader; this package knows none of them.
package sidecar

import (
	"context"
	"io"
	"time"

	"hwledger/calc/engine"
)

// State is where a sidecar is in its life.
type State string

// The states. A stopped or failed sidecar does not run, and never will again:
// it is kept to be looked at.
const (
	Starting State = "starting"
	Ready    State = "ready"
	Stopping State = "stopping"
	Stopped  State = "stopped"
	Failed   State = "failed"
)

// Over reports whether a sidecar in the state has ended for good.
func (s State) Over() bool { return s == Stopped || s == Failed }

// Lifetime says what a sidecar's end is bound to.
type Lifetime string

// The lifetimes. Session sidecars end with this program, detached ones stay
// and are adopted by its next run.
const (
	Session  Lifetime = "session"
	Detached Lifetime = "detached"
)

// Spec is what to run. It is made from typed options only: a caller's text
// reaches Args as the value of an option, never as an option.
type Spec struct {
	// Name is what people call it; the id when empty.
	Name string
	// Engine is the adapter's name.
	Engine string
	// Version is the program's, "" when it does not say.
	Version string
	// Model is what calls name: a file, or a repository.
	Model string
	// Program is the file to run and Args what follows it, with an address and
	// a port in them that are replaced.
	Program string
	Args    []string
	// Env are variables to set beside the few that are inherited.
	Env map[string]string
	// Files are what the engine reads from its working folder, by name.
	Files map[string]string
	// ContextTokens and Sequences are what it shall serve; engines that are told
	// by message get them so.
	ContextTokens, Sequences, BatchTokens int64
	GPULayers                             *int64
	// HelperArgs are a wrapped program's arguments, for a helper.
	HelperArgs []string
	// Prepare makes what the program needs and is not there yet, nil for
	// nothing. It is called before the first start; what it writes is logged.
	Prepare  func(context.Context, io.Writer) error
	Lifetime Lifetime
	// TTL stops a sidecar that nobody called for so long, 0 never. Stall ends a
	// start that shows no progress for so long; 5 minutes.
	TTL, Stall time.Duration
	// Predicted is what the plan says it will take.
	Predicted []Figure
	// Start names what is started, the model with its load, and Took says what it
	// took of the terms of its plan, by its log, by what it says itself and by
	// what the driver says it holds of each pool. Took is nil where nothing is to
	// be learnt.
	Start string
	Took  func(log string, own []Figure, held map[string]int64) []engine.Took
	// Reserve is what it needs of each pool of memory, in bytes.
	Reserve map[string]int64
	// Force starts it though it would not fit.
	Force bool
}

// Helper is how a helper is run.
type Helper struct {
	// Python runs Script; Prepare makes the Python, nil when it is there.
	Python, Script string
	Prepare        func(context.Context, io.Writer) error
}

// Figure is one amount of memory.
type Figure struct {
	// Name is what it is for, as the plan and the reader of logs call it.
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	// Low and High are the plan's range, 0 where it is exact or measured.
	Low  int64 `json:"low_bytes,omitempty"`
	High int64 `json:"high_bytes,omitempty"`
}

// Failure is why a sidecar failed.
type Failure struct {
	// Kind is out_of_memory, port_in_use, bad_model, bad_option, stalled,
	// crashed or failed.
	Kind string `json:"kind"`
	// Cause is one sentence, Lines are those of the log that say so.
	Cause string   `json:"cause"`
	Lines []string `json:"lines,omitempty"`
	// Permanent failures come again when nothing is changed.
	Permanent bool `json:"permanent"`
}

// The kinds of Failure.
const (
	OutOfMemory = "out_of_memory"
	PortInUse   = "port_in_use"
	BadModel    = "bad_model"
	BadOption   = "bad_option"
	Stalled     = "stalled"
	Crashed     = "crashed"
	Unknown     = "failed"
)

// Status is a sidecar as it is now.
type Status struct {
	ID, Name, Engine, Version, Model string
	State                            State
	Lifetime                         Lifetime
	// Reason is why it is in the state, "" when nothing is to be said.
	Reason string
	PID    int
	// Endpoint is where it listens: "http://127.0.0.1:PORT", "unix:PATH", or
	// "stdio". BaseURL is the OpenAI-compatible address for other clients, ""
	// when it has none; the key that they need is in KeyFile.
	Endpoint, BaseURL, KeyFile string
	Created                    time.Time
	// Took is how long it took to be ready.
	Took     time.Duration
	Restarts int
	// Calls is how many are running, LastUsed when one ended.
	Calls    int
	LastUsed time.Time

	Predicted, Measured []Figure
	// Resident is system memory of all its processes, 0 when unknown.
	Resident int64
	Reserve  map[string]int64
	Failure  *Failure
	Log      string // its file, "" when it is in memory only
}

// Pool is memory that sidecars take from: the host's, or a device's.
type Pool struct {
	ID          string
	Total, Free int64
}

// HostPool is the id of the system's memory.
const HostPool = "host"

// Probe says what memory is free.
type Probe interface {
	Pools(context.Context) ([]Pool, error)
}

// Reading is what a log says.
type Reading struct {
	Version  string
	Measured []Figure
	Failure  *Failure
}

// Reader reads what an engine printed.
type Reader interface {
	Read(engine, log string) Reading
}

// Progress is told what a starting sidecar printed last, and for how long it
// has been starting.
type Progress func(line string, waited time.Duration)
