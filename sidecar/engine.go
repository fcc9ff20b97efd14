package sidecar

import (
	"context"
	"regexp"
	"sync"
)

// Engine is how one inference engine is run. Engines are values: a new one is
// a file in package engines and a line in its list.
type Engine struct {
	// Name is the adapter's, Plans the planner's name of the engine.
	Name, Plans string
	// Programs are the names that its program goes by.
	Programs []string
	// VersionArgs make it print its version, which Version finds.
	VersionArgs []string
	Version     *regexp.Regexp
	// HelpArgs make it print its options, each in another way; the next is tried
	// when one gives few. Without them options are not checked.
	HelpArgs [][]string
	// Lead are the first of its arguments, which are no options of its own.
	Lead []string
	// Refused are options that are never passed, whoever asks: they read or
	// write files of the caller's choice, run code, or open the server.
	Refused []string

	// HostFlag and PortFlag say where it listens. SocketFlag is the option for
	// a UNIX socket, "" when it has none.
	HostFlag, PortFlag, SocketFlag string
	// KeyEnv is the variable for the API key, "" when the engine takes it from
	// none. KeyOption and KeyText are for one that reads it from a file: the
	// option for the file, and what is in it before the key. The key is never on
	// the command line, where everybody sees it.
	KeyEnv, KeyOption, KeyText string
	// Args are added when the program's help has the first word of each; Env is
	// always set.
	Args [][]string
	Env  map[string]string

	// Talk is how it is spoken to.
	Talk Talk
	// Health is the path that answers 200 when it is ready, Models the one
	// that lists models, "" for none.
	Health, Models string
	// Failures are texts of its own beside the common ones.
	Failures []Signature
	// Daemon is set instead of everything above for an engine that runs
	// anyway, and is asked to load and unload.
	Daemon Daemon
}

// Talk is how an engine is spoken to.
type Talk int

// The ways.
const (
	OpenAI Talk = iota // over HTTP
	Stdio              // the helper protocol
)

// Pattern is a regular expression that is compiled at its first use: most
// servers never run an engine, and none runs all.
type Pattern func() *regexp.Regexp

// Lazy returns the pattern of an expression, which has to be valid.
func Lazy(expression string) Pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// Signature is a text in a log that tells a kind of failure.
type Signature struct {
	Pattern Pattern
	Kind    string
	Cause   string
}

// Daemon is an engine that is no child of ours.
type Daemon interface {
	// URL is its OpenAI-compatible address, with /v1.
	URL() string
	// Version fails when it does not run.
	Version(context.Context) (string, error)
	// Load loads a model and returns when it is loaded.
	Load(ctx context.Context, model string, o LoadOptions) error
	Unload(ctx context.Context, model string) error
	// Loaded lists what is loaded.
	Loaded(context.Context) ([]Loaded, error)
}

// Caller is a daemon that is called in its own way: one that loads a model
// again when a call does not say what it was loaded with, which the OpenAI API
// cannot.
type Caller interface {
	Call(ctx context.Context, model string, o LoadOptions, q Call, onText func(string)) (*Reply, error)
}

// Counter is a daemon that in some of its releases does not measure what a
// loaded model takes, but counts what it should.
type Counter interface{ Counts(release string) bool }

// LoadOptions are what a daemon is told with a model.
type LoadOptions struct {
	ContextTokens, Sequences int64
	// BatchTokens is how many tokens are evaluated at once, 0 for its default.
	BatchTokens int64
	// Layers on devices, nil for all that fit.
	GPULayers *int64
	// Keep asks that it stays until it is unloaded; the daemon's own rule holds
	// for what others have loaded.
	Keep bool
}

// Loaded is a model that a daemon holds.
type Loaded struct {
	Model         string
	ContextTokens int64
	// Bytes is what it takes in all, OnDevice the part on devices; 0 when the
	// daemon does not say.
	Bytes, OnDevice int64
}
