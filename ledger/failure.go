package ledger

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"hwledger/internal/fault"
)

// failure gives an error of the database the words for whoever has to mend
// it. What is a *fault.Error already, or the end of a call, stays.
func (l *Ledger) failure(err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, sql.ErrConnDone) || strings.HasSuffix(err.Error(), "database is closed") {
		return errClosed()
	}
	return describe(l.path, err)
}

func errClosed() error {
	return fault.New(fault.NotReady, "", "the ledger is closed").WithHint("call again")
}

// describe is failure for the file at path.
func describe(path string, err error) error {
	if errors.Is(err, syscall.EROFS) {
		return errReadOnly(path).WithCause(err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fault.New(fault.Denied, path, "the ledger may not be written").WithHint("give this user the right to write there, or set HWLEDGER_HOME").WithCause(err)
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return fault.New(fault.Internal, path, "the ledger failed").WithCause(err)
	}
	if e.Code() == sqlite3.SQLITE_CONSTRAINT_TRIGGER {
		return fault.New(fault.IntegrityViolation, path, "the ledger refused a change of its past").WithHint("run hwledger-mcp ledger verify").WithCause(err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fault.New(fault.NotReady, path, "the disk is full; nothing of this call was recorded").
			WithHint("free space, then call again; what was acknowledged before is kept").WithCause(err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.New(fault.NotReady, path, "another process holds the ledger's lock").
			WithHint("call again; if it lasts, look for a stopped hwledger-mcp or a tool that has the file open").WithCause(err)
	case sqlite3.SQLITE_READONLY:
		return errReadOnly(path).WithCause(err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return fault.New(fault.Denied, path, "the ledger cannot be opened").
			WithHint("give this user the right to read and write the file and its directory, or set HWLEDGER_HOME").WithCause(err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fault.New(fault.MalformedFile, path, "the ledger's file is damaged").
			WithHint("keep the file; see how far it is whole with hwledger-mcp ledger verify, and go on from a backup").WithCause(err)
	case sqlite3.SQLITE_IOERR:
		return fault.New(fault.NotReady, path, "the disk failed to read or write the ledger; nothing of this call was recorded").
			WithHint("look at the disk and the space on it, then call again").WithCause(err)
	}
	return fault.New(fault.Internal, path, "the ledger failed").WithCause(err)
}

func errReadOnly(path string) *fault.Error {
	return fault.New(fault.Denied, path, "the ledger is on a medium that is read-only; nothing was recorded").
		WithHint("query and verify work; to record, set HWLEDGER_HOME to a directory that can be written")
}

// busy reports that another connection has the lock.
func busy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// corrupt reports that the file itself cannot be read.
func corrupt(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_CORRUPT || e.Code()&0xff == sqlite3.SQLITE_NOTADB)
}

// readOnlyMedium reports that SQLite cannot write where the file is.
func readOnlyMedium(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return errors.Is(err, fs.ErrPermission)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return true
	}
	return false
}
