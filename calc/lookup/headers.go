package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/safetensors"
)

const indexName = "model.safetensors.index.json"

// attachHeaders puts what the safetensors headers in dir say into r.Model.
// parseErr is why the configuration alone was not enough, or nil; with headers
// it may still be.
func attachHeaders(ctx context.Context, r *Result, dir string, config []byte, parseErr error) error {
	parts, total, err := findParts(r, dir)
	if err != nil || len(parts) == 0 && total == 0 {
		return errors.Join(err, parseErr)
	}
	missing := absent(dir, parts)
	if total > 0 && len(missing) > 0 {
		if parseErr != nil {
			return parseErr
		}
		r.StoredBytes = total
		what := fmt.Sprintf("%d of %d files are missing (%s); sizes by tensor follow from the configuration", len(missing), len(parts), list(missing))
		r.Provenance = append(r.Provenance, fact("stored_bytes", strconv.FormatInt(total, 10), indexName+": total_size; "+what))
		return nil
	}
	if len(missing) > 0 {
		return model.Errorf(model.MalformedFile, "model", "the checkpoint is not complete: %d of %d files are missing: %s", len(missing), len(parts), list(missing)).
			WithHint("finish the download, or give config.json without the weights beside it")
	}
	var tensors []safetensors.Tensor
	for _, name := range parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(dir, name)
		h, size, err := readHeader(path)
		if err != nil {
			return at(path, err)
		}
		tensors = append(tensors, h.Tensors...)
		r.Files = append(r.Files, File{Path: path, Bytes: size, Role: "weights"})
	}
	if parseErr != nil {
		r.Model, err = safetensors.FromHeaders(config, tensors, parseErr)
	} else {
		err = safetensors.Attach(r.Model, tensors, saysTied(config))
	}
	if err != nil {
		return err
	}
	r.StoredByDType = safetensors.Stored(tensors)
	for _, n := range r.StoredByDType {
		r.StoredBytes += n
	}
	r.Provenance = append(r.Provenance, fact("stored_bytes", strconv.FormatInt(r.StoredBytes, 10), fmt.Sprintf("headers of %d safetensors files", len(parts))))
	return nil
}

// findParts lists the files of the checkpoint in dir: those of its index, or
// model.safetensors, or a complete numbered set, or the only file there is.
// total is the size that an index prints.
func findParts(r *Result, dir string) (parts []string, total int64, err error) {
	path := filepath.Join(dir, indexName)
	raw, err := readFile(path, MaxIndex)
	if err == nil {
		x, err := safetensors.ParseIndex(raw)
		if err != nil {
			return nil, 0, at(path, err)
		}
		r.Files = append(r.Files, File{Path: path, Bytes: int64(len(raw)), Role: "index"})
		return x.Files, x.TotalSize, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, pathError(path, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, pathError(dir, err)
	}
	var all, numbered []string
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == "model.safetensors":
			return []string{name}, 0, nil
		case !strings.HasSuffix(name, ".safetensors") || strings.HasPrefix(name, "adapter_"):
		case strings.HasPrefix(name, "model-"):
			numbered = append(numbered, name)
		default:
			all = append(all, name)
		}
	}
	if len(numbered) > 0 {
		return fullSet(numbered), 0, nil
	}
	if len(all) == 1 {
		return all, 0, nil
	}
	return nil, 0, nil
}

// fullSet completes a set of names "model-00001-of-00003.safetensors".
func fullSet(have []string) []string {
	var part, of int
	if n, err := fmt.Sscanf(have[0], "model-%05d-of-%05d.safetensors", &part, &of); err != nil || n != 2 || of < 1 || of > 10_000 {
		return have
	}
	out := make([]string, of)
	for i := range out {
		out[i] = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, of)
	}
	for _, name := range have {
		if !slices.Contains(out, name) { // another numbering beside it
			return have
		}
	}
	return out
}

// absent returns the parts that are not in dir, or are there as pointers of
// Git LFS only.
func absent(dir string, parts []string) []string {
	var out []string
	for _, name := range parts {
		if path := filepath.Join(dir, name); !exists(path) || isPointer(path) {
			out = append(out, name)
		}
	}
	return out
}

// isPointer reports whether a file is the short text that Git LFS leaves in
// place of a large one.
func isPointer(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() > 1024 || !info.Mode().IsRegular() {
		return false
	}
	b, err := os.ReadFile(path)
	return err == nil && bytes.HasPrefix(b, []byte("version https://git-lfs."))
}

func readHeader(path string) (*safetensors.Header, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, pathError(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, pathError(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, model.Errorf(model.InvalidArgument, "model", "%s is not a regular file", Clean(path, MaxText))
	}
	h, err := safetensors.Read(f, info.Size())
	return h, info.Size(), err
}

// saysTied reports whether the configuration itself ties the embeddings.
func saysTied(config []byte) bool {
	type tie struct {
		Tied *bool `json:"tie_word_embeddings"`
	}
	var c struct {
		tie
		Text tie `json:"text_config"`
	}
	if json.Unmarshal(config, &c) != nil {
		return false
	}
	if c.Text.Tied != nil {
		return *c.Text.Tied
	}
	return c.Tied != nil && *c.Tied
}

// list prints the first names of a list.
func list(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
}
