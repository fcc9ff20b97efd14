package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"hwledger/calc/model"
	"hwledger/calc/model/ggml"
)

// Bounds of what is accepted. Published headers stay far below them: the
// longest are some tens of MB of vocabulary, 3000 tensors and 100 keys.
const (
	maxHeader  = 1 << 30 // bytes before the tensor data
	maxKV      = 1 << 16
	maxTensors = 1 << 18
	maxKey     = 1<<16 - 1 // by the specification
	maxName    = 1 << 10   // ggml itself stops at 63
	maxSplits  = 1 << 10
	maxData    = 1 << 52 // bytes of tensor data in one file
	keepString = 4096    // longer strings (chat templates) are passed over
	keepArray  = 4096    // longer arrays are passed over; layers stay below
	keepTexts  = 256
	// window is the least that Parse reads at once.
	window = 128 << 10
)

// NeedMore says that the window ended before the header did: the next window
// must start at Offset and have at least Bytes bytes.
type NeedMore struct{ Offset, Bytes int64 }

// Error describes what is missing.
func (n *NeedMore) Error() string {
	return fmt.Sprintf("the GGUF header goes on: %d bytes at offset %d are needed", n.Bytes, n.Offset)
}

// state is what the decoder reads next.
type state uint8

const (
	readingStart state = iota
	readingKV
	readingStrings // of an array that began in an earlier step
	readingTensors
	done
)

// Decoder reads a header from windows of bytes that arrive one after another,
// so that a remote file can be read by ranges without reading any byte twice
// but those of an item that a window cut. What is passed over need not be
// fetched at all.
type Decoder struct {
	size  int64 // of the file, -1 when unknown
	off   int64 // of the next item
	state state
	order binary.ByteOrder
	h     *Header

	kvs, tensors int64 // left to read
	key          string
	value        Value                    // the array that is being read
	left         int64                    // of its strings
	began        int64                    // offset of its first string
	vocabulary   struct{ n, bytes int64 } // once its strings were read
}

// NewDecoder returns a decoder for a file of size bytes, -1 when unknown.
func NewDecoder(size int64) *Decoder {
	return &Decoder{size: size, h: &Header{KV: map[string]Value{}, Files: 1, Alignment: 32}}
}

// Offset returns where the next window has to start. It may lie beyond the end
// of the last window.
func (d *Decoder) Offset() int64 { return d.off }

// Decode reads on from window, the file's bytes from Offset() on. It returns
// the header when that is complete, *NeedMore when the window ended before it,
// and *model.Error with code MalformedFile when the bytes are no GGUF header.
// The window is not kept.
func (d *Decoder) Decode(window []byte) (*Header, error) {
	c := cursor{b: window, base: d.off, size: d.size, order: d.order}
	for d.state != done {
		d.off, c.item = c.base+c.pos, c.pos
		var err error
		switch d.state {
		case readingStart:
			err = d.start(&c)
		case readingKV:
			err = d.kv(&c)
		case readingStrings:
			err = d.strings(&c)
		case readingTensors:
			err = d.tensor(&c)
		}
		if err != nil {
			return nil, err
		}
	}
	return d.h, nil
}

// start reads magic, version and counts.
func (d *Decoder) start(c *cursor) error {
	if err := sniff(c); err != nil {
		return err
	}
	if err := c.skip(4); err != nil { // the magic that sniff looked at
		return err
	}
	b, err := c.take(4)
	if err != nil {
		return err
	}
	d.order, d.h.Version = binary.LittleEndian, binary.LittleEndian.Uint32(b)
	if d.h.Version&0xffff == 0 && d.h.Version != 0 {
		d.order, d.h.Version, d.h.BigEndian = binary.BigEndian, binary.BigEndian.Uint32(b), true
	}
	c.order = d.order
	switch v := d.h.Version; {
	case v == 1:
		return c.fail("version", 4, "GGUF version 1, which llama.cpp no longer reads").
			WithHint("convert the model again; versions 2 and 3 are read")
	case v != 2 && v != 3:
		return c.fail("version", 4, "GGUF version %d is not known", v).WithHint("versions 2 and 3 are read")
	}
	if d.tensors, err = c.count("tensor count", maxTensors); err != nil {
		return err
	}
	if d.kvs, err = c.count("metadata count", maxKV); err != nil {
		return err
	}
	// A key takes 13 bytes at least, a tensor info 24.
	if d.size >= 0 && d.kvs*13+d.tensors*24 > d.size {
		return c.fail("", 16, "%d keys and %d tensors cannot be in a file of %d bytes", d.kvs, d.tensors, d.size)
	}
	d.state = readingKV
	return nil
}

// kv reads one key and its value, or the head of a value that is an array.
func (d *Decoder) kv(c *cursor) error {
	if d.kvs == 0 {
		return d.endKV(c)
	}
	key, err := c.text("key", maxKey)
	if err != nil {
		return err
	}
	if _, double := d.h.KV[string(key)]; double {
		return c.fail(string(key), 0, "the key is there twice")
	}
	t, err := c.u32()
	if err != nil {
		return err
	}
	v := Value{Type: ValueType(t), order: d.order}
	switch {
	case v.Type == String:
		err = c.skipText(&v)
	case v.Type == Array:
		if err = c.arrayHead(&v); err == nil && v.Elem == String {
			d.key, d.value, d.left, d.began = string(key), v, v.Len, c.base+c.pos
			d.state = readingStrings
			return nil
		}
		if err == nil {
			err = c.array(&v)
		}
	case v.Type.size() > 0:
		v.Kept = true
		v.raw, err = c.copied(v.Type.size())
	default:
		err = c.fail(string(key), 4, "unknown value type %d", t)
	}
	if err != nil {
		return err
	}
	d.h.KV[string(key)] = v
	d.kvs--
	return nil
}

// strings passes over the strings of an array, as many as the window has.
func (d *Decoder) strings(c *cursor) (err error) {
	if !d.value.Kept {
		if d.left, err = c.skipStrings(d.left); err != nil {
			return err
		}
	}
	for ; d.left > 0; d.left-- {
		d.off, c.item = c.base+c.pos, c.pos
		var s Value
		if d.value.Kept {
			err = c.skipText(&s)
		} else {
			_, err = c.take(8) // beyond the window: ask for more
		}
		if err != nil {
			return err
		}
		d.value.strs = append(d.value.strs, s.str)
	}
	d.h.KV[d.key] = d.value
	if d.key == tokensKey {
		d.vocabulary.n, d.vocabulary.bytes = d.value.Len, c.base+c.pos-d.began
	}
	d.key, d.value = "", Value{}
	d.kvs--
	d.state = readingKV
	return nil
}

// endKV reads what the metadata says about the file itself.
func (d *Decoder) endKV(c *cursor) error {
	if v, ok := d.h.KV["general.alignment"]; ok {
		n, ok := v.Int()
		if !ok || n < 8 || n > 1<<30 || n&(n-1) != 0 {
			return c.fail("general.alignment", 0, "the alignment is no power of two")
		}
		d.h.Alignment = n
	}
	var err error
	if d.h.Split, err = splitOf(d.h.KV); err != nil {
		return err
	}
	d.h.Tensors = make([]Tensor, 0, min(d.tensors, 4096))
	d.h.index = make(map[string]int, min(d.tensors, 4096))
	d.state = readingTensors
	return nil
}

// tensor reads one tensor info.
func (d *Decoder) tensor(c *cursor) error {
	if d.tensors == 0 {
		return d.finish(c)
	}
	from := c.pos
	name, err := c.text("tensor name", maxName)
	if err != nil {
		return err
	}
	nd, err := c.u32()
	if err != nil {
		return err
	}
	t := Tensor{Dims: [4]int64{1, 1, 1, 1}, NDims: int(nd)}
	if nd > 4 {
		return c.fail(string(name), 4, "a tensor of %d dimensions", nd)
	}
	elems := int64(1)
	for i := range t.Dims[:nd] {
		if t.Dims[i], err = c.count("dimension", math.MaxInt64); err != nil {
			return err
		}
		if t.Dims[i] == 0 || t.Dims[i] > math.MaxInt64/elems {
			return c.fail(string(name), 8, "dimension %d is impossible", t.Dims[i])
		}
		elems *= t.Dims[i]
	}
	typ, err := c.u32()
	if err != nil {
		return err
	}
	t.Type = ggml.Type(typ)
	if t.Bytes, err = ggml.TensorBytes(t.Type, t.Dims[:]...); err != nil {
		return c.fail(string(name), 4, "%s", err)
	}
	if t.Offset, err = c.count("tensor offset", math.MaxInt64); err != nil {
		return err
	}
	// The data of tensors follow each other, each padded to the alignment.
	if t.Offset != d.h.DataBytes {
		return c.fail(string(name), 8, "the data is at %d instead of %d", t.Offset, d.h.DataBytes)
	}
	if t.Bytes > maxData-d.h.Alignment-d.h.DataBytes {
		return c.fail(string(name), c.pos-from, "the tensor data overflows")
	}
	d.h.DataBytes += pad(t.Bytes, d.h.Alignment)
	if _, double := d.h.index[string(name)]; double {
		return c.fail(string(name), c.pos-from, "the tensor is there twice")
	}
	t.Name = string(name)
	d.h.index[t.Name] = len(d.h.Tensors)
	d.h.Tensors = append(d.h.Tensors, t)
	d.tensors--
	return nil
}

// finish places the tensor data behind the header.
func (d *Decoder) finish(c *cursor) error {
	d.h.HeaderBytes = pad(c.base+c.pos, d.h.Alignment)
	if d.size >= 0 {
		// The last tensor may be written without its padding.
		end := d.h.HeaderBytes
		if n := len(d.h.Tensors); n > 0 {
			end += d.h.Tensors[n-1].Offset + d.h.Tensors[n-1].Bytes
			d.h.MissingBytes = max(0, end-d.size)
		}
	}
	d.state = done
	return nil
}

func pad(n, to int64) int64 { return (n + to - 1) / to * to }

// Parse reads the header at the start of r, a file of size bytes (-1 when
// unknown). It reads each byte of the header at most once, in order, and
// nothing behind the window in which the header ends. A reader with Foresight
// is told before each read how far the header probably reaches.
func Parse(r io.ReaderAt, size int64) (*Header, error) {
	d := NewDecoder(size)
	buf := make([]byte, window)
	have := 0 // bytes of buf that hold the file from base on
	base := int64(0)
	want := int64(0)
	foresight, _ := r.(Foresight)
	for {
		if foresight != nil {
			foresight.Expect(d.off + d.ahead())
		}
		if want > int64(len(buf)) {
			buf = append(buf[:have], make([]byte, want-int64(have))...)
		}
		n, err := r.ReadAt(buf[have:], base+int64(have))
		have += n
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading a GGUF header at offset %d: %w", base+int64(have), err)
		}
		if n == 0 && base+int64(have) > 0 {
			return nil, truncated(base + int64(have))
		}
		if err != nil && d.size < 0 {
			d.size = base + int64(have) // now the end is known
		}
		h, err := d.Decode(buf[:have])
		need, more := errors.AsType[*NeedMore](err)
		if !more {
			return h, err
		}
		if used := need.Offset - base; used < int64(have) {
			have = copy(buf, buf[used:have])
		} else {
			have = 0
		}
		base, want = need.Offset, need.Bytes
	}
}

func truncated(at int64) *model.Error {
	return malformed("", "the file ends inside its header, at offset %d", at).
		WithHint("download the file again; it is incomplete")
}
