package lookup

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"hwledger/calc/lookup/fetch"
	"hwledger/calc/model"
	"hwledger/calc/near"
)

const ollamaPrefix = "ollama:"

func init() {
	register(source{
		name: "ollama", rank: 30,
		claims:  func(ref string) bool { return strings.HasPrefix(ref, ollamaPrefix) },
		resolve: fromOllama,
		list:    listOllama,
	})
}

// ollamaName is a model's full name. Its parts are what the store's folders
// are called. (ollama types/model/name.go)
type ollamaName struct{ host, namespace, model, tag string }

// What a name that leaves parts out means.
const (
	ollamaHost      = "registry.ollama.ai"
	ollamaNamespace = "library"
	ollamaTag       = "latest"
)

// parseOllama reads [host/][namespace/]model[:tag]. A colon behind the last
// slash begins the tag; one before it is the port of the host.
func parseOllama(s string) (ollamaName, bool) {
	n := ollamaName{host: ollamaHost, namespace: ollamaNamespace, tag: ollamaTag}
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, '/') {
		s, n.tag = s[:i], s[i+1:]
	}
	parts := strings.Split(s, "/")
	switch len(parts) {
	case 1:
	case 2:
		n.namespace = parts[0]
	case 3:
		n.host, n.namespace = parts[0], parts[1]
	default:
		return ollamaName{}, false
	}
	n.model = parts[len(parts)-1]
	return n, n.valid()
}

// valid reports whether every part has the characters that Ollama allows. None
// begins with a dot, so that none leads out of a folder.
func (n ollamaName) valid() bool {
	return ollamaPart(n.host, 350, ".:") && ollamaPart(n.namespace, 80, "") && ollamaPart(n.model, 80, ".") && ollamaPart(n.tag, 80, ".")
}

func ollamaPart(s string, most int, also string) bool {
	for i, c := range []byte(s) {
		word := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
		if !word && (i == 0 || c != '-' && strings.IndexByte(also, c) < 0) {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// String returns the shortest name that means the model, with its tag, as
// Ollama prints it.
func (n ollamaName) String() string {
	s := n.model + ":" + n.tag
	switch {
	case !strings.EqualFold(n.host, ollamaHost):
		return n.host + "/" + n.namespace + "/" + s
	case !strings.EqualFold(n.namespace, ollamaNamespace):
		return n.namespace + "/" + s
	}
	return s
}

// same reports whether two names mean one model; Ollama looks past the case of
// letters.
func (n ollamaName) same(o ollamaName) bool {
	return strings.EqualFold(n.host, o.host) && strings.EqualFold(n.namespace, o.namespace) &&
		strings.EqualFold(n.model, o.model) && strings.EqualFold(n.tag, o.tag)
}

// fromOllama describes a model of Ollama: from its store on this machine, else
// from what the daemon says about it.
func fromOllama(ctx context.Context, ref string, req Request) (*Result, error) {
	name, ok := parseOllama(strings.TrimPrefix(ref, ollamaPrefix))
	if !ok {
		return nil, model.Errorf(model.InvalidArgument, "model", "%q is not a name of Ollama", Clean(ref, MaxText)).
			WithHint("write ollama:name:tag, ollama:namespace/name:tag or ollama:host/namespace/name:tag")
	}
	d, err := newOllamaDaemon()
	if err != nil {
		return nil, err
	}
	r, err := fromOllamaStores(ctx, name)
	if err == nil {
		if d.local {
			d.addRunning(ctx, r, name)
		}
		return finish(r), nil
	}
	if c := code(err); c != model.ModelNotFound && c != model.Denied {
		return nil, err
	}
	if (req.Offline || offlineByEnv()) && !d.local {
		return nil, withNote(err, "the daemon at "+d.base+" is not asked without the network")
	}
	if r, err = d.resolve(ctx, name, err); err != nil {
		return nil, err
	}
	return finish(r), nil
}

// resolve asks the daemon about a model; missing is why the store did not have
// it, and the answer when the daemon has it neither.
func (d *ollamaDaemon) resolve(ctx context.Context, name ollamaName, missing error) (*Result, error) {
	r, err := d.show(ctx, name)
	switch {
	case err == nil:
		d.addRunning(ctx, r, name)
		return r, nil
	case fetch.Unreached(err):
		return nil, withNote(missing, "no Ollama answers at "+d.base)
	case code(err) != model.ModelNotFound:
		return nil, err
	}
	e := ollamaMissing(name, "nor does the daemon at "+d.base+" have it")
	if have, err := d.tags(ctx); err == nil {
		e.Candidates = nearOllama(name, have)
	}
	if len(e.Candidates) == 0 {
		var m *model.Error
		if errors.As(missing, &m) {
			e.Candidates = m.Candidates
		}
	}
	return nil, e
}

// ollamaMissing is the error for a model that the store does not have.
func ollamaMissing(name ollamaName, note string) *model.Error {
	e := model.Errorf(model.ModelNotFound, "model", "%s is not in Ollama's store", name)
	if note != "" {
		e.Message += ", " + note
	}
	return e.WithHint("run 'ollama pull %s', or set OLLAMA_MODELS or OLLAMA_HOST to where it is", name)
}

// withNote adds to the message of an error.
func withNote(err error, note string) error {
	var e *model.Error
	if !errors.As(err, &e) {
		return err
	}
	x := *e
	x.Message += ", and " + note
	return &x
}

// nearOllama returns references to the listed models that are most like name.
func nearOllama(name ollamaName, have []Listing) []string {
	refs := make([]string, len(have))
	for i, l := range have {
		refs[i] = strings.TrimPrefix(l.Ref, ollamaPrefix)
	}
	found := near.Names(name.String(), refs, 5)
	found = merge(found, near.Names(name.model, refs, 5), 5)
	for i := range found {
		found[i] = ollamaPrefix + found[i]
	}
	return found
}

// listOllama lists the stores on this machine, and what the daemon has beyond
// them: it may keep its models elsewhere, or where this user cannot read.
func listOllama(ctx context.Context) ([]Listing, error) {
	var out []Listing
	var failed error
	seen := map[string]bool{}
	add := func(models []Listing) {
		for _, l := range models {
			if key := strings.ToLower(l.Ref); !seen[key] {
				seen[key] = true
				out = append(out, l)
			}
		}
	}
	for _, s := range ollamaStores() {
		models, err := s.list(ctx)
		if err != nil {
			failed = err
		}
		add(models)
	}
	d, err := newOllamaDaemon()
	if err != nil {
		return out, err
	}
	if d.local || !offlineByEnv() {
		if models, err := d.tags(ctx); err == nil {
			add(models)
			failed = nil // the daemon reads what this user cannot
		} else if !fetch.Unreached(err) && failed == nil {
			failed = fmt.Errorf("asking Ollama for its models: %w", err)
		}
	}
	return out, failed
}
