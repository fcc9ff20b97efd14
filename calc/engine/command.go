package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// Args builds an argument vector.
type Args struct{ Argv []string }

// NewArgs begins with a program and what follows it.
func NewArgs(program ...string) *Args { return &Args{Argv: slices.Clone(program)} }

// Set adds a flag with a value.
func (a *Args) Set(flag string, value any) {
	switch v := value.(type) {
	case string:
		a.Argv = append(a.Argv, flag, v)
	case float64: // JSON's only number: counts stay counts
		a.Argv = append(a.Argv, flag, strconv.FormatFloat(v, 'f', -1, 64))
	default:
		a.Argv = append(a.Argv, flag, fmt.Sprint(v))
	}
}

// Int adds a flag with a count unless that is 0.
func (a *Args) Int(flag string, n int64) {
	if n != 0 {
		a.Set(flag, n)
	}
}

// On adds a flag without a value when on.
func (a *Args) On(flag string, on bool) {
	if on {
		a.Argv = append(a.Argv, flag)
	}
}

// Stored reports whether a weight scheme is what the model stores.
func Stored(weights string) bool { return weights == "" || strings.EqualFold(weights, "auto") }

// NotLoadable is the error for weights that no option of an engine makes of
// the model's files.
func NotLoadable(engine, weights string) error {
	return model.Errorf(model.InvalidArgument, "weights", "%s has no option that makes %s of this model's files", engine, weights).
		WithHint("export with the reference of a checkpoint that is stored as %s, and leave weights out", weights)
}

// Repository splits what an engine loads into a repository's name, or a path,
// and its revision, "" for the default one.
func Repository(ref string) (id, revision string) {
	id, revision, _ = strings.Cut(strings.TrimPrefix(ref, "hf:"), "@")
	return id, revision
}
