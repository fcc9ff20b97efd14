package safetensors

import (
	"encoding/json"
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// scanner reads the one shape of JSON that a header has. Names and types are
// cut out of the text, so that a header of a hundred thousand tensors costs a
// handful of allocations.
type scanner struct {
	text string
	at   int
	dims []int64 // all shapes
}

// maxDims is the most dimensions a tensor may have.
const maxDims = 32

func (s *scanner) fail(format string, args ...any) *model.Error {
	return malformed(8+int64(s.at), format, args...)
}

// header reads the whole object, and the spaces that pad it.
func (s *scanner) header() (*Header, error) {
	n := strings.Count(s.text, `"dtype"`)
	h := &Header{Tensors: make([]Tensor, 0, n)}
	s.dims = make([]int64, 0, 2*n)
	if len(s.text) == 0 || s.text[0] != '{' {
		return nil, s.fail("the header does not begin with {")
	}
	s.at++
	for first := true; ; first = false {
		name, more, err := s.key(first)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if name == "__metadata__" {
			err = s.metadata(h)
		} else {
			h.Tensors = append(h.Tensors, Tensor{Name: name})
			err = s.tensor(&h.Tensors[len(h.Tensors)-1])
		}
		if err != nil {
			return nil, err
		}
	}
	if s.space(); s.at < len(s.text) {
		return nil, s.fail("there is text after the header's object")
	}
	return h, nil
}

// key reads up to the value of an object's next member; the { is already
// read. more is false at the end of the object.
func (s *scanner) key(first bool) (key string, more bool, err error) {
	if s.space(); s.take('}') {
		return "", false, nil
	}
	if !first {
		if !s.take(',') {
			return "", false, s.fail("want a comma or the end of an object")
		}
		s.space()
	}
	if key, err = s.str(); err != nil {
		return "", false, err
	}
	if s.space(); !s.take(':') {
		return "", false, s.fail("want a colon after a key")
	}
	s.space()
	return key, true, nil
}

func (s *scanner) metadata(h *Header) error {
	if !s.take('{') {
		return s.fail("__metadata__ is not an object")
	}
	h.Metadata = map[string]string{}
	for first := true; ; first = false {
		key, more, err := s.key(first)
		if err != nil || !more {
			return err
		}
		if h.Metadata[key], err = s.str(); err != nil {
			return err
		}
	}
}

// tensor reads one tensor's object; its three members are all required.
func (s *scanner) tensor(t *Tensor) error {
	if !s.take('{') {
		return s.fail("tensor %.80q is not an object", t.Name)
	}
	const dtype, shape, offsets = 1, 2, 4
	seen := 0
	for first := true; ; first = false {
		key, more, err := s.key(first)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		bit := 0
		switch key {
		case "dtype":
			bit = dtype
			t.DType, err = s.str()
		case "shape":
			bit = shape
			t.Shape, err = s.ints(maxDims)
		case "data_offsets":
			bit = offsets
			err = s.offsets(t)
		}
		if err != nil {
			return err
		}
		if bit == 0 || seen&bit != 0 {
			return s.fail("tensor %.80q has the unexpected member %.40q", t.Name, key)
		}
		seen |= bit
	}
	if seen != dtype|shape|offsets {
		return s.fail("tensor %.80q lacks dtype, shape or data_offsets", t.Name)
	}
	return nil
}

func (s *scanner) offsets(t *Tensor) error {
	o, err := s.ints(2)
	if err != nil {
		return err
	}
	if len(o) != 2 {
		return s.fail("tensor %.80q has %d offsets, want 2", t.Name, len(o))
	}
	t.Begin, t.End = o[0], o[1]
	s.dims = s.dims[:len(s.dims)-2]
	return nil
}

// ints reads a list of at most limit whole numbers that are not negative.
func (s *scanner) ints(limit int) ([]int64, error) {
	if !s.take('[') {
		return nil, s.fail("want a list of numbers")
	}
	from := len(s.dims)
	if s.space(); s.take(']') {
		return s.dims[from:from:from], nil
	}
	for {
		s.space()
		v, err := s.number()
		if err != nil {
			return nil, err
		}
		if s.dims = append(s.dims, v); len(s.dims)-from > limit {
			return nil, s.fail("a list of more than %d numbers", limit)
		}
		s.space()
		if s.take(']') {
			return s.dims[from:len(s.dims):len(s.dims)], nil
		}
		if !s.take(',') {
			return nil, s.fail("want a comma or the end of a list")
		}
	}
}

func (s *scanner) number() (int64, error) {
	from := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	v, err := strconv.ParseInt(s.text[from:s.at], 10, 64)
	if err != nil {
		s.at = from
		return 0, s.fail("want a whole number below 2⁶³")
	}
	return v, nil
}

// str reads a string; only one with escapes is copied.
func (s *scanner) str() (string, error) {
	if !s.take('"') {
		return "", s.fail("want a string")
	}
	from := s.at
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return s.text[from : s.at-1], nil
		case c == '\\':
			return s.escaped(from)
		case c < ' ':
			return "", s.fail("a control character in a string")
		}
	}
	return "", s.fail("a string does not end")
}

// escaped reads the rest of a string that has a backslash.
func (s *scanner) escaped(from int) (string, error) {
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			var out string
			if err := json.Unmarshal([]byte(s.text[from-1:s.at]), &out); err != nil {
				return "", s.fail("a string with a bad escape")
			}
			return out, nil
		}
	}
	return "", s.fail("a string does not end")
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
