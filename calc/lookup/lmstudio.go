package lookup

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/near"
)

func init() {
	register(source{name: "lmstudio", rank: 20, claims: ofLMStudio, resolve: fromLMStudio, list: listLMStudio})
}

const lmPrefix = "lmstudio:"

func ofLMStudio(ref string) bool { return strings.HasPrefix(ref, lmPrefix) }

// lmStore is what is known of LM Studio on this machine at one moment.
type lmStore struct {
	folder, from string // where models are, and what said so
	models       []lmModel
	served       []lmServed
	err          error // why the folder could not be read
}

func openLMStudio(ctx context.Context, offline bool) (*lmStore, error) {
	home := lmHome()
	s := &lmStore{}
	s.folder, s.from = lmFolder(home)
	s.models, s.err = lmWalk(ctx, s.folder)
	var err error
	if s.served, err = lmAsk(ctx, home, offline); err != nil && len(s.models) == 0 {
		return nil, err
	}
	return s, ctx.Err()
}

// fromLMStudio describes the model that a key of LM Studio names, by its files
// in LM Studio's folder.
func fromLMStudio(ctx context.Context, ref string, req Request) (*Result, error) {
	key := strings.TrimPrefix(ref, lmPrefix)
	if key == "" {
		return nil, model.Errorf(model.InvalidArgument, "model", "%q names no model", ref).WithHint("use lmstudio:key with a key that 'lms ls' shows, or lmstudio:publisher/repo")
	}
	s, err := openLMStudio(ctx, req.Offline)
	if err != nil {
		return nil, err
	}
	told := s.describes(key)
	hits := lmNarrow(lmMatch(key, s.models), told)
	if len(hits) == 0 {
		hits = lmNarrow(lmBySize(s.models, told), told)
	}
	switch len(hits) {
	case 0:
		return nil, s.absent(key, told)
	case 1:
		return s.describe(ctx, &hits[0], told)
	}
	e := model.Errorf(model.InvalidArgument, "model", "%q may be any of %d models in LM Studio's folder", Clean(key, MaxText), len(hits))
	for i := range hits[:min(len(hits), 20)] {
		e.Candidates = append(e.Candidates, lmPrefix+hits[i].rel)
	}
	return nil, e.WithHint("use a candidate, or add the quantization: %s@q4_k_m", lmPrefix+Clean(key, MaxText))
}

// describes returns what the server says of a key, nil when it says nothing.
func (s *lmStore) describes(key string) *lmServed {
	bare, variant, _ := strings.Cut(key, "@")
	for i := range s.served {
		if strings.EqualFold(s.served[i].key, key) {
			return &s.served[i]
		}
	}
	for i := range s.served {
		x := s.served[i]
		if strings.EqualFold(x.key, bare) && (variant == "" || strings.EqualFold(x.selected, key)) {
			return &x
		}
	}
	return nil
}

// describe reads the model's headers.
func (s *lmStore) describe(ctx context.Context, m *lmModel, told *lmServed) (*Result, error) {
	t := dirTree{dir: filepath.Join(s.folder, filepath.FromSlash(m.dir())), from: "LM Studio's folder"}
	var r *Result
	var err error
	if m.file != "" {
		r, err = fromGGUF(ctx, t, m.file)
	} else {
		r, err = fromTree(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	r.Reference, r.ResolvedFrom = lmPrefix+m.rel, "lmstudio"
	r.Provenance = append(r.Provenance, fact("folder", s.folder, s.from))
	if told == nil {
		told = s.loadedAs(m)
	}
	lmLoaded(r, told)
	return finish(r), nil
}

// loadedAs returns what the server says of a loaded model that m is.
func (s *lmStore) loadedAs(m *lmModel) *lmServed {
	for i := range s.served {
		x := &s.served[i]
		if len(x.loaded) == 0 {
			continue
		}
		if hits := lmNarrow(lmMatch(x.key, s.models), x); len(hits) == 1 && hits[0].rel == m.rel {
			return x
		}
	}
	return nil
}

// lmLoaded says what the server has loaded of the model. The settings of the
// only instance are the model's.
func lmLoaded(r *Result, told *lmServed) {
	if told == nil {
		return
	}
	const from = "LM Studio's server"
	if len(told.loaded) == 0 {
		r.Provenance = append(r.Provenance, fact("loaded", "no", from))
	}
	for _, i := range told.loaded[:min(len(told.loaded), 20)] {
		what := from
		if n := i.settings["context_length"]; n != "" {
			what += ": with a context of " + n + " tokens"
		}
		r.Provenance = append(r.Provenance, fact("loaded", i.id, what))
	}
	if len(told.loaded) == 1 && len(told.loaded[0].settings) > 0 {
		r.Settings = told.loaded[0].settings
	}
}

// absent is the error for a key that no file answers to.
func (s *lmStore) absent(key string, told *lmServed) error {
	show := Clean(key, MaxText)
	e := model.Errorf(model.ModelNotFound, "model", "LM Studio has no model %q in %s", show, Clean(s.folder, MaxText))
	if s.err != nil {
		e.Message, e.Err = fmt.Sprintf("%q was not found in LM Studio's folder %s, which could not be read", show, Clean(s.folder, MaxText)), s.err
	}
	if told != nil {
		e.Message = fmt.Sprintf("LM Studio's server has %q (%s), but its files are not in %s", show, told.text(), Clean(s.folder, MaxText))
		return e.WithHint("the server does not tell a model's layers: give the Hub repository that it came from (org/name:QUANT for a GGUF), the path of its files, or set downloadsFolder in LM Studio's settings to where they are")
	}
	var names []string
	for i := range s.models {
		names = append(names, s.models[i].rel)
	}
	for i := range s.served {
		names = append(names, Clean(s.served[i].key, MaxText))
	}
	bare, _, _ := strings.Cut(key, "@")
	for _, n := range near.Names(bare, names, 5) {
		e.Candidates = append(e.Candidates, lmPrefix+n)
	}
	if len(e.Candidates) > 0 {
		return e.WithHint("use a candidate; 'lms ls' shows all keys")
	}
	return e.WithHint("'lms ls' shows all keys; the folder is named in LM Studio's settings")
}

// text is what the server says of a model in a few words.
func (s *lmServed) text() string {
	var out []string
	for _, w := range []string{s.arch, s.format, s.quant} {
		if w != "" {
			out = append(out, Clean(w, MaxText))
		}
	}
	if s.bytes > 0 {
		out = append(out, strconv.FormatInt(s.bytes, 10)+" bytes")
	}
	if s.context > 0 {
		out = append(out, "context up to "+strconv.FormatInt(s.context, 10)+" tokens")
	}
	if len(s.loaded) > 0 {
		out = append(out, "loaded")
	}
	return strings.Join(out, ", ")
}

// listLMStudio lists the models of the folder, and those that only the server
// knows when the folder is not here.
func listLMStudio(ctx context.Context) ([]Listing, error) {
	home := lmHome()
	folder, _ := lmFolder(home)
	models, err := lmWalk(ctx, folder)
	out := make([]Listing, 0, len(models))
	for i := range models {
		out = append(out, Listing{Ref: lmPrefix + models[i].rel, Source: "lmstudio", Bytes: models[i].bytes, Modified: models[i].modified})
	}
	if len(out) > 0 {
		return out, err
	}
	served, askErr := lmAsk(ctx, home, false)
	for i := range served {
		out = append(out, Listing{Ref: lmPrefix + served[i].key, Source: "lmstudio", Bytes: served[i].bytes})
	}
	switch {
	case len(out) > 0:
		return out, nil
	case err != nil:
		return nil, pathError(folder, err)
	}
	return nil, askErr
}
