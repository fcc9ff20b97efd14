package engine

import (
	"fmt"
	"path/filepath"
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
	hint := "find a repository of this model that is stored as %[1]s (search_models with filters.quantization=%[1]s), give it as model, and leave weights out"
	if name := strings.TrimLeft(strings.ToUpper(weights), "IT"); strings.HasPrefix(name, "Q") {
		hint = "%[1]s is a type of GGUF files: give a repository of them as org/name:%[1]s, with engine llama.cpp"
	}
	return model.Errorf(model.InvalidArgument, "weights", "%s has no option that makes %s of this model's files", engine, weights).
		WithHint(hint, weights)
}

// Unbounded notes what was planned for where the server has no option that
// bounds its requests.
func (c *Command) Unbounded(seqs, tokens int64) {
	c.Notes = append(c.Notes, fmt.Sprintf("no option bounds a request's tokens: %d × %d were planned, longer requests take more", seqs, tokens))
}

// Queued notes that a server is told to run fewer sequences at once than were
// planned; most is what option allows, 0 for no bound.
func (c *Command) Queued(option string, seqs, most int64) {
	if most > 0 && seqs > most {
		c.Notes = append(c.Notes, fmt.Sprintf("%s lets %d sequences run at once; %d were planned, and the others wait", option, most, seqs))
	}
}

// LocalPath returns what an engine loads when that is a path of this machine,
// else "". Paths begin with a slash, a dot or a tilde, as references to models
// do, on Windows with a backslash or a drive too; a bare name is that of a
// repository.
func LocalPath(ref string) string {
	s := filepath.ToSlash(ref)
	if filepath.IsAbs(ref) || strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || strings.HasPrefix(s, "~/") {
		return ref
	}
	return ""
}

// HubFile splits the reference of one file in a repository of the Hub,
// org/name/file, ok when ref is one.
func HubFile(ref string) (repo, file string, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(ref, "hf:"), "/", 3)
	if len(parts) < 3 || parts[0] == "" || strings.Contains(parts[0], ":") || LocalPath(ref) != "" {
		return "", "", false
	}
	return parts[0] + "/" + parts[1], parts[2], parts[1] != "" && parts[2] != ""
}

// Repository splits what an engine loads into a repository's name, or a path,
// and its revision, "" for the default one.
func Repository(ref string) (id, revision string) {
	if p := LocalPath(ref); p != "" {
		return p, ""
	}
	id, revision, _ = strings.Cut(strings.TrimPrefix(ref, "hf:"), "@")
	return id, revision
}
