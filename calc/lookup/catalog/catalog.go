// Package catalog is the embedded catalogue of well-known models: their
// published hyperparameters, licence, counts and how each is known. It is
// generated from models.jsonl by internal/cataloggen and read lazily, one
// block at a time: a program that does not use it pays nothing at start.
//
//go:generate go run hwledger/internal/cataloggen
package catalog

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"sync"
)

//go:embed catalog.bin
var packed []byte

// BlockSize is the number of entries compressed together.
const BlockSize = 16

// Known says where an entry's configuration comes from.
type Known string

// The origins.
const (
	// Verbatim: a stored copy of the published config.json, cut down to the
	// keys that matter for memory.
	Verbatim Known = "config"
	// Values: put together from the model card, from code or from published
	// tables.
	Values Known = "values"
)

// Check says how far the parameter count proves the configuration.
type Check string

// The checks, strongest first.
const (
	// CheckExact: the count that the configuration implies equals the count
	// published with the weights, to the last one.
	CheckExact Check = "exact"
	// CheckExplained: it equals the published count after what Why names.
	CheckExplained Check = "explained"
	// CheckComputed: the count follows from the configuration by a formula
	// that is exact for sister models of the same family; none is published.
	CheckComputed Check = "computed"
	// CheckNone: there is no count to check against.
	CheckNone Check = ""
)

// Entry is one model. Zero values are unknown.
type Entry struct {
	ID    string `json:"id"`
	Known Known  `json:"known"`
	// Sources is the number of independent stored copies that agree.
	Sources int   `json:"sources,omitempty"`
	Check   Check `json:"check,omitempty"`
	// Params is the count that the configuration must give: all parameters of
	// the trunk and of towers, without multi-token-prediction layers.
	Params int64 `json:"params,omitempty"`
	// Published is the count printed with the weights, when it is not Params,
	// and Why the reason.
	Published int64  `json:"published,omitempty"`
	Why       string `json:"why,omitempty"`
	// Bytes is the exact size of the safetensors files' tensors.
	Bytes   int64           `json:"bytes,omitempty"`
	Context int64           `json:"context,omitempty"`
	License string          `json:"license,omitempty"`
	Config  json.RawMessage `json:"config"`
}

// index is what is needed to find an entry's block.
type index struct {
	ids, lower []string // in order of lower
	blocks     [][]byte // still compressed
}

var load = sync.OnceValues(func() (*index, error) { return readIndex(packed) })

// Pack writes entries, which it sorts, in the embedded form.
func Pack(entries []Entry) ([]byte, error) {
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(strings.ToLower(a.ID), strings.ToLower(b.ID)) })
	var names, body bytes.Buffer
	var sizes []uint64
	for part := range slices.Chunk(entries, BlockSize) {
		var block bytes.Buffer
		enc := json.NewEncoder(&block)
		enc.SetEscapeHTML(false)
		for i := range part {
			names.WriteString(part[i].ID + "\n")
			if err := enc.Encode(&part[i]); err != nil {
				return nil, err
			}
		}
		n := body.Len()
		deflate(&body, block.Bytes())
		sizes = append(sizes, uint64(body.Len()-n))
	}
	var head bytes.Buffer
	deflate(&head, names.Bytes())
	out := binary.AppendUvarint(nil, uint64(head.Len()))
	out = binary.AppendUvarint(out, uint64(len(sizes)))
	for _, n := range sizes {
		out = binary.AppendUvarint(out, n)
	}
	return append(append(out, head.Bytes()...), body.Bytes()...), nil
}

func deflate(dst *bytes.Buffer, src []byte) {
	w, _ := flate.NewWriter(dst, flate.BestCompression) // only a bad level fails
	w.Write(src)
	w.Close()
}

// inflater keeps what it needs for one block for the next: a window of 32 KiB
// and the room of the longest text.
type inflater struct {
	from io.ReadCloser
	text bytes.Buffer
}

func (f *inflater) inflate(src []byte) ([]byte, error) {
	if r, ok := f.from.(flate.Resetter); ok {
		if err := r.Reset(bytes.NewReader(src), nil); err != nil {
			return nil, err
		}
	} else {
		f.from = flate.NewReader(bytes.NewReader(src))
	}
	f.text.Reset()
	_, err := f.text.ReadFrom(f.from)
	return bytes.Clone(f.text.Bytes()), err
}

// configKey precedes an entry's configuration, its last field. Texts cannot
// hold it: quotes within them are escaped.
var configKey = []byte(`,"config":`)

// decode reads one line. The configuration stays as it is written: most of
// those who go through all entries read few of them.
func decode(line []byte) (*Entry, error) {
	head, config, ok := bytes.Cut(line, configKey)
	config, ends := bytes.CutSuffix(config, []byte("}"))
	var e Entry
	err := json.Unmarshal(append(slices.Clip(head), '}'), &e)
	if err != nil || !ok || !ends {
		return nil, fmt.Errorf("%w: %v", errDamaged, err)
	}
	e.Config = slices.Clip(config)
	return &e, nil
}

var errDamaged = errors.New("the embedded model catalogue is damaged")

func readIndex(b []byte) (*index, error) {
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > uint64(len(b)) {
			b = nil
			return 0
		}
		b = b[n:]
		return v
	}
	head := next()
	sizes := make([]uint64, next())
	for i := range sizes {
		sizes[i] = next()
	}
	cut := func(n uint64) []byte {
		if n > uint64(len(b)) {
			n = uint64(len(b))
		}
		part := b[:n]
		b = b[n:]
		return part
	}
	names, err := new(inflater).inflate(cut(head))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errDamaged, err)
	}
	x := &index{ids: strings.Split(strings.TrimSuffix(string(names), "\n"), "\n"), blocks: make([][]byte, len(sizes))}
	for i, n := range sizes {
		x.blocks[i] = cut(n)
	}
	x.lower = make([]string, len(x.ids))
	for i, id := range x.ids {
		x.lower[i] = strings.ToLower(id)
	}
	if (len(x.ids)+BlockSize-1)/BlockSize != len(sizes) {
		return nil, errDamaged
	}
	return x, nil
}

// Names returns all model ids in order. The slice is shared: do not change it.
func Names() ([]string, error) {
	x, err := load()
	if err != nil {
		return nil, err
	}
	return x.ids, nil
}

// Find returns the entry of a model id, whose letters' case does not count.
func Find(id string) (*Entry, bool, error) {
	x, err := load()
	if err != nil {
		return nil, false, err
	}
	low := strings.ToLower(id)
	i := sort.SearchStrings(x.lower, low)
	if i == len(x.lower) || x.lower[i] != low {
		return nil, false, nil
	}
	entries, err := x.block(new(inflater), i/BlockSize)
	if err != nil || i%BlockSize >= len(entries) {
		return nil, false, errors.Join(errDamaged, err)
	}
	e, err := decode(entries[i%BlockSize])
	return e, err == nil, err
}

func (x *index) block(f *inflater, n int) ([][]byte, error) {
	b, err := f.inflate(x.blocks[n])
	if err != nil {
		return nil, err
	}
	return bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")), nil
}

// All calls yield with every entry, in order, until it returns false.
func All(yield func(*Entry) bool) error {
	x, err := load()
	if err != nil {
		return err
	}
	var f inflater
	for n := range x.blocks {
		lines, err := x.block(&f, n)
		if err != nil {
			return fmt.Errorf("%w: %v", errDamaged, err)
		}
		for _, line := range lines {
			e, err := decode(line)
			if err != nil {
				return err
			}
			if !yield(e) {
				return nil
			}
		}
	}
	return nil
}

// ReadTable decodes models.jsonl, the reviewed table: one Entry on each line.
func ReadTable(r io.Reader) ([]Entry, error) {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	var out []Entry
	for {
		var e Entry
		switch err := dec.Decode(&e); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("entry %d, after %q: %w", len(out)+1, last(out), err)
		}
		out = append(out, e)
	}
}

func last(e []Entry) string {
	if len(e) == 0 {
		return ""
	}
	return e[len(e)-1].ID
}
