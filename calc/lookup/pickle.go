package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// pickleIndex is the index of a checkpoint in PyTorch's own format.
const pickleIndex = "pytorch_model.bin.index.json"

// addPickles adds files in PyTorch's own format, which have no header: their
// size on disk is all that is known.
func (c *Component) addPickles(ctx context.Context, t tree, names []string) error {
	for _, n := range names {
		size, err := fileSize(ctx, t, n)
		if err != nil {
			return err
		}
		c.Files = append(c.Files, File{Path: t.path(n), Bytes: size, Role: "weights"})
		c.Bytes += size
	}
	return nil
}

// fileSize returns the size of a file, without reading more of it than a
// remote place needs to say so.
func fileSize(ctx context.Context, t tree, name string) (int64, error) {
	b, err := t.open(ctx, name)
	if err != nil {
		return 0, at(t.path(name), err)
	}
	defer b.Close()
	return max(0, b.Size()), nil
}

// attachPickles notes what a checkpoint without safetensors takes: the total
// of its index, or the size of its files. Tensors follow from the
// configuration.
func attachPickles(ctx context.Context, r *Result, t tree) error {
	raw, err := t.read(ctx, pickleIndex, MaxIndex)
	switch {
	case err == nil:
		files, total, err := parsePickleIndex(raw)
		if err != nil {
			return at(t.path(pickleIndex), err)
		}
		r.Files = append(r.Files, File{Path: t.path(pickleIndex), Bytes: int64(len(raw)), Role: "index"})
		if total > 0 {
			r.StoredBytes = total
			r.Provenance = append(r.Provenance, fact("stored_bytes", strconv.FormatInt(total, 10),
				pickleIndex+": total_size; PyTorch files have no header, sizes by tensor follow from the configuration"))
			return nil
		}
		return r.addPickles(ctx, t, files)
	case !errors.Is(err, fs.ErrNotExist):
		return pathError(t.path(pickleIndex), err)
	}
	all, err := t.files(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range all {
		if isPickle(e.name) && t.has(ctx, e.name) {
			names = append(names, e.name)
		}
	}
	return r.addPickles(ctx, t, names)
}

// isPickle reports the names that checkpoints in PyTorch's format go by.
func isPickle(name string) bool {
	if strings.Contains(name, "/") {
		return false
	}
	return name == "pytorch_model.bin" || strings.HasPrefix(name, "pytorch_model-") && strings.HasSuffix(name, ".bin") ||
		strings.HasPrefix(name, "consolidated.") && strings.HasSuffix(name, ".pth")
}

// addPickles adds the sizes of PyTorch files that are there, and says when
// some are not.
func (r *Result) addPickles(ctx context.Context, t tree, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if missing := absent(ctx, t, names); len(missing) > 0 {
		r.Provenance = append(r.Provenance, fact("stored_bytes", "", "files of the checkpoint are missing: "+list(missing)))
		return nil
	}
	var c Component
	if err := c.addPickles(ctx, t, names); err != nil {
		return err
	}
	r.Files = append(r.Files, c.Files...)
	r.StoredBytes = c.Bytes
	r.Provenance = append(r.Provenance, fact("stored_bytes", strconv.FormatInt(c.Bytes, 10),
		"size of the PyTorch files, which have no header and a little more than the tensors; sizes by tensor follow from the configuration"))
	return nil
}

// parsePickleIndex reads pytorch_model.bin.index.json: the files it names and
// the total that it prints, 0 when it does not.
func parsePickleIndex(raw []byte) (files []string, total int64, err error) {
	var doc struct {
		Metadata map[string]any    `json:"metadata"`
		Map      map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, 0, &model.Error{Code: model.MalformedFile, Field: pickleIndex, Message: "not an index of tensors", Err: err}
	}
	if n, ok := doc.Metadata["total_size"].(float64); ok && n > 0 && n < 1<<62 {
		total = int64(n)
	}
	seen := map[string]bool{}
	for _, f := range doc.Map {
		if !fs.ValidPath(f) || strings.ContainsAny(f, "\\:") {
			return nil, 0, model.Errorf(model.MalformedFile, pickleIndex, "names %.80q, which is not a file of the checkpoint", f)
		}
		if !seen[f] {
			seen[f] = true
			files = append(files, f)
		}
	}
	if len(files) > 10_000 {
		return nil, 0, model.Errorf(model.MalformedFile, pickleIndex, "lists more than 10000 files")
	}
	slices.Sort(files)
	return files, total, nil
}
