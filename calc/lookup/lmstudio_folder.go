package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"hwledger/calc/model"
)

// Bounds of a walk through the models folder. Below publisher/repo some keep
// one more folder for each quantization.
const (
	lmMaxDepth   = 4
	lmMaxEntries = 50_000
)

// lmHome returns LM Studio's own folder as its command line finds it: where
// ~/.lmstudio-home-pointer points, else ~/.cache/lm-studio of older versions
// when it is there, else ~/.lmstudio. (lmstudio.js, lms-common-server:
// findLMStudioHome)
func lmHome() string {
	user, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	if b, err := readFile(filepath.Join(user, ".lmstudio-home-pointer"), 4096); err == nil {
		if to := strings.TrimSpace(string(b)); filepath.IsAbs(to) {
			return to
		}
	}
	if old := filepath.Join(user, ".cache", "lm-studio"); exists(old) {
		return old
	}
	return filepath.Join(user, ".lmstudio")
}

// lmFolder returns where LM Studio keeps models, and what said so: the
// downloadsFolder of its settings, else models in its own folder. (lms:
// resolveModelsFolderPath)
func lmFolder(home string) (folder, from string) {
	var settings struct {
		Downloads string `json:"downloadsFolder"`
	}
	if b, err := readFile(filepath.Join(home, "settings.json"), 4<<20); err == nil && json.Unmarshal(b, &settings) == nil && filepath.IsAbs(settings.Downloads) {
		return settings.Downloads, "LM Studio's settings.json: downloadsFolder"
	}
	return filepath.Join(home, "models"), "LM Studio's default"
}

// lmModel is one model in the folder.
type lmModel struct {
	rel      string // publisher/repo/file.gguf, or publisher/repo of a directory
	file     string // the GGUF file, or the first of a split set; "" for a directory
	bytes    int64  // of its weight files
	modified time.Time
}

// dir returns the directory of the model below the folder, with slashes.
func (m *lmModel) dir() string {
	if m.file == "" {
		return m.rel
	}
	return path.Dir(m.rel)
}

// lmWalk lists the models in the folder: every GGUF model but projectors, and
// every directory with a config.json and weights beside it. Of a folder with
// more entries than the bound it returns what it saw, with an error.
func lmWalk(ctx context.Context, folder string) ([]lmModel, error) {
	w := lmWalker{ctx: ctx, folder: folder, visited: map[string]bool{}}
	err := w.dir("", 0)
	if errors.Is(err, fs.ErrNotExist) && len(w.found) == 0 {
		return nil, nil
	}
	return w.found, err
}

type lmWalker struct {
	ctx    context.Context
	folder string
	// visited are the real paths of directories, so that links do not lead
	// into the same one twice.
	visited map[string]bool
	seen    int
	found   []lmModel
}

// dir adds the models of one directory and of those in it. Only the folder
// itself must be readable; one below it that is not has no models.
func (w *lmWalker) dir(rel string, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	at := filepath.Join(w.folder, filepath.FromSlash(rel))
	if real, err := filepath.EvalSymlinks(at); err == nil {
		if w.visited[real] {
			return nil
		}
		w.visited[real] = true
	}
	entries, err := os.ReadDir(at)
	if err != nil && depth > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if w.seen += len(entries); w.seen > lmMaxEntries {
		return model.Errorf(model.InvalidArgument, "lmstudio", "%s has more than %d entries; what is beyond was not looked at", Clean(w.folder, MaxText), lmMaxEntries).
			WithHint("set downloadsFolder to a folder that holds models alone")
	}
	files, err := dirTree{dir: at}.files(w.ctx)
	if err != nil {
		return nil
	}
	if w.checkpoint(rel, at, files) {
		return nil
	}
	for _, name := range ggufs(files) {
		w.add(lmModel{rel: path.Join(rel, name), file: name}, at, lmParts(name, files))
	}
	for _, e := range entries {
		// Links to directories are followed, to the same depth.
		sub := path.Join(rel, e.Name())
		if strings.HasPrefix(e.Name(), ".") || depth == lmMaxDepth || !isDir(filepath.Join(at, e.Name()), e) {
			continue
		}
		if err := w.dir(sub, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func isDir(path string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// checkpoint adds the directory itself when it has a config.json and weights.
func (w *lmWalker) checkpoint(rel, at string, files []entry) bool {
	var weights []entry
	config := false
	for _, e := range files {
		switch {
		case e.name == configName:
			config = true
		case strings.HasSuffix(e.name, ".safetensors"), strings.HasSuffix(e.name, ".npz"):
			weights = append(weights, e)
		}
	}
	if !config || len(weights) == 0 || rel == "" {
		return false
	}
	w.add(lmModel{rel: rel}, at, weights)
	return true
}

// add records a model with the sizes of its files.
func (w *lmWalker) add(m lmModel, at string, files []entry) {
	for _, e := range files {
		m.bytes += max(0, e.size)
		if info, err := os.Stat(filepath.Join(at, e.name)); err == nil && info.ModTime().After(m.modified) {
			m.modified = info.ModTime()
		}
	}
	w.found = append(w.found, m)
}

// lmParts returns the files of a set by the name of its first.
func lmParts(first string, files []entry) []entry {
	var out []entry
	stem := first
	if _, split := splitPart(strings.ToLower(first)); split {
		stem = first[:len(first)-len("-00001-of-00003.gguf")]
	}
	for _, e := range files {
		rest, ok := strings.CutPrefix(e.name, stem)
		if e.name == first || ok && stem != first && len(rest) == len("-00001-of-00003.gguf") {
			out = append(out, e)
		}
	}
	return out
}
