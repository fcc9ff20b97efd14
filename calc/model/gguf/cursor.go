package gguf

import (
	"bytes"
	"encoding/binary"

	"hwledger/calc/model"
)

// cursor reads items from a window of a file and bounds every length by the
// file's size before it moves.
type cursor struct {
	b     []byte
	base  int64 // offset of b in the file
	pos   int64 // in b; beyond its end when content was passed over
	size  int64 // of the file, -1 when unknown
	order binary.ByteOrder
	item  int64 // in b, where the item that is being read begins
}

// room checks that n more bytes can be in the file.
func (c *cursor) room(n int64) error {
	end := int64(maxHeader)
	if c.size >= 0 {
		end = min(end, c.size)
	}
	at := c.base + c.pos
	switch {
	case n <= end-at:
		return nil
	case c.size >= 0 && end == c.size:
		return malformed("", "the file of %d bytes ends inside its header: %d bytes at offset %d reach beyond it", c.size, n, at).
			WithHint("the file is truncated or damaged: download it again")
	}
	return malformed("", "%d bytes at offset %d are beyond what a header can have", n, at)
}

// take returns the next n bytes of the window, or *NeedMore.
func (c *cursor) take(n int64) ([]byte, error) {
	if end := c.pos + n; n >= 0 && end <= int64(len(c.b)) {
		b := c.b[c.pos:end]
		c.pos = end
		return b, nil
	}
	if err := c.room(n); err != nil {
		return nil, err
	}
	return nil, &NeedMore{Offset: c.base + c.item, Bytes: c.pos + n - c.item}
}

// skip passes over n bytes, which need not be in the window.
func (c *cursor) skip(n int64) error {
	if err := c.room(n); err != nil {
		return err
	}
	c.pos += n
	return nil
}

// fail makes an error about what was read back bytes before the cursor.
func (c *cursor) fail(field string, back int64, format string, args ...any) *model.Error {
	return malformed(printable(field), format+", at offset %d", append(args, c.base+c.pos-back)...)
}

func (c *cursor) u32() (uint32, error) {
	b, err := c.take(4)
	if err != nil {
		return 0, err
	}
	return c.order.Uint32(b), nil
}

// count reads a length, a dimension or an offset of at most limit.
func (c *cursor) count(what string, limit int64) (int64, error) {
	b, err := c.take(8)
	if err != nil {
		return 0, err
	}
	n := c.order.Uint64(b)
	if n > uint64(limit) {
		return 0, c.fail("", 8, "a %s of %d is impossible", what, n)
	}
	return int64(n), nil
}

// text returns the bytes of a string that must be in the window.
func (c *cursor) text(what string, limit int64) ([]byte, error) {
	n, err := c.count(what+" length", limit)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, c.fail("", 8, "an empty %s", what)
	}
	return c.take(n)
}

// skipText reads the length of a string value into v, and its content when it
// is short.
func (c *cursor) skipText(v *Value) error {
	n, err := c.count("string length", maxHeader)
	if err != nil {
		return err
	}
	v.Type, v.Len = String, n
	if n > keepString {
		return c.skip(n)
	}
	b, err := c.take(n)
	v.str, v.Kept = string(b), true
	return err
}

// skipStrings passes over at most n strings and returns how many are left. It
// stops without an error where the window does.
func (c *cursor) skipStrings(n int64) (int64, error) {
	big := c.order == binary.ByteOrder(binary.BigEndian)
	end := int64(maxHeader) - c.base // of the file, as a position in b
	if c.size >= 0 {
		end = min(end, c.size-c.base)
	}
	last := int64(len(c.b)) - 8
	pos := c.pos
	for ; n > 0 && pos <= last; n-- {
		var l uint64
		if b := c.b[pos : pos+8 : pos+8]; big {
			l = binary.BigEndian.Uint64(b)
		} else {
			l = binary.LittleEndian.Uint64(b)
		}
		if l > maxHeader || pos+8+int64(l) > end {
			c.pos = pos + 8
			return n, c.fail("", 8, "a string of %d bytes reaches beyond the file", l)
		}
		pos += 8 + int64(l)
	}
	c.pos = pos
	return n, nil
}

// arrayHead reads the element type and the length of an array.
func (c *cursor) arrayHead(v *Value) error {
	e, err := c.u32()
	if err != nil {
		return err
	}
	v.Elem = ValueType(e)
	least := v.Elem.size()
	if v.Elem == String {
		least = 8
	}
	if least == 0 {
		return c.fail("", 4, "an array of elements of type %s (%d)", v.Elem, e)
	}
	if v.Len, err = c.count("array length", maxHeader); err != nil {
		return err
	}
	v.Kept = v.Len <= keepArray
	if v.Elem == String {
		v.Kept = v.Len <= keepTexts
	}
	return c.room(v.Len * least)
}

// array reads or passes over the elements of an array of numbers.
func (c *cursor) array(v *Value) (err error) {
	n := v.Len * v.Elem.size()
	if !v.Kept {
		return c.skip(n)
	}
	v.raw, err = c.copied(n)
	return err
}

// copied returns a copy of the next n bytes.
func (c *cursor) copied(n int64) ([]byte, error) {
	b, err := c.take(n)
	return bytes.Clone(b), err
}

// printable shortens a name from a file for a message and drops what a
// terminal would act on.
func printable(s string) string {
	b := make([]byte, 0, min(len(s), 80))
	for i := 0; i < len(s) && len(b) < 80; i++ {
		if s[i] >= ' ' && s[i] < 0x7f {
			b = append(b, s[i])
		}
	}
	return string(b)
}
