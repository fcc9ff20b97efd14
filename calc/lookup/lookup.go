// Package lookup finds the description of a model: in local files, in a
// configuration given inline, in the embedded catalogue. A source is one file
// and one register line.
package lookup

import (
	"context"
	"errors"
	"slices"
	"strings"

	"hwledger/calc/model"
)

// Request asks for a model by reference, or by its configuration.
type Request struct {
	// Ref is a reference: org/name, catalog:org/name, a path.
	Ref string
	// Config is a config.json, given instead of a reference.
	Config []byte
	// Offline forbids the network.
	Offline bool
}

// File is one file that the description was read from.
type File struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	// Role is config, weights, index or quantization.
	Role string `json:"role"`
}

// Result is a model and where everything about it was read.
type Result struct {
	Model *model.Model
	// Reference is the reference in its full form; ResolvedFrom says which
	// source answered: "local", "inline", "catalog".
	Reference, ResolvedFrom string
	Files                   []File
	License                 string
	// StoredByDType is what the checkpoint stores, in bytes by type. It is
	// nil when no header was read and the catalogue does not record it.
	StoredByDType map[string]int64
	// StoredBytes is the size of all stored tensors, 0 when unknown.
	StoredBytes int64
	// PublishedParams is the count printed with the weights, 0 when unknown.
	PublishedParams int64
	// Components are the parts that the reference names beside its decoder,
	// or instead of one.
	Components []Component
	// Settings are what the place itself sets for the model, by its own names:
	// Ollama's num_ctx, an MLX server's defaults. Nil when there are none.
	Settings   map[string]string
	Provenance []model.Fact
}

// source is one place that models come from.
type source struct {
	name string
	// rank orders sources that claim the same reference, lowest first.
	rank int
	// claims reports whether the reference has this source's form.
	claims func(ref string) bool
	// resolve returns a ModelNotFound error to pass on to the next source.
	resolve func(ctx context.Context, ref string, req Request) (*Result, error)
	// list returns what the place holds, nil when it cannot say. Errors are
	// for a place that is there and cannot be read, never for an absent one.
	list func(ctx context.Context) ([]Listing, error)
}

// sources is filled by init functions and not changed after.
var sources []source

func register(s source) {
	sources = append(sources, s)
	slices.SortStableFunc(sources, func(a, b source) int { return a.rank - b.rank })
}

// Resolve returns the model that req means. Errors are *model.Error:
// InvalidArgument for a reference without a known form, ModelNotFound with
// candidates, Offline for one that needs the network, and what the parsers
// say about the files.
func Resolve(ctx context.Context, req Request) (*Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx = withRequest(ctx, req)
	if len(req.Config) > 0 {
		if req.Ref != "" {
			return nil, model.Errorf(model.InvalidArgument, "config", "give either model or config, not both")
		}
		return inline(req.Config)
	}
	ref := strings.TrimSpace(req.Ref)
	switch {
	case ref == "":
		return nil, model.Errorf(model.InvalidArgument, "model", "no model was given").WithHint("%s", forms)
	case len(ref) > 4096:
		return nil, model.Errorf(model.InvalidArgument, "model", "the reference is %d characters long", len(ref))
	case Clean(ref, len(ref)) != ref:
		return nil, model.Errorf(model.InvalidArgument, "model", "the reference has control or invisible characters")
	}
	var missing *model.Error
	var not *unasked
	for _, s := range sources {
		if !s.claims(ref) {
			continue
		}
		r, err := s.resolve(ctx, ref, req)
		if err == nil {
			return not.note(r), nil
		}
		var e *model.Error
		if first := not; errors.As(err, &not) {
			if first != nil {
				not = first
			}
			continue
		}
		if !errors.As(err, &e) || e.Code != model.ModelNotFound {
			return nil, err
		}
		if missing == nil || len(missing.Candidates) == 0 || len(e.Candidates) > 0 {
			missing = e
		}
	}
	switch {
	case not != nil:
		return nil, not.explain(missing)
	case missing != nil:
		return nil, missing
	}
	return nil, model.Errorf(model.InvalidArgument, "model", "%q is not a form of reference that is known", ref).WithHint("%s", forms)
}

// forms is the hint of every reference that cannot be read.
const forms = `use org/name, org/name:Q4_K_M or org/name/file.gguf of the Hub, catalog:org/name of the embedded catalogue, a path (./dir, /path/config.json, /path/x.gguf), the https address of a GGUF, ollama:name:tag, lmstudio:key, mlx:dir-or-repo, or give the config.json itself as "config"`

// unasked is the error of a source that could not be asked. Other sources
// are asked then; when none of them knows the model it is the answer.
type unasked struct{ err *model.Error }

func (e *unasked) Error() string { return e.err.Error() }
func (e *unasked) Unwrap() error { return e.err }

// note adds to a result of another source why this one did not answer.
func (e *unasked) note(r *Result) *Result {
	if e != nil {
		r.Provenance = append(r.Provenance, fact("hub", "not read", Clean(e.err.Error(), MaxText)))
	}
	return r
}

// explain says of a reference that nothing knows why this source did not
// answer, and offers the names that another one has. Offline a name that is
// nearly right is more probable than one that only the network knows.
func (e *unasked) explain(missing *model.Error) error {
	if missing == nil {
		return e.err
	}
	x := *e.err
	if x.Code == model.Offline && len(missing.Candidates) > 0 {
		x = *missing
		x.Message += "; " + e.err.Message
	}
	if len(x.Candidates) == 0 {
		x.Candidates = missing.Candidates
	}
	return &x
}
