package lookup

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"hwledger/calc/lookup/fetch"
	"hwledger/calc/model"
)

func init() {
	register(source{name: "hub", rank: 80, claims: onNetwork, resolve: fromNetwork})
}

// onNetwork reports whether ref is an address of a GGUF file or a reference to
// a Hub repository: hf:…, org/name, org/name@revision, org/name:Q4_K_M,
// org/name/file.gguf.
func onNetwork(ref string) bool {
	if strings.HasPrefix(ref, "https://") || strings.HasPrefix(ref, "http://") {
		return true
	}
	_, ok := parseHub(ref)
	return ok
}

// hubRef is a reference to a Hub repository.
type hubRef struct {
	id, revision string
	file         string // path in the repository, or ""
	quant        string // GGUF quantization by name, or ""
	whole        bool   // the repository as such: org/name
}

func parseHub(ref string) (hubRef, bool) {
	rest, marked := strings.CutPrefix(ref, "hf:")
	if !marked && isPath(ref) && strings.Count(ref, "/") < 2 || strings.HasPrefix(ref, "catalog:") || strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, ".") {
		return hubRef{}, false
	}
	h := hubRef{revision: "main"}
	if before, quant, ok := strings.Cut(rest, ":"); ok {
		rest, h.quant = before, quant
		if quant == "" {
			return hubRef{}, false
		}
	}
	if before, rev, ok := strings.Cut(rest, "@"); ok {
		rest, h.revision = before, rev
	}
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) < 2 || !hubWord(parts[0]) || !hubWord(parts[1]) || !hubWord(strings.ReplaceAll(h.revision, "/", "")) || h.quant != "" && !hubWord(h.quant) {
		return hubRef{}, false
	}
	h.id = parts[0] + "/" + parts[1]
	if len(parts) == 3 {
		if h.file = parts[2]; h.quant != "" || !fs.ValidPath(h.file) || !strings.HasSuffix(strings.ToLower(h.file), ".gguf") {
			return hubRef{}, false
		}
	}
	h.whole = h.file == "" && h.quant == ""
	return h, true
}

// hubWord reports whether s is made of what the Hub allows in names.
func hubWord(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > 96 {
		return false
	}
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// fromNetwork describes a model by the headers of files on the network; its
// weights are never fetched.
func fromNetwork(ctx context.Context, ref string, req Request) (*Result, error) {
	h, onHub := parseHub(ref)
	if req.Offline || offlineByEnv() {
		if onHub && h.whole {
			return nil, unknownModel(ref, h.id)
		}
		e := model.Errorf(model.Offline, "model", "%s is on the network, which is not to be used", Clean(ref, MaxText)).
			WithHint("leave out offline and HF_HUB_OFFLINE, or give the path of the downloaded file")
		if found, ok, _ := find(h.id); onHub && ok {
			e.Candidates = []string{found.ID}
		}
		return nil, e
	}
	if !onHub {
		return fromAddress(ctx, ref)
	}
	r, err := fromHub(ctx, h)
	if err != nil && h.whole && fetch.Unreached(err) {
		var e *model.Error
		if errors.As(unknownModel(ref, h.id), &e) {
			e.Message += ", and the Hub could not be reached"
			return nil, e
		}
	}
	return r, err
}

// fromAddress describes a GGUF file at an address.
func fromAddress(ctx context.Context, address string) (*Result, error) {
	u, err := url.Parse(address)
	if err != nil || !strings.HasSuffix(strings.ToLower(u.Path), ".gguf") {
		return nil, model.Errorf(model.InvalidArgument, "model", "%s is not the address of a GGUF file", Clean(address, MaxText)).
			WithHint("give an address that ends in .gguf, or org/name for a Hub repository")
	}
	dir, name := path.Split(u.Path)
	base := *u
	base.Path = dir
	r, err := fromGGUF(ctx, &remoteTree{client: client(), base: &base, only: name}, name)
	if err != nil {
		return nil, err
	}
	r.Reference, r.ResolvedFrom = address, "network"
	return finish(r), nil
}

// fromHub describes a repository, or one GGUF file of it.
func fromHub(ctx context.Context, h hubRef) (*Result, error) {
	t, err := openRepo(ctx, h)
	if err != nil {
		return nil, err
	}
	var r *Result
	switch {
	case h.file != "":
		r, err = fromGGUF(ctx, t, h.file)
	case h.quant != "":
		var name string
		if name, err = t.pick(ctx, h); err == nil {
			r, err = fromGGUF(ctx, t, name)
		}
	default:
		r, err = fromTree(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	r.Reference, r.ResolvedFrom = "hf:"+h.id+"@"+t.commit, "hub"
	if r.License == "" {
		r.License = t.license
	}
	return finish(r), nil
}

// pick returns the first file of the GGUF whose name carries the
// quantization, or an error that lists the choices.
func (t *remoteTree) pick(ctx context.Context, h hubRef) (string, error) {
	all, err := t.files(ctx)
	if err != nil {
		return "", err
	}
	names := ggufs(all)
	var hits []string
	for _, n := range names {
		if carries(n, h.quant) {
			hits = append(hits, n)
		}
	}
	if len(hits) == 1 {
		return hits[0], nil
	}
	e := model.Errorf(model.InvalidArgument, "model", "%s has %d GGUF models for %s", h.id, len(hits), h.quant)
	if len(hits) == 0 {
		hits = names
	}
	for _, n := range hits[:min(len(hits), 20)] {
		e.Candidates = append(e.Candidates, h.id+"/"+n)
	}
	return "", e.WithHint("name one of the files")
}

// carries reports whether quant is a word of the file's name or of its folder.
func carries(name, quant string) bool {
	words := strings.FieldsFunc(strings.ToUpper(strings.TrimSuffix(name, path.Ext(name))), func(r rune) bool { return r == '-' || r == '.' || r == '/' })
	for _, w := range words {
		if w == strings.ToUpper(quant) {
			return true
		}
	}
	return false
}

// offlineByEnv is the Hub library's own switch.
func offlineByEnv() bool {
	switch strings.ToUpper(os.Getenv("HF_HUB_OFFLINE")) {
	case "1", "TRUE", "YES", "ON":
		return true
	}
	return false
}

// endpoint returns where the Hub is, without a slash at its end.
func endpoint() string {
	if e := os.Getenv("HF_ENDPOINT"); e != "" {
		return strings.TrimRight(e, "/")
	}
	return "https://huggingface.co"
}

// token returns the Hub token as its own library finds it: HF_TOKEN, or the
// file that its login wrote.
func token() string {
	if t := os.Getenv("HF_TOKEN"); t != "" {
		return strings.TrimSpace(t)
	}
	file := os.Getenv("HF_TOKEN_PATH")
	if file == "" {
		home := os.Getenv("HF_HOME")
		if home == "" {
			cache, err := os.UserHomeDir()
			if err != nil {
				return ""
			}
			home = filepath.Join(cache, ".cache", "huggingface")
		}
		file = filepath.Join(home, "token")
	}
	b, err := readFile(file, 4096)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// client is made on first use for the endpoint and token of that moment.
var client = sync.OnceValue(newClient)

func newClient() *fetch.Client {
	o := fetch.Options{UserAgent: "hwledger", Tokens: map[string]string{endpoint(): token()}}
	if os.Getenv("HF_ENDPOINT") != "" {
		o.Trusted = []string{endpoint()}
	}
	return fetch.New(o)
}
