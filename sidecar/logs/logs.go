// Package logs keeps what an engine prints: the first lines and the last in
// memory, since the cause of a failure is at either end, and the whole in a
// file of bounded size for an engine that outlives this program.
package logs

import (
	"bytes"
	"regexp"
	"sync"
)

// Limits of what is kept.
const (
	// MaxHead and MaxTail are bytes of the first and of the last lines.
	MaxHead = 128 << 10
	MaxTail = 256 << 10
	// MaxLine is the longest line in bytes; the rest of it is dropped.
	MaxLine = 16 << 10
)

// Ring keeps the first and the last lines that are written to it. Writing
// never waits. The zero value is ready for use.
type Ring struct {
	// Secret, unless empty, is a text of one line that is not kept.
	Secret string

	mu      sync.Mutex
	head    []byte
	tail    []byte // the newest at the end; cut at the front when twice too long
	full    bool   // the head takes no more
	cut     bool   // something between head and tail is lost
	partial []byte
	skip    bool // the rest of a line that is too long
	written int64
}

// Write takes output in pieces of any size.
func (r *Ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(p)
	r.written += int64(n)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		r.grow(p[:i])
		r.line(r.partial)
		r.partial, r.skip, p = r.partial[:0], false, p[i+1:]
	}
	r.grow(p)
	return n, nil
}

// grow appends to the line that has not ended.
func (r *Ring) grow(p []byte) {
	if r.skip {
		return
	}
	if room := MaxLine - len(r.partial); len(p) > room {
		p, r.skip = p[:room], true
	}
	r.partial = append(r.partial, p...)
}

// line keeps one line.
func (r *Ring) line(b []byte) {
	b = append(r.hide(clean(b)), '\n')
	if !r.full && len(r.head)+len(b) <= MaxHead {
		r.head = append(r.head, b...)
		return
	}
	r.full = true
	r.tail = append(r.tail, b...)
	if len(r.tail) > 2*MaxTail {
		from := len(r.tail) - MaxTail
		if i := bytes.IndexByte(r.tail[from:], '\n'); i >= 0 {
			from += i + 1
		}
		r.tail, r.cut = append(r.tail[:0], r.tail[from:]...), true
	}
}

// hide leaves the secret out.
func (r *Ring) hide(b []byte) []byte {
	if r.Secret == "" {
		return b
	}
	return bytes.ReplaceAll(b, []byte(r.Secret), []byte("[secret]"))
}

// Written is how many bytes came: it grows while there is progress.
func (r *Ring) Written() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}

// Text returns what is kept, with a mark where lines are lost.
func (r *Ring) Text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b bytes.Buffer
	b.Write(r.head)
	if r.cut {
		b.WriteString("[…]\n")
	}
	b.Write(r.tail)
	if len(r.partial) > 0 {
		b.Write(r.hide(clean(r.partial)))
		b.WriteByte('\n')
	}
	return b.String()
}

// Tail returns at most n of the last lines, of at most size bytes together.
func (r *Ring) Tail(n, size int) []string {
	text := []byte(r.Text())
	if len(text) > size {
		text = text[len(text)-size:]
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	lines = lines[max(0, len(lines)-n):]
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		if len(l) > 0 {
			out = append(out, string(l))
		}
	}
	return out
}

// escapes are the control sequences of terminals.
var escapes = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]`)
})

// clean returns the line as a terminal would show it in the end: without
// colours, and of a progress bar its last state; other control characters and
// what is no UTF-8 are left out.
func clean(b []byte) []byte {
	b = bytes.TrimRight(b, "\r")
	if i := bytes.LastIndexByte(b, '\r'); i >= 0 {
		b = b[i+1:]
	}
	if bytes.IndexByte(b, 0x1b) >= 0 {
		b = escapes().ReplaceAll(b, nil)
	}
	return bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, b)
}
