package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"hwledger/calc/model"
)

// Prefix is the beginning of a remote file, read in growing pieces. Every
// byte is asked for once. It is for one goroutine.
type Prefix struct {
	c       *Client
	address string
	limit   int64
	buf     []byte
	size    int64 // of the file, -1 when the server does not say
	etag    string
	whole   bool // the buffer is the whole file
	// final is where redirects led to, which later ranges ask without them:
	// a signed address of a CDN. It is given up when it no longer answers.
	final string
	// Requests counts round trips.
	Requests int
}

// Prefix opens the file at address. At most limit bytes of it are ever read.
func (c *Client) Prefix(address string, limit int64) *Prefix {
	return &Prefix{c: c, address: address, limit: limit, size: -1}
}

// Resume makes bytes that were read before the beginning of a file of size
// bytes, so that only what follows them is asked for.
func (p *Prefix) Resume(begin []byte, size int64) { p.buf, p.size = begin, size }

// Size returns the file's size, -1 while it is unknown.
func (p *Prefix) Size() int64 { return p.size }

// Bytes returns what was read so far.
func (p *Prefix) Bytes() []byte { return p.buf }

// Grow reads until the first n bytes are there, or the end of the file. It
// returns io.EOF when the file has no more bytes than were there already.
func (p *Prefix) Grow(ctx context.Context, n int64) error {
	have := int64(len(p.buf))
	switch {
	case have >= n:
		return nil
	case p.whole || p.size >= 0 && have >= p.size:
		return io.EOF
	case n > p.limit:
		return model.Errorf(model.MalformedFile, "model", "%s has a header of more than %d bytes", shown(p.address), p.limit)
	}
	if p.size >= 0 {
		n = min(n, p.size)
	}
	if p.final != "" {
		from := p.final
		if err := p.ask(ctx, from, n); err == nil || ctx.Err() != nil || int64(len(p.buf)) > have {
			return err
		}
		p.final = "" // expired
	}
	return p.ask(ctx, p.address, n)
}

// ask reads from an address until n bytes are there.
func (p *Prefix) ask(ctx context.Context, address string, n int64) error {
	return p.c.retry(ctx, address, func(h http.Header) {
		p.Requests++
		h.Set("Range", fmt.Sprintf("bytes=%d-%d", len(p.buf), n-1))
		// A range of a compressed stream is not a range of the file.
		h.Set("Accept-Encoding", "identity")
		if p.etag != "" {
			h.Set("If-Range", p.etag)
		}
	}, func(resp *http.Response) error {
		err := p.take(resp, n)
		if err == nil && resp.Request.URL.String() != p.address {
			p.final = resp.Request.URL.String()
		}
		return err
	})
}

// take adds what a response brings, so that an attempt after a broken body
// goes on where it broke.
func (p *Prefix) take(resp *http.Response, n int64) error {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		from, size, err := contentRange(resp.Header.Get("Content-Range"))
		if err != nil || from != int64(len(p.buf)) {
			return model.Errorf(model.MalformedFile, "model", "%s answered a range that was not asked for: %q", shown(p.address), resp.Header.Get("Content-Range"))
		}
		p.size = size
	case http.StatusOK:
		// The server knows no ranges: read from the beginning, and no more
		// than is needed.
		if len(p.buf) > 0 && p.etag != "" && resp.Header.Get("ETag") != p.etag {
			return model.Errorf(model.MalformedFile, "model", "%s changed while it was read", shown(p.address)).WithHint("try again")
		}
		p.size = resp.ContentLength
		if _, err := io.CopyN(io.Discard, resp.Body, int64(len(p.buf))); err != nil {
			return err
		}
	case http.StatusRequestedRangeNotSatisfiable:
		p.whole, p.size = true, int64(len(p.buf))
		return nil
	default:
		return status(resp, p.address)
	}
	if e := resp.Header.Get("ETag"); e != "" && !strings.HasPrefix(e, "W/") {
		p.etag = e
	}
	want := n - int64(len(p.buf))
	if p.size >= 0 {
		want = min(want, p.size-int64(len(p.buf)))
	}
	old := len(p.buf)
	p.buf = append(p.buf, make([]byte, want)...)
	got, err := io.ReadFull(resp.Body, p.buf[old:])
	p.buf = p.buf[:old+got]
	if err != nil && p.size < 0 && (err == io.EOF || err == io.ErrUnexpectedEOF) {
		p.whole, p.size = true, int64(len(p.buf))
		return nil
	}
	return err
}

// contentRange reads "bytes 0-99/1000"; the size is -1 for "*".
func contentRange(v string) (from, size int64, err error) {
	rest, ok := strings.CutPrefix(v, "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	first, _, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, fmt.Errorf("content range %q", v)
	}
	if from, err = strconv.ParseInt(first, 10, 64); err != nil || from < 0 {
		return 0, 0, fmt.Errorf("content range %q", v)
	}
	if total == "*" {
		return from, -1, nil
	}
	size, err = strconv.ParseInt(total, 10, 64)
	if err != nil || size < from {
		return 0, 0, fmt.Errorf("content range %q", v)
	}
	return from, size, nil
}
