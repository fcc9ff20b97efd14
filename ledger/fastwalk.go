package ledger

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"hwledger/ledger/proof"
)

// fastReader reads events in order by SQLite's own interface, where
// database/sql would copy eleven values of each row: verifying is mostly
// copying then. It reads on a connection of its own, and one goroutine uses it.
type fastReader struct {
	tls      *libc.TLS
	db, stmt uintptr
}

// errFast is that the fast reader could not go on. What the matter is, the
// slower one says.
var errFast = errors.New("the events cannot be read at once")

// newFastReader begins at the event after from, and ends with to. uri is an
// SQLite address.
func newFastReader(uri string, from, to int64) (*fastReader, error) {
	f := &fastReader{tls: libc.NewTLS()}
	err := f.with(uri, &f.db, func(name, db uintptr) int32 {
		return sqlite3.Xsqlite3_open_v2(f.tls, name, db, sqlite3.SQLITE_OPEN_READONLY|sqlite3.SQLITE_OPEN_URI|sqlite3.SQLITE_OPEN_NOMUTEX, 0)
	})
	if err == nil {
		err = f.with("PRAGMA busy_timeout(5000); PRAGMA trusted_schema(0); PRAGMA cell_size_check(1)", nil, func(text, _ uintptr) int32 {
			return sqlite3.Xsqlite3_exec(f.tls, f.db, text, 0, 0, 0)
		})
	}
	if err == nil {
		err = f.with(fmt.Sprintf("SELECT "+rawColumns+" FROM events WHERE seq > %d AND seq <= %d ORDER BY seq", from, to), &f.stmt, func(text, stmt uintptr) int32 {
			return sqlite3.Xsqlite3_prepare_v2(f.tls, f.db, text, -1, stmt, 0)
		})
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// with calls a function of SQLite's with a C string and a place for a handle,
// which goes into handle when that is not nil, after an error as well: even
// what did not open has to be closed.
func (f *fastReader) with(s string, handle *uintptr, call func(text, out uintptr) int32) error {
	text, err := libc.CString(s)
	if err != nil {
		return err
	}
	defer libc.Xfree(f.tls, text)
	const size = int(unsafe.Sizeof(uintptr(0)))
	out := f.tls.Alloc(size)
	defer f.tls.Free(size)
	at := (*uintptr)(pointer(out))
	*at = 0
	code := call(text, out)
	if handle != nil {
		*handle = *at
	}
	if code != sqlite3.SQLITE_OK {
		return errFast
	}
	return nil
}

func (f *fastReader) close() {
	sqlite3.Xsqlite3_finalize(f.tls, f.stmt) // what it returns is the last step's error
	sqlite3.Xsqlite3_close_v2(f.tls, f.db)   // with no statement open it does not fail
	f.tls.Close()
}

// pointer is p, which is memory of SQLite's that Go's collector does not move.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// bytes returns a column's bytes, which are SQLite's until the next row; nil
// for NULL and for none.
func (f *fastReader) bytes(column int32) []byte {
	p := sqlite3.Xsqlite3_column_blob(f.tls, f.stmt, column)
	if p == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(p)), int(sqlite3.Xsqlite3_column_bytes(f.tls, f.stmt, column)))
}

// next reads a row into r and s, which are valid until the next one. ok is
// false after the last.
func (f *fastReader) next(r *proof.Record, s *proof.Stored) (ok bool, err error) {
	switch sqlite3.Xsqlite3_step(f.tls, f.stmt) {
	case sqlite3.SQLITE_ROW:
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, errFast
	}
	r.Seq = sqlite3.Xsqlite3_column_int64(f.tls, f.stmt, 0)
	r.Micros = sqlite3.Xsqlite3_column_int64(f.tls, f.stmt, 1)
	keep(&r.Type, f.bytes(2))
	keep(&r.Subject, f.bytes(3))
	keep(&r.Actor, f.bytes(4))
	keep(&r.Key, f.bytes(5))
	r.Salt, r.Payload = f.bytes(6), f.bytes(7)
	r.Commitment, s.Leaf = hash(f.bytes(8)), hash(f.bytes(9))
	if s.Nodes = f.bytes(10); s.Nodes == nil {
		s.Nodes = none
	}
	return true, nil
}

// none are the nodes of an event that completes no subtree.
var none = []byte{}

// fastWalk takes a stretch's walker through it. It reports whether all of it
// is good; when not, the walker has said nothing.
func (s *stretch) fastWalk(ctx context.Context, uri string, progress func()) (good bool, err error) {
	f, err := newFastReader(uri, s.from, s.to)
	if err != nil {
		return false, err
	}
	defer f.close()
	var record proof.Record
	var stored proof.Stored
	for {
		ok, err := f.next(&record, &stored)
		if err != nil {
			return false, err
		}
		if !ok {
			return s.walker.Size() == s.to && s.walker.Reach() == nil, nil
		}
		if s.walker.Next(&record, stored) != nil {
			return false, nil
		}
		if s.walker.Size()%every == 0 {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			progress()
		}
	}
}
