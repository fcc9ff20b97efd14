package protocol

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"sync"
	"time"
)

// MaxLine is the longest message in bytes. A longer line is noise.
const MaxLine = 4 << 20

// writeWithin is how long the other side may take to read a message.
const writeWithin = 10 * time.Second

// stream is a jsonrpc2.ObjectStream of lines that lets nothing but messages
// through.
type stream struct {
	in    *bufio.Reader
	out   io.Writer
	close func() error
	// noise takes lines that are no message, without their end.
	noise func([]byte)

	mu   sync.Mutex
	once sync.Once
	err  error
}

func newStream(in io.Reader, out io.Writer, closing func() error, noise func([]byte)) *stream {
	return &stream{in: bufio.NewReaderSize(in, 64<<10), out: out, close: closing, noise: noise}
}

// WriteObject writes v as one line.
func (s *stream) WriteObject(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) >= MaxLine {
		return errors.New("the message is too long")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.out.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = d.SetWriteDeadline(time.Now().Add(writeWithin)) // not every file can
	}
	if _, err = s.out.Write(append(b, '\n')); err != nil {
		_ = s.Close() // what follows half a line would not be understood
	}
	return err
}

// ReadObject reads the next message into v.
func (s *stream) ReadObject(v any) error {
	for {
		line, long, err := s.line()
		if len(line) > 0 {
			if !long && decode(line, v) {
				return nil
			}
			s.noise(line)
		}
		if err != nil {
			return err
		}
	}
}

// line reads to the next line's end; of a long one only the beginning.
func (s *stream) line() (b []byte, long bool, err error) {
	for {
		part, err := s.in.ReadSlice('\n')
		switch {
		case len(b)+len(part) <= MaxLine:
			b = append(b, part...)
		case !long:
			b, long = b[:min(len(b), 256)], true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
				b = b[:len(b)-1]
			}
			return b, long, err
		}
	}
}

// decode reads a message and reports whether it was one: an object with
// "jsonrpc": "2.0" that the library takes. Its decoder keeps what it read of a
// bad message, so that each is read into a fresh value.
func decode(line []byte, v any) bool {
	var head struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  string          `json:"method"`
	}
	if line[0] != '{' || json.Unmarshal(line, &head) != nil || head.Version != "2.0" {
		return false
	}
	if head.Method == "" && (len(head.ID) == 0 || string(head.ID) == "null") {
		return false // the library would take it for the answer to call 0
	}
	fresh := reflect.New(reflect.TypeOf(v).Elem())
	if json.Unmarshal(line, fresh.Interface()) != nil {
		return false
	}
	reflect.ValueOf(v).Elem().Set(fresh.Elem())
	return true
}

// Close ends the stream.
func (s *stream) Close() error {
	s.once.Do(func() { s.err = s.close() })
	return s.err
}
