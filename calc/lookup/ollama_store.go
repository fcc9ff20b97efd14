package lookup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"hwledger/calc/model"
)

// ollamaStore is a folder that Ollama keeps its models in: manifests by name,
// and what they list as blobs by digest. (ollama manifest/paths.go)
type ollamaStore struct{ dir string }

// maxOllamaModels bounds how many manifests are looked at.
const maxOllamaModels = 10_000

// ollamaStores returns the folders that models are looked for in:
// OLLAMA_MODELS alone when it is set, else the user's and the one of the
// service that Ollama's installer sets up on Linux.
func ollamaStores() []ollamaStore {
	if dir := ollamaEnv("OLLAMA_MODELS"); dir != "" {
		return []ollamaStore{{dir}}
	}
	var out []ollamaStore
	if home, err := os.UserHomeDir(); err == nil {
		out = append(out, ollamaStore{filepath.Join(home, ".ollama", "models")})
	}
	if runtime.GOOS == "linux" {
		out = append(out, ollamaStore{"/usr/share/ollama/.ollama/models"})
	}
	return out
}

// ollamaEnv returns a setting of Ollama's, which may be written in quotes.
func ollamaEnv(key string) string {
	return strings.TrimSpace(strings.Trim(strings.TrimSpace(os.Getenv(key)), `"'`))
}

func (s ollamaStore) manifests() string { return filepath.Join(s.dir, "manifests") }

// manifestPath returns where the manifest of a valid name is.
func (s ollamaStore) manifestPath(n ollamaName) string {
	return filepath.Join(s.manifests(), n.host, n.namespace, n.model, n.tag)
}

// fromOllamaStores describes a model of the first store that has it. It fails
// with Denied when a store cannot be read and no other has the model.
func fromOllamaStores(ctx context.Context, name ollamaName) (*Result, error) {
	var denied error
	var have []Listing
	for _, s := range ollamaStores() {
		m, err := s.find(name)
		switch {
		case err == nil:
			return m.resolve(ctx)
		case code(err) == model.Denied:
			denied = model.Errorf(model.Denied, "model", "%s cannot be read: no permission for Ollama's store in %s", name, Clean(s.dir, MaxText)).
				WithHint("start Ollama, which can be asked instead, or give this user the right to read the store")
		case code(err) != model.ModelNotFound:
			return nil, err
		}
		if models, err := s.list(ctx); err == nil {
			have = append(have, models...)
		}
	}
	if denied != nil {
		return nil, denied
	}
	e := ollamaMissing(name, "")
	e.Candidates = nearOllama(name, have)
	return nil, e
}

// find reads the manifest of a name, in any case of its letters.
func (s ollamaStore) find(name ollamaName) (*ollamaModel, error) {
	m, err := s.open(name)
	if err == nil || code(err) != model.ModelNotFound {
		return m, err
	}
	names, listErr := s.names()
	if listErr != nil {
		return nil, listErr
	}
	for _, n := range names {
		if n.same(name) {
			return s.open(n)
		}
	}
	return nil, err
}

// open reads and checks one manifest.
func (s ollamaStore) open(name ollamaName) (*ollamaModel, error) {
	path := s.manifestPath(name)
	raw, err := readFile(path, maxManifest)
	if err != nil {
		return nil, pathError(path, err)
	}
	m, err := parseManifest(raw)
	if err != nil {
		return nil, at(path, err)
	}
	return &ollamaModel{store: s, name: name, path: path, size: int64(len(raw)), manifest: *m}, nil
}

// names lists the models by their manifests' paths. A store that is not there
// has none.
func (s ollamaStore) names() ([]ollamaName, error) {
	var out []ollamaName
	root := s.manifests()
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return pathError(path, err)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil || rel == "." {
			return err
		}
		parts := strings.Split(rel, string(filepath.Separator))
		if e.IsDir() {
			if len(parts) >= 4 {
				return fs.SkipDir
			}
			return nil
		}
		if len(parts) == 4 {
			if n := (ollamaName{parts[0], parts[1], parts[2], parts[3]}); n.valid() {
				out = append(out, n)
			}
		}
		if len(out) >= maxOllamaModels {
			return fs.SkipAll
		}
		return nil
	})
	return out, err
}

// list lists the models with the sizes that their manifests give. A manifest
// that cannot be read is left out: Ollama itself passes over it.
func (s ollamaStore) list(ctx context.Context) ([]Listing, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var out []Listing
	for _, n := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := s.open(n)
		if err != nil || m.manifest.weightBytes() == 0 { // a model of the cloud has none
			continue
		}
		l := Listing{Ref: ollamaPrefix + n.String(), Source: "ollama", Bytes: m.manifest.weightBytes()}
		if info, err := os.Stat(m.path); err == nil {
			l.Modified = info.ModTime()
		}
		out = append(out, l)
	}
	return out, nil
}
