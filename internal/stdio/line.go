package stdio

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
)

// errTooLong reports a line longer than the limit. ID is the request's id
// when one was found in it, so that its sender can be answered.
type errTooLong struct{ ID json.RawMessage }

func (errTooLong) Error() string { return "line too long" }

// lines reads newline-delimited messages of bounded length.
type lines struct {
	in  *bufio.Reader
	max int
}

// next returns the next line without its newline, in memory of its own. A
// line longer than max is skipped to its end, in constant memory, and
// reported as errTooLong; the line after it is read as usual. The last line
// may lack its newline.
func (l *lines) next() ([]byte, error) {
	var line []byte
	for {
		chunk, err := l.in.ReadSlice('\n')
		if len(line)+len(chunk) > l.max+1 {
			return nil, l.skip(line, chunk, err)
		}
		line = append(line, chunk...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		default:
			return nil, err
		}
	}
}

// skip reads to the end of a line that is too long, looking for its id.
func (l *lines) skip(line, chunk []byte, err error) error {
	var s idScanner
	s.scan(line)
	s.scan(chunk)
	for errors.Is(err, bufio.ErrBufferFull) {
		chunk, err = l.in.ReadSlice('\n')
		s.scan(chunk)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return errTooLong{ID: s.result()}
}

// idScanner finds the value of the member "id" of a JSON object that arrives
// in pieces and is never held whole. Clients put it anywhere: some SDKs write
// it last.
type idScanner struct {
	depth             int
	inString, escaped bool
	value             bool // at depth 1, after a colon
	isID              bool // the last key at depth 1 was "id"
	token             []byte
	id                json.RawMessage
}

// maxID is the longest id that is answered to.
const maxID = 256

func (s *idScanner) scan(b []byte) {
	for _, c := range b {
		if s.inString {
			s.inside(c)
		} else {
			s.outside(c)
		}
	}
}

// keep appends to the token of depth 1, which stays bounded.
func (s *idScanner) keep(c byte) {
	if s.depth == 1 && len(s.token) <= maxID {
		s.token = append(s.token, c)
	}
}

func (s *idScanner) inside(c byte) {
	s.keep(c)
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		s.inString = false
	}
}

func (s *idScanner) outside(c byte) {
	switch c {
	case '"':
		s.inString = true
		s.keep(c)
	case '{', '[':
		s.depth++
		s.token = s.token[:0]
	case '}', ']':
		s.end()
		s.depth--
	case ',':
		s.end()
	case ':':
		if s.depth == 1 {
			s.isID, s.value = string(s.token) == `"id"`, true
			s.token = s.token[:0]
		}
	case ' ', '\t', '\r', '\n':
	default:
		s.keep(c)
	}
}

// end closes a member at depth 1.
func (s *idScanner) end() {
	if s.depth != 1 {
		return
	}
	if s.value && s.isID && len(s.token) <= maxID {
		s.id = append(json.RawMessage(nil), s.token...)
	}
	s.value, s.isID, s.token = false, false, s.token[:0]
}

// result returns the id, nil when there is none that could be answered to.
func (s *idScanner) result() json.RawMessage {
	if s.depth == 1 {
		s.end()
	}
	if !validID(s.id) {
		return nil
	}
	return s.id
}
