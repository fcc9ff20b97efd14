package proof

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sort"
)

// Kind is what was done to a ledger.
type Kind string

// The kinds of damage.
const (
	Edited     Kind = "edited"     // an event is not what was written
	Missing    Kind = "missing"    // an event was taken out of the middle
	Reordered  Kind = "reordered"  // events changed places
	Truncated  Kind = "truncated"  // the last events are gone
	Rewritten  Kind = "rewritten"  // events were replaced and all hashes computed anew
	WrongKey   Kind = "wrong_key"  // a checkpoint is signed by another key
	Tree       Kind = "tree"       // the stored tree is not that of the events
	Unreadable Kind = "unreadable" // the file itself is broken
)

// Damage is the first bad event of a ledger.
type Damage struct {
	Kind Kind
	// Seq is the first event that is not as it was written; for a checkpoint
	// that does not match, the first event after the last one that does, and 0
	// for a checkpoint that says nothing.
	Seq int64
	// Why says what was compared.
	Why string
}

// Error says what was found.
func (d *Damage) Error() string {
	if d.Seq == 0 {
		return fmt.Sprintf("%s: %s", d.Kind, d.Why)
	}
	return fmt.Sprintf("%s at event %d: %s", d.Kind, d.Seq, d.Why)
}

// Walker checks a ledger's events one by one, in order. It takes memory for
// the tree's edge only, and for what was erased and is not yet accounted for.
type Walker struct {
	front  Frontier
	prev   Hash
	last   int64 // the wall clock of the event before
	buf    []byte
	done   []Hash
	erased map[int64]bool
	erases []int64 // erasures of events before the walk's first
	first  int64
	pinned []Checkpoint // ascending, those to come
	good   int64        // size of the last checkpoint that matched

	// ClockBack counts events that were written when the clock stood earlier
	// than at the event before them.
	ClockBack int64
}

// Start is the state of a log after some of its events.
type Start struct {
	Frontier Frontier
	// Leaf and Micros are the last event's hash and wall clock.
	Leaf   Hash
	Micros int64
}

// NewWalkerFrom returns a walker that begins in the middle of a log, at a
// state that is yet to be checked: Join does.
func NewWalkerFrom(at Start, pinned []Checkpoint) *Walker {
	w := NewWalker(pinned)
	w.front = Frontier{at.Frontier.size, append([]Hash(nil), at.Frontier.roots...)}
	w.prev, w.last, w.first = at.Leaf, at.Micros, at.Frontier.size
	return w
}

// Join goes on from where next, which began at a given state, has come to. It
// reports whether that is the state this walker is in; if not, next has said
// nothing.
func (w *Walker) Join(at Start, next *Walker) bool {
	if at.Frontier.size != w.front.size || at.Leaf != w.prev || !same(w.front.roots, at.Frontier.bytes()) {
		return false
	}
	for _, seq := range next.erases {
		delete(w.erased, seq)
	}
	for seq := range next.erased {
		w.erased[seq] = true
	}
	w.front, w.prev, w.last = next.front, next.prev, next.last
	w.good, w.pinned = max(w.good, next.good), append(w.pinned, next.pinned...)
	w.ClockBack += next.ClockBack
	return true
}

// NewWalker returns a walker that compares the tree with checkpoints as it
// reaches their sizes. Their signatures are taken to be checked.
func NewWalker(pinned []Checkpoint) *Walker {
	w := &Walker{erased: map[int64]bool{}, pinned: append([]Checkpoint(nil), pinned...)}
	sort.SliceStable(w.pinned, func(i, j int) bool { return w.pinned[i].Size < w.pinned[j].Size })
	return w
}

// Size is the number of events so far.
func (w *Walker) Size() int64 { return w.front.Size() }

// Root is the tree's hash so far.
func (w *Walker) Root() Hash { return w.front.Root() }

// Pinned is the number of events that the last checkpoint which matched
// covers.
func (w *Walker) Pinned() int64 { return w.good }

// Prev is the leaf hash of the last event.
func (w *Walker) Prev() Hash { return w.prev }

// Stored is what a ledger keeps beside an event.
type Stored struct {
	Leaf Hash
	// Nodes are the subtree roots that the event completes, one after the
	// other; nil where they are not kept.
	Nodes []byte
}

// Next checks the next event, and nil is that it is good.
func (w *Walker) Next(r *Record, s Stored) *Damage {
	if d := w.reached(); d != nil {
		return d
	}
	want := w.Size() + 1
	if r.Seq != want {
		return &Damage{Missing, want, fmt.Sprintf("the next event is %d", r.Seq)}
	}
	switch {
	case r.Payload == nil && r.Salt == nil:
		w.erased[r.Seq] = true
	default:
		w.buf = appendCommitted(w.buf[:0], r.Salt, r.Payload)
		if sha256.Sum256(w.buf) != r.Commitment {
			return &Damage{Edited, want, "its payload does not match its commitment"}
		}
	}
	w.buf = r.AppendEnvelope(append(w.buf[:0], 0), w.prev)
	leaf := Hash(sha256.Sum256(w.buf))
	if leaf != s.Leaf {
		return &Damage{Edited, want, "its hash is not that of what it says and of the event before it"}
	}
	w.done = w.front.Add(leaf, w.done[:0])
	if s.Nodes != nil && !same(w.done, s.Nodes) {
		return &Damage{Tree, want, "the tree's hashes that are stored with it are not those of the events"}
	}
	w.prev = leaf
	if r.Type == erasureType {
		w.account(r)
	}
	if r.Micros < w.last {
		w.ClockBack++
	}
	w.last = r.Micros
	return nil
}

// erasureType is the type of events that say which payload was removed.
const erasureType = "erasure"

// account notes what an erasure erased.
func (w *Walker) account(r *Record) {
	var e struct {
		Erases int64 `json:"erases"`
	}
	if json.Unmarshal(r.Payload, &e) == nil {
		delete(w.erased, e.Erases)
		if e.Erases <= w.first {
			w.erases = append(w.erases, e.Erases)
		}
	}
}

// Reach compares the tree with the checkpoints of its size, which Next does
// when it goes on.
func (w *Walker) Reach() *Damage { return w.reached() }

// End checks what can only be seen at the end: checkpoints of events that are
// not there, and payloads that are gone without an erasure.
func (w *Walker) End() *Damage {
	if d := w.reached(); d != nil {
		return d
	}
	if len(w.pinned) > 0 {
		return &Damage{Truncated, w.Size() + 1, fmt.Sprintf("there are %d events, and a signed checkpoint of %d", w.Size(), w.pinned[len(w.pinned)-1].Size)}
	}
	first := int64(0)
	for seq := range w.erased {
		if first == 0 || seq < first {
			first = seq
		}
	}
	if first != 0 {
		return &Damage{Edited, first, "its payload is gone, and no erasure says why"}
	}
	return nil
}

// reached compares the tree with the checkpoints of its size.
func (w *Walker) reached() *Damage {
	matched := w.good
	for len(w.pinned) > 0 && w.pinned[0].Size == w.Size() {
		if w.pinned[0].Root != w.Root() {
			return &Damage{Rewritten, w.good + 1, fmt.Sprintf("the first %d events are not those of the signed checkpoint of that size", w.Size())}
		}
		matched, w.pinned = w.Size(), w.pinned[1:]
	}
	w.good = matched // once all of this size agree
	return nil
}

func same(hashes []Hash, stored []byte) bool {
	if len(stored) != len(hashes)*len(Hash{}) {
		return false
	}
	for i := range hashes {
		if string(hashes[i][:]) != string(stored[i*len(Hash{}):(i+1)*len(Hash{})]) {
			return false
		}
	}
	return true
}
