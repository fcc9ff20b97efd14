package lookup

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"sync/atomic"

	"hwledger/calc/model"
	"hwledger/calc/model/gguf"
)

// fromGGUF describes the model of a GGUF file; any file of a split set stands
// for the whole set.
func fromGGUF(ctx context.Context, t tree, name string) (*Result, error) {
	names := gguf.SplitPaths(name)
	if missing := absent(ctx, t, names); len(missing) > 0 {
		if len(names) == 1 {
			return nil, model.Errorf(model.MalformedFile, "model", "%s is a Git LFS pointer, not the file it points to", Clean(t.path(name), MaxText)).
				WithHint("fetch the file itself: git lfs pull, or download it from the hub")
		}
		return nil, model.Errorf(model.MalformedFile, "model", "the set is not complete: %d of %d files are missing: %s", len(missing), len(names), list(missing)).
			WithHint("put all files of the set into one directory")
	}
	return fromGGUFs(ctx, t, names)
}

// fromGGUFs describes the model of one GGUF file, or of all files of a set.
func fromGGUFs(ctx context.Context, t tree, names []string) (*Result, error) {
	headers := make([]*gguf.Header, len(names))
	sizes := make([]int64, len(names))
	var done atomic.Int64
	err := each(ctx, len(names), func(ctx context.Context, i int) error {
		var err error
		if headers[i], sizes[i], err = readGGUF(ctx, t, names[i]); err != nil {
			return at(t.path(names[i]), err)
		}
		report(ctx, done.Add(1), int64(len(names)), path.Base(names[i]))
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := &Result{}
	for i, n := range names {
		r.Files = append(r.Files, File{Path: t.path(n), Bytes: sizes[i], Role: "weights"})
	}
	h, err := gguf.Join(headers...)
	if err != nil {
		return nil, at(t.path(names[0]), err)
	}
	if other, err := part(ctx, t, h, names[0], sum(sizes)); other != nil || err != nil {
		return other, err
	}
	if err := r.describe(h); err != nil {
		return nil, at(t.path(names[0]), err)
	}
	r.Provenance = append(r.Provenance, fact("stored_bytes", strconv.FormatInt(r.StoredBytes, 10), fmt.Sprintf("GGUF header, %d file(s)", len(names))))
	if h.MissingBytes > 0 {
		r.Provenance = append(r.Provenance, fact("missing_bytes", strconv.FormatInt(h.MissingBytes, 10), "the file is shorter than its header says: the download is not complete"))
	}
	if err := addProjectors(ctx, r, t, names[0]); err != nil {
		return nil, err
	}
	return r, nil
}

// describe fills in what a GGUF header says of the model and its tensors.
func (r *Result) describe(h *gguf.Header) error {
	var err error
	if r.Model, err = h.Model(); err != nil {
		return err
	}
	r.StoredByDType = map[string]int64{}
	for i := range h.Tensors {
		r.StoredByDType[h.Tensors[i].Type.String()] += h.Tensors[i].Bytes
	}
	r.StoredBytes = h.TensorBytes()
	return nil
}

func sum(sizes []int64) int64 {
	var n int64
	for _, s := range sizes {
		n += s
	}
	return n
}

// readGGUF reads the header of one file and the file's size.
func readGGUF(ctx context.Context, t tree, name string) (*gguf.Header, int64, error) {
	b, err := t.open(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	defer b.Close()
	h, err := gguf.Parse(b, b.Size())
	return h, b.Size(), err
}
