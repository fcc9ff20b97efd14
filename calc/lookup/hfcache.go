package lookup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gomlx/go-huggingface/hub"

	"hwledger/calc/model"
)

func init() {
	register(source{name: "hf-cache", rank: 20, claims: isHub, resolve: fromHubCache, list: listHubCache})
}

func isHub(ref string) bool {
	_, ok := parseHub(ref)
	return ok
}

// repoDirs prefix the directories of model repositories in the shared cache:
// models--org--name, with refs/<revision> naming a commit and
// snapshots/<commit> linking to the files in blobs.
const repoDirs = "models" + hub.RepoIdSeparator

var commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// fromHubCache describes a repository by the files that the Hub's own
// libraries downloaded.
func fromHubCache(ctx context.Context, ref string, _ Request) (*Result, error) {
	h, _ := parseHub(ref)
	dir := filepath.Join(hubCacheDir(), repoDirs+strings.ReplaceAll(h.id, "/", hub.RepoIdSeparator))
	commit, err := cachedCommit(dir, h.revision)
	if err != nil {
		return nil, err
	}
	t := dirTree{dir: filepath.Join(dir, "snapshots", commit), from: "Hugging Face cache, commit " + commit, deep: true}
	r, err := h.describe(ctx, t)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notCached(h)
	} else if err != nil {
		return nil, err
	}
	r.Reference, r.ResolvedFrom = h.at(commit), "hf-cache"
	return finish(r), nil
}

// cachedCommit returns the commit of a revision that has a snapshot.
func cachedCommit(dir, revision string) (string, error) {
	commit := revision
	if !commitHash.MatchString(commit) {
		b, err := readFile(filepath.Join(dir, "refs", filepath.FromSlash(revision)), 256)
		if err != nil {
			return "", model.Errorf(model.ModelNotFound, "model", "the Hugging Face cache does not have it")
		}
		commit = strings.TrimSpace(string(b))
	}
	if !commitHash.MatchString(commit) || !exists(filepath.Join(dir, "snapshots", commit)) {
		return "", model.Errorf(model.ModelNotFound, "model", "the Hugging Face cache does not have it")
	}
	return commit, nil
}

func notCached(h hubRef) error {
	return model.Errorf(model.ModelNotFound, "model", "the Hugging Face cache has %s, but not what describes it", h.id)
}

// listHubCache lists the repositories in the cache that hold a model: whole
// ones, and each GGUF of the others.
func listHubCache(ctx context.Context) ([]Listing, error) {
	root := hubCacheDir()
	dirs, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, pathError(root, err)
	}
	var out []Listing
	for _, d := range dirs {
		flat, ok := strings.CutPrefix(d.Name(), repoDirs)
		id := strings.Replace(flat, hub.RepoIdSeparator, "/", 1)
		if h, isRef := parseHub("hf:" + id); !ok || !isRef || !h.whole || ctx.Err() != nil {
			continue
		}
		dir := filepath.Join(root, d.Name())
		commit, err := cachedCommit(dir, "main")
		if err != nil {
			continue
		}
		out = append(out, listSnapshot(ctx, id, dirTree{dir: filepath.Join(dir, "snapshots", commit), deep: true})...)
	}
	return out, ctx.Err()
}

// listSnapshot lists what one snapshot holds.
func listSnapshot(ctx context.Context, id string, t dirTree) []Listing {
	files, err := t.files(ctx)
	if err != nil {
		return nil
	}
	whole := Listing{Ref: "hf:" + id, Source: "hf-cache"}
	if info, err := os.Stat(t.dir); err == nil {
		whole.Modified = info.ModTime()
	}
	for _, f := range files {
		if strings.HasSuffix(f.name, ".safetensors") {
			whole.Bytes += max(0, f.size)
		}
	}
	if t.has(ctx, configName) {
		return []Listing{whole}
	}
	var out []Listing
	for _, name := range ggufs(files) {
		one := whole
		one.Ref, one.Bytes = "hf:"+id+"/"+name, setBytes(name, files)
		out = append(out, one)
	}
	return out
}

// setBytes is the size of a GGUF with all files of its set that are there.
func setBytes(name string, files []entry) (n int64) {
	stem, split := name, false
	if _, split = splitPart(strings.ToLower(name)); split {
		stem = name[:len(name)-len("00001-of-00003.gguf")]
	}
	for _, f := range files {
		if f.name == name || split && strings.HasPrefix(f.name, stem) {
			n += max(0, f.size)
		}
	}
	return n
}
