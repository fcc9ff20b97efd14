package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a tree at a size, as its log signs it.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   Hash
}

// Text is the body of the checkpoint's note, c2sp.org/tlog-checkpoint.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// Sign returns the signed note.
func (c Checkpoint) Sign(s note.Signer) (string, error) {
	signed, err := note.Sign(&note.Note{Text: c.Text()}, s)
	return string(signed), err
}

// ErrWrongKey is what OpenCheckpoint fails with when the note has no
// signature of the key.
var ErrWrongKey = errors.New("the checkpoint is not signed by this ledger's key")

// maxNote bounds a checkpoint that is read from outside, in bytes.
const maxNote = 64 << 10

// OpenCheckpoint reads a signed checkpoint and checks its signature. It fails
// with ErrWrongKey when none is of the verifier's key, or when it is broken.
func OpenCheckpoint(signed string, v note.Verifier) (Checkpoint, error) {
	if len(signed) > maxNote {
		return Checkpoint{}, fmt.Errorf("a checkpoint of %d bytes", len(signed))
	}
	n, err := note.Open([]byte(signed), note.VerifierList(v))
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified), errors.As(err, &invalid):
		return Checkpoint{}, ErrWrongKey
	case err != nil:
		return Checkpoint{}, fmt.Errorf("not a signed note: %w", err)
	}
	c, err := parseCheckpoint(n.Text)
	if err == nil && c.Origin != v.Name() {
		err = fmt.Errorf("the checkpoint is of the log %q, not of %q", c.Origin, v.Name())
	}
	return c, err
}

// parseCheckpoint reads a checkpoint's text; extension lines are allowed and
// mean nothing.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return Checkpoint{}, fmt.Errorf("a checkpoint has an origin, a size and a root, each on a line")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("the checkpoint's size is %.40q", lines[1])
	}
	root, err := parseHash(lines[2])
	return Checkpoint{lines[0], size, root}, err
}

func parseHash(s string) (Hash, error) {
	var h Hash
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%.60q is not the base64 of a SHA-256 hash", s)
	}
	copy(h[:], b)
	return h, nil
}

// Inclusion is a portable proof that an event is in a ledger at a checkpoint.
type Inclusion struct {
	// Index is the leaf, the event's seq - 1.
	Index int64
	Path  tlog.RecordProof
	// Checkpoint is the signed note.
	Checkpoint string
}

const proofHeader = "c2sp.org/tlog-proof@v1"

// Text is the proof in the form of c2sp.org/tlog-proof.
func (p Inclusion) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nindex %d\n", proofHeader, p.Index)
	for _, h := range p.Path {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	b.WriteString("\n" + p.Checkpoint)
	return b.String()
}

// maxPath is longer than the path in any tree with 2^63 leaves.
const maxPath = 63

// ParseInclusion reads a proof's text. It checks nothing but the form.
func ParseInclusion(text string) (Inclusion, error) {
	head, checkpoint, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 2 || lines[0] != proofHeader {
		return Inclusion{}, fmt.Errorf("the proof does not begin with %q and end with a checkpoint", proofHeader)
	}
	lines = lines[1:]
	if strings.HasPrefix(lines[0], "extra ") && len(lines) > 1 {
		lines = lines[1:]
	}
	digits, ok := strings.CutPrefix(lines[0], "index ")
	index, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || index < 0 || strconv.FormatInt(index, 10) != digits {
		return Inclusion{}, fmt.Errorf("the proof's index line is %.40q", lines[0])
	}
	if len(lines) > maxPath+1 {
		return Inclusion{}, fmt.Errorf("a proof of %d hashes", len(lines)-1)
	}
	p := Inclusion{Index: index, Checkpoint: checkpoint}
	for _, line := range lines[1:] {
		h, err := parseHash(line)
		if err != nil {
			return Inclusion{}, err
		}
		p.Path = append(p.Path, h)
	}
	return p, nil
}

// Check verifies that leaf is in the tree that the proof's checkpoint signs,
// and returns the checkpoint.
func (p Inclusion) Check(leaf Hash, v note.Verifier) (Checkpoint, error) {
	c, err := OpenCheckpoint(p.Checkpoint, v)
	if err != nil {
		return c, err
	}
	if p.Index >= c.Size {
		return c, fmt.Errorf("index %d is not in a tree of %d", p.Index, c.Size)
	}
	return c, tlog.CheckRecord(p.Path, c.Size, c.Root, p.Index, leaf)
}

// CheckConsistency verifies that the tree at newer extends that at older.
func CheckConsistency(path tlog.TreeProof, older, newer Checkpoint) error {
	switch {
	case older.Origin != newer.Origin:
		return fmt.Errorf("checkpoints of %q and %q", older.Origin, newer.Origin)
	case older.Size > newer.Size:
		return fmt.Errorf("the tree went from %d events to %d", older.Size, newer.Size)
	case older.Size == newer.Size && older.Root != newer.Root:
		return fmt.Errorf("two trees of %d events", older.Size)
	case older.Size == 0 || older.Size == newer.Size:
		return nil
	}
	return tlog.CheckTree(path, newer.Size, newer.Root, older.Size, older.Root)
}
