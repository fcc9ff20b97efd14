package lookup

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"hwledger/calc/model"
	"hwledger/calc/model/npz"
	"hwledger/calc/model/safetensors"
)

// attachArrays puts what NumPy archives in t say into r.Model, for a
// checkpoint without safetensors: older MLX repositories keep their weights in
// weights.npz or weights.00.npz and so on. It reports whether there are such
// files. parseErr is why the configuration alone was not enough, or nil.
func attachArrays(ctx context.Context, r *Result, t tree, config []byte, parseErr error) (found bool, err error) {
	names, err := arrayFiles(ctx, t)
	if len(names) == 0 || err != nil {
		return false, err
	}
	var tensors []safetensors.Tensor
	for _, name := range names {
		more, size, err := readArrays(ctx, t, name)
		if err != nil {
			return true, at(t.path(name), err)
		}
		if more == nil {
			r.Provenance = append(r.Provenance, fact("weights", name, "not read: the directory of an archive is at its end, remote files are read from their beginning; sizes follow from the configuration"))
			return true, parseErr
		}
		tensors = append(tensors, more...)
		r.Files = append(r.Files, File{Path: t.path(name), Bytes: size, Role: "weights"})
	}
	if parseErr != nil {
		r.Model, err = safetensors.FromHeaders(config, tensors, parseErr)
	} else {
		err = safetensors.Attach(r.Model, tensors, saysTied(config))
	}
	if err != nil {
		return true, err
	}
	r.StoredByDType = safetensors.Stored(tensors)
	for _, n := range r.StoredByDType {
		r.StoredBytes += n
	}
	r.Provenance = append(r.Provenance, fact("stored_bytes", strconv.FormatInt(r.StoredBytes, 10), fmt.Sprintf("headers of the arrays in %d npz files", len(names))))
	return true, nil
}

// arrayFiles lists weights.npz, or weights.N.npz in the order of their
// numbers. A number that is left out is a file that is missing.
func arrayFiles(ctx context.Context, t tree) ([]string, error) {
	all, err := t.files(ctx)
	if err != nil {
		return nil, err
	}
	numbered := map[int]string{}
	for _, e := range all {
		middle, ok := strings.CutPrefix(e.name, "weights.")
		if middle == "npz" {
			return []string{e.name}, nil
		}
		middle, ok2 := strings.CutSuffix(middle, ".npz")
		if n, err := strconv.ParseUint(middle, 10, 16); ok && ok2 && err == nil {
			numbered[int(n)] = e.name
		}
	}
	out := make([]string, len(numbered))
	for n := range out {
		if numbered[n] == "" {
			return nil, model.Errorf(model.MalformedFile, "model", "the checkpoint is not complete: among the %d files weights.N.npz there is no number %d", len(out), n).
				WithHint("finish the download, or give config.json without the weights beside it")
		}
		out[n] = numbered[n]
	}
	return out, nil
}

// readArrays lists the tensors of one archive and its size. Of a file that can
// only be read from its beginning it returns none and no error.
func readArrays(ctx context.Context, t tree, name string) ([]safetensors.Tensor, int64, error) {
	if _, remote := t.(*remoteTree); remote {
		return nil, 0, nil
	}
	b, err := t.open(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	defer b.Close()
	ts, err := npz.Read(b, b.Size())
	if err == nil && len(ts) == 0 {
		err = model.Errorf(model.MalformedFile, "npz", "%s has no arrays", path.Base(name))
	}
	return ts, b.Size(), err
}
