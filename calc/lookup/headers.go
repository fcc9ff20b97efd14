package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"hwledger/calc/model"
	"hwledger/calc/model/safetensors"
)

// The indexes of a checkpoint in transformers' and in Mistral's own format.
const (
	indexName         = "model.safetensors.index.json"
	consolidatedIndex = "consolidated.safetensors.index.json"
)

// attachHeaders puts what the safetensors headers in t say into r.Model.
// parseErr is why the configuration alone was not enough, or nil; with headers
// it may still be.
func attachHeaders(ctx context.Context, r *Result, t tree, config []byte, parseErr error) error {
	parts, total, err := findParts(ctx, r, t)
	if err != nil {
		return errors.Join(err, parseErr)
	}
	if len(parts) == 0 {
		return attachOther(ctx, r, t, config, parseErr)
	}
	missing := absent(ctx, t, parts)
	if total > 0 && len(missing) > 0 {
		if parseErr != nil {
			return parseErr
		}
		r.StoredBytes = total
		what := fmt.Sprintf("%d of %d files are missing (%s); sizes by tensor follow from the configuration", len(missing), len(parts), list(missing))
		r.Provenance = append(r.Provenance, fact("stored_bytes", strconv.FormatInt(total, 10), "the index's total_size; "+what))
		return nil
	}
	if len(missing) > 0 {
		return model.Errorf(model.MalformedFile, "model", "the checkpoint is not complete: %d of %d files are missing: %s", len(missing), len(parts), list(missing)).
			WithHint("finish the download, or give config.json without the weights beside it")
	}
	tensors, err := readHeaders(ctx, r, t, parts)
	if err != nil {
		return err
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

// attachOther puts in what files without safetensors headers say: archives of
// arrays, or the sizes of pickled files.
func attachOther(ctx context.Context, r *Result, t tree, config []byte, parseErr error) error {
	if found, err := attachArrays(ctx, r, t, config, parseErr); found || err != nil {
		return err
	}
	if parseErr != nil {
		return parseErr
	}
	return attachPickles(ctx, r, t)
}

// readHeaders reads the headers of the parts and adds the parts to r.Files.
func readHeaders(ctx context.Context, r *Result, t tree, parts []string) ([]safetensors.Tensor, error) {
	headers := make([]*safetensors.Header, len(parts))
	sizes := make([]int64, len(parts))
	var done atomic.Int64
	err := each(ctx, len(parts), func(ctx context.Context, i int) error {
		var err error
		if headers[i], sizes[i], err = readHeader(ctx, t, parts[i]); err != nil {
			return at(t.path(parts[i]), err)
		}
		report(ctx, done.Add(1), int64(len(parts)), parts[i])
		return nil
	})
	if err != nil {
		return nil, err
	}
	var tensors []safetensors.Tensor
	for i, h := range headers {
		tensors = append(tensors, h.Tensors...)
		r.Files = append(r.Files, File{Path: t.path(parts[i]), Bytes: sizes[i], Role: "weights"})
	}
	return tensors, nil
}

// findParts lists the files of the checkpoint in t: those of its index, or
// model.safetensors, or a complete numbered set, or the only file there is.
// total is the size that an index prints.
func findParts(ctx context.Context, r *Result, t tree) (parts []string, total int64, err error) {
	for _, name := range [...]string{indexName, consolidatedIndex} {
		if name == consolidatedIndex && t.has(ctx, "model.safetensors") {
			break // the same weights, stored in both formats
		}
		raw, err := t.read(ctx, name, MaxIndex)
		if err == nil {
			x, err := safetensors.ParseIndex(raw)
			if err != nil {
				return nil, 0, at(t.path(name), err)
			}
			r.Files = append(r.Files, File{Path: t.path(name), Bytes: int64(len(raw)), Role: "index"})
			if f, ok := t.(interface{ expect(map[string]int64) }); ok {
				f.expect(x.Headers)
			}
			return x.Files, x.TotalSize, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, pathError(t.path(name), err)
		}
	}
	entries, err := t.files(ctx)
	if err != nil {
		return nil, 0, err
	}
	var all, numbered []string
	for _, e := range entries {
		name := e.name
		switch {
		case name == "model.safetensors":
			return []string{name}, 0, nil
		case !strings.HasSuffix(name, ".safetensors") || strings.HasPrefix(name, "adapter_") || strings.Contains(name, "/"):
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

// absent returns the last parts of the names that t does not have with their
// content.
func absent(ctx context.Context, t tree, names []string) []string {
	var out []string
	for _, name := range names {
		if !t.has(ctx, name) {
			out = append(out, path.Base(name))
		}
	}
	return out
}

// readHeader reads the header of one file and the file's size.
func readHeader(ctx context.Context, t tree, name string) (*safetensors.Header, int64, error) {
	b, err := t.open(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	defer b.Close()
	h, err := safetensors.Read(b, b.Size())
	return h, b.Size(), err
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
