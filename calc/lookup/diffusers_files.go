package lookup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/safetensors"
)

// below returns the files of a folder of t as a tree of their own.
func below(t tree, folder string) tree {
	if d, ok := t.(dirTree); ok {
		return dirTree{dir: d.path(folder), from: d.from}
	}
	return folderOf{t, folder + "/"}
}

// maxFolders is the most folders of a directory that are looked into.
const maxFolders = 256

// deeper lists the files in the folders of a directory, which files leaves
// out: a repository of GGUFs often has a folder for each quantization. Other
// trees list them already.
func deeper(t tree) ([]entry, error) {
	d, ok := t.(dirTree)
	if !ok {
		return nil, nil
	}
	folders, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, pathError(d.dir, err)
	}
	var out []entry
	looked := 0
	for _, f := range folders {
		if !f.IsDir() || strings.HasPrefix(f.Name(), ".") || looked == maxFolders {
			continue
		}
		looked++
		inside, err := os.ReadDir(d.path(f.Name()))
		if err != nil {
			continue // one that may not be read hides nothing of the others
		}
		for _, e := range inside {
			if !e.IsDir() {
				out = append(out, entry{name: f.Name() + "/" + e.Name(), size: -1})
			}
		}
	}
	return out, nil
}

// folderOf is a folder of a tree that lists the files of its folders too.
type folderOf struct {
	tree
	prefix string
}

func (f folderOf) files(ctx context.Context) ([]entry, error) {
	all, err := f.tree.files(ctx)
	var out []entry
	for _, e := range all {
		if rest, ok := strings.CutPrefix(e.name, f.prefix); ok {
			out = append(out, entry{rest, e.size})
		}
	}
	return out, err
}

func (f folderOf) has(ctx context.Context, name string) bool { return f.tree.has(ctx, f.prefix+name) }

func (f folderOf) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	return f.tree.read(ctx, f.prefix+name, limit)
}

func (f folderOf) open(ctx context.Context, name string) (blob, error) {
	return f.tree.open(ctx, f.prefix+name)
}

func (f folderOf) path(name string) string { return f.tree.path(f.prefix + name) }

// stems are what the weights of a part are called: by diffusers, by
// transformers, each in safetensors and in PyTorch's format.
var stems = [...]struct{ name, ext string }{
	{"diffusion_pytorch_model", ".safetensors"}, {"model", ".safetensors"},
	{"diffusion_pytorch_model", ".bin"}, {"pytorch_model", ".bin"},
}

// weightFiles returns the files of a part's weights in its folder: those of
// the variant without a name, as diffusers loads them, else of the first
// variant there is. others names what else is stored ("fp16").
func weightFiles(ctx context.Context, t tree) (files, others []string, err error) {
	all, err := t.files(ctx)
	if err != nil {
		if e := new(model.Error); errors.As(err, &e) && e.Code == model.ModelNotFound || errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrNotExist) {
			return nil, nil, nil // a part whose folder is not there
		}
		return nil, nil, err
	}
	for _, s := range stems {
		sets := map[string][]string{}
		for _, e := range all {
			if v, ok := variantOf(e.name, s.name, s.ext); ok && t.has(ctx, e.name) {
				sets[v] = append(sets[v], e.name)
			}
		}
		if len(sets) == 0 {
			continue
		}
		names := make([]string, 0, len(sets))
		for v := range sets {
			names = append(names, v)
		}
		slices.Sort(names) // "" comes first
		files = sets[names[0]]
		slices.Sort(files)
		return files, names[1:], complete(ctx, t, s.name, s.ext, names[0], files)
	}
	return nil, nil, nil
}

// variantOf returns the variant of a weight file: "fp16" of
// model.fp16.safetensors and of model.fp16-00001-of-00002.safetensors, whose
// older form is model-00001-of-00002.fp16.safetensors.
func variantOf(name, stem, ext string) (string, bool) {
	rest, ok := strings.CutPrefix(name, stem)
	if !ok {
		return "", false
	}
	if rest, ok = strings.CutSuffix(rest, ext); !ok || strings.Contains(rest, "/") {
		return "", false
	}
	const part = len("-00001-of-00002")
	for i := 0; i+part <= len(rest); i++ {
		if rest[i] == '-' && rest[i+6:i+10] == "-of-" {
			rest = rest[:i] + rest[i+part:]
			break
		}
	}
	if rest == "" {
		return "", true
	}
	v, ok := strings.CutPrefix(rest, ".")
	return Clean(v, 40), ok && v != "" && !strings.Contains(v, ".")
}

// complete checks that every file that the part's index names is there.
func complete(ctx context.Context, t tree, stem, ext, variant string, files []string) error {
	if ext != ".safetensors" || len(files) == 1 && !strings.Contains(files[0], "-of-") {
		return nil
	}
	index := stem + ext + ".index.json"
	if variant != "" {
		index = stem + ext + ".index." + variant + ".json"
	}
	raw, err := t.read(ctx, index, MaxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return pathError(t.path(index), err)
	}
	x, err := safetensors.ParseIndex(raw)
	if err != nil {
		return at(t.path(index), err)
	}
	if missing := absent(ctx, t, x.Files); len(missing) > 0 {
		return model.Errorf(model.MalformedFile, "model", "the pipeline is not complete: %d of %d files of %s are missing: %s", len(missing), len(x.Files), Clean(t.path(""), MaxText), list(missing)).
			WithHint("finish the download")
	}
	return nil
}
