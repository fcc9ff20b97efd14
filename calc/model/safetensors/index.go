package safetensors

import (
	"encoding/json"
	"io/fs"
	"slices"
	"strings"

	"hwledger/calc/model"
)

// Index is model.safetensors.index.json: which file holds which tensor.
type Index struct {
	// TotalSize is the bytes of all tensors as the writer counted them, 0
	// when it did not say. Some writers count a shared tensor twice.
	TotalSize int64
	// Files are the names of all parts, in order.
	Files []string
	// Tensors is the number of tensors listed.
	Tensors int
	// Headers are about how many bytes the header of each part takes with its
	// length before it, judged by the names that it has to hold.
	Headers map[string]int64
}

// What the header says of one tensor besides its name, and of the file: types
// and shapes are short, offsets have up to ten digits.
const (
	besideName = 84
	besideAll  = 80
)

// maxFiles is the most parts a checkpoint may have.
const maxFiles = 10_000

// ParseIndex reads an index. Parts are files of its directory or of folders in
// it: an index cannot point outside.
func ParseIndex(raw []byte) (*Index, error) {
	const name = "model.safetensors.index.json"
	var doc struct {
		Metadata map[string]any    `json:"metadata"`
		Map      map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, &model.Error{Code: model.MalformedFile, Field: name, Message: "not an index of tensors", Err: err}
	}
	if len(doc.Map) == 0 {
		return nil, model.Errorf(model.MalformedFile, name, "weight_map is missing or empty")
	}
	x := &Index{Tensors: len(doc.Map), Headers: map[string]int64{}}
	if v, ok := doc.Metadata["total_size"].(float64); ok && v >= 0 && v < 1<<62 {
		x.TotalSize = int64(v)
	}
	for tensor, f := range doc.Map {
		if x.Headers[f] > 0 {
			x.Headers[f] += int64(len(tensor)) + besideName
			continue
		}
		if !inside(f) {
			return nil, model.Errorf(model.MalformedFile, name, "names %.80q, which is not a file below it", f)
		}
		if x.Headers[f] = int64(len(tensor)) + besideName + besideAll; len(x.Headers) > maxFiles {
			return nil, model.Errorf(model.MalformedFile, name, "lists more than %d files", maxFiles)
		}
		x.Files = append(x.Files, f)
	}
	slices.Sort(x.Files)
	return x, nil
}

// inside reports whether f names a file in the index's directory or below.
func inside(f string) bool {
	return fs.ValidPath(f) && f[0] != '.' && len(f) <= 255 && !strings.ContainsAny(f, "\\:\x00") && strings.HasSuffix(f, ".safetensors")
}
