package lookup

import (
	"context"
	"io/fs"
	"path"
	"strings"

	"hwledger/calc/model"
)

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
	if len(parts) < 2 || !hubWord(parts[0]) || !hubWord(parts[1]) || !hubWord(strings.ReplaceAll(h.revision, "/", "")) || !fs.ValidPath(h.revision) || h.quant != "" && !hubWord(h.quant) {
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

// pick returns the first file of the GGUF whose name carries the quantization
// that h asks for, or an error that lists the choices.
func (h hubRef) pick(ctx context.Context, t tree) (string, error) {
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
	var e *model.Error
	switch len(hits) {
	case 1:
		return hits[0], nil
	case 0:
		e = model.Errorf(model.ModelNotFound, "model", "%s has no GGUF model for %s", h.id, h.quant)
		hits = names
	default:
		e = model.Errorf(model.InvalidArgument, "model", "%s has %d GGUF models for %s", h.id, len(hits), h.quant)
	}
	for _, n := range hits[:min(len(hits), 20)] {
		e.Candidates = append(e.Candidates, h.id+"/"+n)
	}
	return "", e.WithHint("name one of the files")
}

// carries reports whether quant stands in the file's name or its folder's,
// between separators.
func carries(name, quant string) bool {
	name, quant = strings.ToUpper(strings.TrimSuffix(name, path.Ext(name))), strings.ToUpper(quant)
	separates := func(b byte) bool { return b == '-' || b == '.' || b == '/' }
	for from := 0; ; {
		i := strings.Index(name[from:], quant)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(quant)
		if (i == 0 || separates(name[i-1])) && (end == len(name) || separates(name[end])) {
			return true
		}
		from = i + 1
	}
}

// describe describes what h asks for of a tree: one GGUF, or the whole
// repository.
func (h hubRef) describe(ctx context.Context, t tree) (*Result, error) {
	switch {
	case h.file != "":
		return fromGGUF(ctx, t, h.file)
	case h.quant != "":
		name, err := h.pick(ctx, t)
		if err != nil {
			return nil, err
		}
		return fromGGUF(ctx, t, name)
	}
	return fromTree(ctx, t)
}

// at returns the reference to what h asks for at a commit.
func (h hubRef) at(commit string) string {
	switch {
	case h.file != "":
		return "hf:" + h.id + "/" + h.file + "@" + commit
	case h.quant != "":
		return "hf:" + h.id + "@" + commit + ":" + h.quant
	}
	return "hf:" + h.id + "@" + commit
}
