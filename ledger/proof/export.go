package proof

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"
)

// ExportVersion is the version of the export's form.
const ExportVersion = 1

// Header is the first line of an export.
type Header struct {
	Version int    `json:"hwledger_export"`
	Origin  string `json:"origin"`
	// Key verifies the origin's checkpoints. Who has it from elsewhere must
	// not take it from here.
	Key  string `json:"key"`
	Size int64  `json:"size"`
	// Checkpoint is a signed note, of Size events at most; "" for none.
	Checkpoint string `json:"checkpoint,omitempty"`
}

// Line is one event of an export. The payload's bytes are those that were
// hashed; what rewrites the JSON between breaks them.
type Line struct {
	Seq        int64           `json:"seq"`
	Micros     int64           `json:"ts_us"`
	Type       string          `json:"type"`
	Subject    string          `json:"subject"`
	Actor      string          `json:"actor"`
	Key        string          `json:"key,omitempty"`
	Salt       []byte          `json:"salt,omitempty"`
	Payload    json.RawMessage `json:"payload,omitempty"`
	Commitment []byte          `json:"commitment"`
	Leaf       []byte          `json:"leaf"`
}

// maxLine bounds a line of an export, in bytes: a payload and what is around
// it.
const maxLine = 1 << 20

// Export reads an export, line by line.
type Export struct {
	Header Header
	lines  *bufio.Scanner
	n      int
}

// OpenExport reads an export's header.
func OpenExport(r io.Reader) (*Export, error) {
	e := &Export{lines: bufio.NewScanner(r)}
	e.lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	if !e.lines.Scan() {
		return nil, fmt.Errorf("the export is empty: %w", cmpErr(e.lines.Err(), io.ErrUnexpectedEOF))
	}
	e.n++
	if err := json.Unmarshal(e.lines.Bytes(), &e.Header); err != nil || e.Header.Version < 1 {
		return nil, errors.New("line 1 is not the header of a ledger's export")
	}
	if e.Header.Version > ExportVersion {
		return nil, fmt.Errorf("the export has version %d, and this program knows up to %d", e.Header.Version, ExportVersion)
	}
	return e, nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// Next returns the next event and its stored hash, io.EOF after the last.
func (e *Export) Next() (*Record, Stored, error) {
	if !e.lines.Scan() {
		return nil, Stored{}, cmpErr(e.lines.Err(), io.EOF)
	}
	e.n++
	var l Line
	if err := json.Unmarshal(e.lines.Bytes(), &l); err != nil {
		return nil, Stored{}, fmt.Errorf("line %d is not an event: %w", e.n, err)
	}
	r := &Record{Seq: l.Seq, Micros: l.Micros, Type: l.Type, Subject: l.Subject, Actor: l.Actor, Key: l.Key, Salt: l.Salt, Payload: l.Payload}
	var s Stored
	if len(l.Commitment) != len(r.Commitment) || len(l.Leaf) != len(s.Leaf) {
		return nil, Stored{}, fmt.Errorf("line %d has a hash of another length than 32 bytes", e.n)
	}
	copy(r.Commitment[:], l.Commitment)
	copy(s.Leaf[:], l.Leaf)
	return r, s, nil
}

// VerifyExport reads a whole export and checks it against its header's
// checkpoint and those given, all signed by key, or, when key is empty, by the
// header's own. It returns the walker after the last good event.
func VerifyExport(ctx context.Context, r io.Reader, key string, checkpoints []string, progress func(done, total int64)) (*Walker, *Damage, error) {
	e, err := OpenExport(r)
	if err != nil {
		return nil, nil, err
	}
	pinned, damage, err := e.Checkpoints(key, checkpoints)
	w := NewWalker(pinned)
	if err != nil || damage != nil {
		return w, damage, err
	}
	for {
		record, stored, err := e.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return w, nil, err
		}
		if d := w.Next(record, stored); d != nil {
			return w, d, nil
		}
		if w.Size()%4096 == 0 {
			progress(w.Size(), e.Header.Size)
		}
	}
	if w.Size() < e.Header.Size {
		return w, &Damage{Truncated, w.Size() + 1, fmt.Sprintf("there are %d events, and the header says %d", w.Size(), e.Header.Size)}, nil
	}
	return w, w.End(), nil
}

// Checkpoints opens the header's checkpoint and others.
func (e *Export) Checkpoints(key string, others []string) ([]Checkpoint, *Damage, error) {
	if key == "" {
		key = e.Header.Key
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, nil, fmt.Errorf("the verifier key cannot be read: %w", err)
	}
	if e.Header.Checkpoint != "" {
		others = append([]string{e.Header.Checkpoint}, others...)
	}
	var out []Checkpoint
	for _, n := range others {
		c, err := OpenCheckpoint(n, v)
		if errors.Is(err, ErrWrongKey) {
			return nil, &Damage{Kind: WrongKey, Why: "a checkpoint is not signed by " + v.Name()}, nil
		}
		if err != nil {
			return nil, nil, err
		}
		out = append(out, c)
	}
	return out, nil, nil
}
