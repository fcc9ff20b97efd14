package npz

import (
	"encoding/binary"
	"io"
	"strconv"
	"strings"
)

// The .npy format (NumPy enhancement proposal 1): six bytes of magic, two of
// version, the header's length in two bytes (version 1) or four (2 and 3), and
// a Python dict literal that spaces and a line feed pad.
const (
	magic = "\x93NUMPY"
	// maxHeader is the longest header of version 1. Later versions allow
	// more, for structured types, which hold no weights.
	maxHeader = 1<<16 - 1
	maxDims   = 32
)

// readHeader reads the header at the front of r and returns how many bytes it
// takes with what is before it.
func readHeader(r io.Reader, member string) (array, int64, error) {
	front := make([]byte, len(magic)+2, len(magic)+6)
	if _, err := io.ReadFull(r, front); err != nil {
		return array{}, 0, unread(member, err)
	}
	if string(front[:len(magic)]) != magic {
		return array{}, 0, malformed(member, "is not a NumPy array: it begins with %q", front[:len(magic)])
	}
	width := 4
	switch major := front[len(magic)]; major {
	case 1:
		width = 2
	case 2, 3:
	default:
		return array{}, 0, malformed(member, "has version %d of the .npy format; 1, 2 and 3 are known", major)
	}
	var length [4]byte
	if _, err := io.ReadFull(r, length[:width]); err != nil {
		return array{}, 0, unread(member, err)
	}
	n := int64(binary.LittleEndian.Uint32(length[:]))
	if n > maxHeader {
		return array{}, 0, malformed(member, "has a header of %d bytes, at most %d are read", n, maxHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return array{}, 0, unread(member, err)
	}
	h, err := parseHeader(string(text), member)
	return h, int64(len(front)+width) + n, err
}

// parseHeader reads the dict literal: the keys descr, fortran_order and shape,
// each once and nothing else.
func parseHeader(text, member string) (array, error) {
	p := literal{text: text}
	var h array
	var width int64
	seen := 0
	ok := p.take('{')
	for ok && !p.take('}') {
		key, isText := p.str()
		bit := map[string]int{"descr": 1, "fortran_order": 2, "shape": 4}[key]
		ok = isText && bit != 0 && seen&bit == 0 && p.take(':')
		seen |= bit
		if !ok {
			break
		}
		switch bit {
		case 1:
			var descr string
			if descr, ok = p.str(); ok {
				if h.dtype, width, ok = dtype(descr); !ok {
					return h, malformed(member, "has elements of type %q, in which no weights are stored", clip(descr))
				}
			}
		case 2:
			ok = p.word("False") || p.word("True")
		case 4:
			h.shape, ok = p.tuple()
		}
		if ok && !p.take(',') {
			ok = p.take('}')
			break
		}
	}
	if !ok || seen != 7 || strings.TrimRight(text[p.at:], " \n\t\r") != "" {
		return h, malformed(member, "at character %d of its header: not the literal that NumPy writes, {'descr': …, 'fortran_order': …, 'shape': (…)}", p.at)
	}
	if h.bytes, ok = size(h.shape, width); !ok {
		return h, malformed(member, "has the shape %v, which no memory holds", h.shape)
	}
	return h, nil
}

// dtype returns safetensors' name and the width in bytes of a NumPy type. MLX
// writes bfloat16, which NumPy does not have, as an opaque type of two bytes.
func dtype(descr string) (name string, width int64, ok bool) {
	if descr == "bfloat16" {
		return "BF16", 2, true
	}
	if descr == "" || !strings.ContainsRune("<>|=", rune(descr[0])) {
		return "", 0, false
	}
	name, ok = map[string]string{
		"b1": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "u4": "U32", "i4": "I32", "u8": "U64", "i8": "I64",
		"f2": "F16", "f4": "F32", "f8": "F64", "V2": "BF16", "c8": "C64",
	}[descr[1:]]
	if !ok {
		return "", 0, false
	}
	return name, int64(descr[2] - '0'), true
}

// literal reads the few Python literals that headers are made of.
type literal struct {
	text string
	at   int
}

func (p *literal) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *literal) take(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *literal) word(w string) bool {
	p.space()
	if strings.HasPrefix(p.text[p.at:], w) {
		p.at += len(w)
		return true
	}
	return false
}

// str reads a string in either kind of quotes, without escapes.
func (p *literal) str() (string, bool) {
	for _, quote := range []byte{'\'', '"'} {
		if !p.take(quote) {
			continue
		}
		n := strings.IndexByte(p.text[p.at:], quote)
		if n < 0 {
			return "", false
		}
		s := p.text[p.at : p.at+n]
		p.at += n + 1
		return s, !strings.ContainsAny(s, "\\\n")
	}
	return "", false
}

// tuple reads whole numbers in parentheses: (), (5,), (2, 3). One without its
// comma is a number in parentheses, not a tuple.
func (p *literal) tuple() ([]int64, bool) {
	out := []int64{}
	if !p.take('(') {
		return nil, false
	}
	comma := true
	for !p.take(')') {
		n, ok := p.number()
		if !comma || !ok || len(out) == maxDims {
			return nil, false
		}
		out = append(out, n)
		comma = p.take(',')
	}
	return out, len(out) != 1 || comma
}

func (p *literal) number() (int64, bool) {
	p.space()
	from := p.at
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		p.at++
	}
	n, err := strconv.ParseInt(p.text[from:p.at], 10, 64)
	return n, err == nil
}
