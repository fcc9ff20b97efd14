package scoring

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// line is one JSON object of a file.
type line struct {
	raw  json.RawMessage
	file string
	n    int
}

func (l *line) id() string {
	return fmt.Sprintf("%s:%d", l.file[strings.LastIndexByte(l.file, '/')+1:], l.n)
}

// records are the lines of all files, by kind.
type records struct {
	servers   []row  // starts of vLLM
	engine    []line // what llama.cpp reported for a header and a setting
	quantized []line // what llama-quantize chose
	logs      []line // users' logs of llama.cpp and its relatives
	shapes    shapes
}

// readRecords reads files of JSON lines, compressed or not. Lines of several
// kinds may share a file; what a line is, its fields tell.
func readRecords(names []string) (*records, error) {
	rec := &records{shapes: shapes{given: map[string]json.RawMessage{}}}
	for _, name := range names {
		if err := rec.read(name); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	return rec, nil
}

// maxLine bounds a line of a record file.
const maxLine = 16 << 20

func (rec *records) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	var r io.Reader = in
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if r, err = gzip.NewReader(in); err != nil {
			return err
		}
	}
	// Lines that are not of the other kinds are server logs; the others become
	// empty there, so that line numbers stay.
	var servers bytes.Buffer
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	for n := 1; sc.Scan(); n++ {
		if !rec.sort(line{raw: bytes.Clone(sc.Bytes()), file: name, n: n}) {
			servers.Write(sc.Bytes())
		}
		servers.WriteByte('\n')
	}
	if err := sc.Err(); err != nil {
		return err
	}
	rows, err := readRows(&servers, name)
	rec.servers = append(rec.servers, rows...)
	return err
}

// sort keeps a line under its kind and reports whether it is of one.
func (rec *records) sort(l line) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(l.raw, &fields) != nil {
		return false
	}
	has := func(names ...string) bool {
		for _, n := range names {
			if _, ok := fields[n]; !ok {
				return false
			}
		}
		return true
	}
	shape := rec.shapes.keep(fields["hyperparameters"])
	switch {
	case has("setting", "model"):
		rec.engine = append(rec.engine, l)
	case has("ftype", "model"):
		rec.quantized = append(rec.quantized, l)
	case has("observed") && (has("n_ubatch") || has("kv_type_k") || has("n_gpu_layers")):
		rec.logs = append(rec.logs, l)
	default:
		return shape
	}
	return true
}

// sections plans all records but the server logs.
func (rec *records) sections(ms *models) []section {
	var out []section
	add := func(kind string, lines []line, plan func(*line) entry) {
		if len(lines) == 0 {
			return
		}
		rows := make([]entry, len(lines))
		for i := range lines {
			rows[i] = plan(&lines[i])
		}
		out = append(out, tallied(kind, rows))
	}
	rec.shapes.models = ms
	add("llama.cpp, as the engine reported", rec.engine, rec.shapes.engineRow)
	add("llama-quantize, as the tool reported", rec.quantized, rec.shapes.quantizeRow)
	add("llama.cpp and relatives, as users logged", rec.logs, func(l *line) entry { return planLog(l, ms) })
	return out
}
