package lookup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
)

// fromGGUF describes the model of a GGUF file; any file of a split set stands
// for the whole set.
func fromGGUF(ctx context.Context, path string) (*Result, error) {
	paths := gguf.SplitPaths(path)
	if missing := absentPaths(paths); len(missing) > 0 {
		if len(paths) == 1 {
			return nil, model.Errorf(model.MalformedFile, "model", "%s is a Git LFS pointer, not the file it points to", Clean(path, MaxText)).
				WithHint("fetch the file itself: git lfs pull, or download it from the hub")
		}
		return nil, model.Errorf(model.MalformedFile, "model", "the set is not complete: %d of %d files are missing: %s", len(missing), len(paths), list(missing)).
			WithHint("put all files of the set into one directory")
	}
	r := &Result{StoredByDType: map[string]int64{}}
	headers := make([]*gguf.Header, 0, len(paths))
	for _, p := range paths {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, size, err := readGGUF(p)
		if err != nil {
			return nil, at(p, err)
		}
		headers = append(headers, h)
		r.Files = append(r.Files, File{Path: p, Bytes: size, Role: "weights"})
	}
	h, err := gguf.Join(headers...)
	if err != nil {
		return nil, at(path, err)
	}
	if r.Model, err = h.Model(); err != nil {
		return nil, at(path, err)
	}
	for i := range h.Tensors {
		r.StoredByDType[h.Tensors[i].Type.String()] += h.Tensors[i].Bytes
	}
	r.StoredBytes = h.TensorBytes()
	r.Provenance = append(r.Provenance, fact("stored_bytes", strconv.FormatInt(r.StoredBytes, 10), fmt.Sprintf("GGUF header, %d file(s)", len(paths))))
	if h.MissingBytes > 0 {
		r.Provenance = append(r.Provenance, fact("missing_bytes", strconv.FormatInt(h.MissingBytes, 10), "the file is shorter than its header says: the download is not complete"))
	}
	return r, nil
}

func absentPaths(paths []string) []string {
	var out []string
	for _, p := range paths {
		if !exists(p) || isPointer(p) {
			out = append(out, filepath.Base(p))
		}
	}
	return out
}

func readGGUF(path string) (*gguf.Header, int64, error) {
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
	h, err := gguf.Parse(f, info.Size())
	return h, info.Size(), err
}
