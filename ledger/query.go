package ledger

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"hwledger/internal/fault"
	"hwledger/ledger/event"
	"hwledger/ledger/proof"
)

// MostEvents bounds a page, and so do mostBytes of payloads: what is in it has
// to fit into an answer.
const (
	MostEvents = 1000
	mostBytes  = 256 << 10
)

// Query chooses events. Empty fields choose all.
type Query struct {
	Type                  event.Type
	Subject               string
	Model, Engine, Device string
	// Since and Until bound the time of recording: since is in it, until not.
	Since, Until time.Time
	// Limit is how many events a page has, 1 to MostEvents.
	Limit int
	// Cursor is Page.Next of the page before, of the same query.
	Cursor string
}

// Recorded is an event that was recorded.
type Recorded struct {
	Seq                  int64
	Time                 time.Time
	Type, Subject, Actor string
	Key                  string
	// Payload is nil once it was erased.
	Payload json.RawMessage
	Leaf    proof.Hash
}

// Page is a part of an answer, the newest event first.
type Page struct {
	Events []Recorded
	// Next is the cursor of the page after it, "" when this is the last.
	Next string
}

// Query returns the events that q chooses, the newest first. The order is that
// of recording, so pages do not shift while events are appended.
func (l *Ledger) Query(ctx context.Context, q Query) (Page, error) {
	if q.Limit < 1 || q.Limit > MostEvents {
		return Page{}, fault.New(fault.InvalidArgument, "limit", "limit is %d", q.Limit).WithHint("choose 1 to %d", MostEvents)
	}
	if q.Type != "" {
		if _, err := event.Fields(q.Type); err != nil {
			return Page{}, err
		}
	}
	before, err := q.before()
	if err != nil {
		return Page{}, err
	}
	if q.usesProjections() {
		if err := l.projectWhenPossible(ctx); err != nil {
			return Page{}, err
		}
	}
	var page Page
	err = l.snapshot(ctx, func(tx *sql.Tx) error {
		text, args, err := q.sql(ctx, tx, before)
		if err != nil {
			return err
		}
		page, err = q.page(ctx, tx, text, args)
		return err
	})
	return page, err
}

func (q *Query) usesProjections() bool {
	return q.Model != "" || q.Engine != "" || q.Device != "" || !q.Since.IsZero() || !q.Until.IsZero()
}

// labels are the filters that projections answer.
func (q *Query) labels() []struct{ name, value string } {
	return []struct{ name, value string }{{"model", q.Model}, {"engine", q.Engine}, {"device", q.Device}}
}

// sql returns the statement for the events before one. Where the projections
// are behind, on media that cannot be written, the events after them are
// looked through.
func (q *Query) sql(ctx context.Context, tx *sql.Tx, before int64) (string, []any, error) {
	behind, last, err := int64(0), int64(0), error(nil)
	if q.usesProjections() {
		if behind, err = lag(ctx, tx); err != nil {
			return "", nil, err
		}
		if last, err = size(ctx, tx); err != nil {
			return "", nil, err
		}
		last -= behind
	}
	var where []string
	var args []any
	add := func(condition string, values ...any) {
		where = append(where, condition)
		args = append(args, values...)
	}
	from := "events e"
	for _, f := range q.labels() {
		switch {
		case f.value == "":
		case behind == 0:
			from = "labels l CROSS JOIN events e ON e.seq = l.seq"
			add("l."+f.name+" = ?", f.value)
		default:
			add("(e.seq IN (SELECT seq FROM labels WHERE "+f.name+" = ?) OR e.seq > ? AND json_extract(e.payload, '$."+f.name+"') = ?)", f.value, last, f.value)
		}
	}
	if q.Type != "" {
		add("e.type = ?", string(q.Type))
	}
	if q.Subject != "" {
		add("e.subject = ?", q.Subject)
	}
	if before > 0 {
		add("e.seq < ?", before)
	}
	if !q.Since.IsZero() || !q.Until.IsZero() {
		if err := q.times(ctx, tx, last, behind, add); err != nil {
			return "", nil, err
		}
	}
	text := "SELECT e.seq, e.ts_us, e.type, e.subject, e.actor, coalesce(e.idem, ''), e.payload, e.leaf FROM " + from
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	return text + " ORDER BY e.seq DESC LIMIT ?", append(args, q.Limit+1), nil
}

// times bounds the events by time, and by what the table of days says of
// where such events are.
func (q *Query) times(ctx context.Context, tx *sql.Tx, last, behind int64, add func(string, ...any)) error {
	since, until := int64(-1<<62), int64(1<<62)
	if !q.Since.IsZero() {
		since = q.Since.UnixMicro()
	}
	if !q.Until.IsZero() {
		until = q.Until.UnixMicro()
	}
	add("e.ts_us >= ? AND e.ts_us < ?", since, until)
	var first, end sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT min(first_seq), max(last_seq) FROM days WHERE day BETWEEN ? AND ?", floorDiv(since, dayMicros), floorDiv(until, dayMicros)).Scan(&first, &end); err != nil {
		return err
	}
	if !first.Valid {
		first.Int64, end.Int64 = last+1, last
	}
	if behind > 0 {
		end.Int64 = last + behind
	}
	add("e.seq BETWEEN ? AND ?", first.Int64, end.Int64)
	return nil
}

func (q *Query) page(ctx context.Context, tx *sql.Tx, text string, args []any) (Page, error) {
	rows, err := tx.QueryContext(ctx, text, args...)
	if err != nil {
		return Page{}, err
	}
	defer rows.Close() // its error is in Err
	page := Page{Events: []Recorded{}}
	for size := 0; rows.Next(); {
		e, err := readEvent(rows)
		if err != nil {
			return Page{}, err
		}
		size += len(e.Payload)
		if n := len(page.Events); n == q.Limit || n > 0 && size > mostBytes {
			page.Next = q.cursor(page.Events[n-1].Seq)
			break
		}
		page.Events = append(page.Events, e)
	}
	return page, rows.Err()
}

func readEvent(row interface{ Scan(...any) error }) (e Recorded, err error) {
	var micros int64
	var payload sql.NullString
	var leaf []byte
	if err := row.Scan(&e.Seq, &micros, &e.Type, &e.Subject, &e.Actor, &e.Key, &payload, &leaf); err != nil {
		return e, err
	}
	e.Time, e.Leaf = time.UnixMicro(micros).UTC(), hash(leaf)
	if payload.Valid {
		e.Payload = json.RawMessage(payload.String)
	}
	return e, nil
}

// Event returns the event seq.
func (l *Ledger) Event(ctx context.Context, seq int64) (Recorded, error) {
	e, err := readEvent(l.read.QueryRowContext(ctx, "SELECT seq, ts_us, type, subject, actor, coalesce(idem, ''), payload, leaf FROM events WHERE seq = ?", seq))
	if errors.Is(err, sql.ErrNoRows) {
		return e, fault.New(fault.InvalidArgument, "seq", "there is no event %d", seq).WithHint("query the ledger for the events there are")
	}
	return e, l.failure(err)
}

// cursor says after which event the next page begins, and of which query.
func (q *Query) cursor(seq int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf("%d.%s", seq, q.sum())))
}

// sum tells queries apart, the place in them left out.
func (q *Query) sum() string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%q%q%q%q%q%d%d", q.Type, q.Subject, q.Model, q.Engine, q.Device, q.Since.UnixMicro(), q.Until.UnixMicro())
	return strconv.FormatUint(uint64(h.Sum32()), 36)
}

// before reads the cursor: the event before which the page is, 0 for the end.
func (q *Query) before() (int64, error) {
	if q.Cursor == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	digits, sum, ok := strings.Cut(string(b), ".")
	seq, e := strconv.ParseInt(digits, 10, 64)
	if err != nil || e != nil || !ok || seq < 1 || sum != q.sum() {
		return 0, fault.New(fault.InvalidArgument, "cursor", "the cursor is not of this query").WithHint("send next_cursor of the page before, with the same filters; or leave cursor out to begin anew")
	}
	return seq, nil
}
