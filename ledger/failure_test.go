package ledger_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"hwledger/internal/fault"
	"hwledger/ledger"
	"hwledger/ledger/proof"
)

// mounted returns a directory on a small file system of its own, where the
// test may mount one.
func mounted(t *testing.T, options string) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("needs Linux and the right to mount a file system")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no file system can be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return dir
}

// A full disk refuses events with a clear error, keeps every one that was
// acknowledged, and takes events again once there is room.
func TestDiskFull(t *testing.T) {
	dir := mounted(t, "size=1m")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 200<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), filepath.Join(dir, "ledger"), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var receipts []ledger.Receipt
	for i := 0; ; i++ {
		r, err := l.Append(t.Context(), note("box", strings.Repeat("x", 3000)))
		if err != nil {
			wantCode(t, err, fault.NotReady, "space")
			break
		}
		if receipts = append(receipts, r); i > 1000 {
			t.Fatal("the disk does not fill")
		}
	}
	if len(receipts) == 0 {
		t.Fatal("nothing was recorded before the disk was full")
	}
	_, err = l.Append(t.Context(), note("box", strings.Repeat("x", 3000)))
	wantCode(t, err, fault.NotReady, "")
	v, err := l.Verify(t.Context(), ledger.VerifyOptions{})
	if err != nil || v.Damage != nil || v.Size != int64(len(receipts)) {
		t.Errorf("while it is full: %+v, %v; %d receipts", v, err, len(receipts))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	receipts = append(receipts, add(t, l, note("box", "room again")))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, filepath.Join(dir, "ledger"), ledger.Options{})
	if v := verified(t, again); v.Size != int64(len(receipts)) {
		t.Errorf("%d events, %d receipts", v.Size, len(receipts))
	}
	for _, r := range receipts {
		if e, err := again.Event(t.Context(), r.Seq); err != nil || e.Leaf != r.Leaf {
			t.Errorf("event %d: %v %v", r.Seq, e.Leaf, err)
		}
	}
}

// On a medium that cannot be written the ledger is refused for recording, and
// is read and verified all the same.
func TestReadOnlyMedium(t *testing.T) {
	dir := mounted(t, "size=4m")
	at := filepath.Join(dir, "ledger")
	l := story(t, at)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
		t.Skipf("no remounting here: %v: %s", err, out)
	}
	_, err := ledger.Open(t.Context(), at, ledger.Options{})
	wantCode(t, err, fault.Denied, "HWLEDGER_HOME")
	reader, err := ledger.Open(t.Context(), at, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if v := verified(t, reader); v.Size != 12 {
		t.Errorf("%+v", v)
	}
	// The projections are behind, and cannot be brought up to date here.
	p, err := reader.Query(t.Context(), ledger.Query{Model: "Qwen/Qwen3-8B", Device: "RTX 4090", Since: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), Limit: 10})
	if err != nil || len(p.Events) != 6 {
		t.Errorf("%d events, %v", len(p.Events), err)
	}
	if v, err := reader.Backup(t.Context(), filepath.Join(t.TempDir(), "copy.db")); err != nil || v.Damage != nil || v.Size != 12 {
		t.Errorf("the copy: %+v, %v", v, err)
	}
	if u, err := reader.Usage(t.Context(), ledger.UsageQuery{}); err != nil || u.Totals.Cost != 108_333+182_410+6_100_000-100_000 {
		t.Errorf("%+v, %v", u.Totals, err)
	}
}

func TestReadOnlyOfNothing(t *testing.T) {
	_, err := ledger.Open(t.Context(), t.TempDir(), ledger.Options{ReadOnly: true})
	wantCode(t, err, fault.InvalidArgument, "record an event first")
}

// A program that holds the lock and does not let go is named as the cause.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	add(t, l, note("box", "before"))
	db := raw(t, dir, false)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE meta SET origin = origin"); err != nil {
		t.Fatal(err)
	}
	_, err = l.Append(t.Context(), note("box", "during"))
	wantCode(t, err, fault.NotReady, "lock")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := l.Append(ctx, note("box", "given up")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if v := verified(t, l); v.Size != 1 { // reading does not wait
		t.Errorf("%d events", v.Size)
	}
	// Nor does what goes by projections fail, though they cannot be written.
	if p, err := l.Query(t.Context(), ledger.Query{Since: time.Unix(0, 0), Limit: 5}); err != nil || len(p.Events) != 1 {
		t.Errorf("%+v, %v", p.Events, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	add(t, l, note("box", "after"))
}

// Pages of rubbish are damage that is named, or an error that says what the
// file is; never a crash, and never taken for whole.
func TestCorruptPages(t *testing.T) {
	dir, _, _ := victim(t)
	path := filepath.Join(dir, "ledger.db")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	found := 0
	for at := 0; at < len(good); at += page {
		bad := bytes.Clone(good)
		for i := range page {
			bad[at+i] = byte(i*7 + at)
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		holdsEvents := bytes.Contains(good[at:at+page], []byte(`{"text":"note`))
		if damaged(t, dir, holdsEvents) {
			found++
		}
	}
	if found < 3 {
		t.Errorf("%d bad pages were found", found)
	}
	for _, n := range []int{0, 100, page, len(good) / 2 / page * page} {
		if err := os.WriteFile(path, good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			damaged(t, dir, true)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database at all, ", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = ledger.Open(t.Context(), dir, ledger.Options{})
	wantCode(t, err, fault.MalformedFile, "backup")
}

// damaged verifies a ledger with bad pages, and wants it to show when must is
// set.
func damaged(t *testing.T, dir string, must bool) bool {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir, ledger.Options{ReadOnly: true})
	var v ledger.Verification
	if err == nil {
		defer l.Close()
		v, err = l.Verify(t.Context(), ledger.VerifyOptions{})
	}
	if err != nil {
		wantCode(t, err, fault.MalformedFile, "")
		return true
	}
	if v.Damage == nil && must {
		t.Error("a bad page of events does not show")
	}
	return v.Damage != nil && (v.Damage.Kind == proof.Unreadable || v.Damage.Kind == proof.Edited || v.Damage.Kind == proof.Missing)
}

// An index that hides an event from those who ask for its subject is found,
// and so is rubbish in a page that no event is in.
func TestCheckFile(t *testing.T) {
	dir, _, _ := victim(t)
	l := open(t, dir, ledger.Options{})
	if err := l.CheckFile(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	db := raw(t, dir, true)
	do(t, db, "PRAGMA writable_schema = ON")
	do(t, db, "UPDATE sqlite_schema SET sql = 'CREATE INDEX events_subject ON events (subject) WHERE seq <> 5' WHERE name = 'events_subject'")
	db.Close()
	db = raw(t, dir, false)
	do(t, db, "REINDEX events_subject")
	do(t, db, "PRAGMA writable_schema = ON")
	do(t, db, "UPDATE sqlite_schema SET sql = 'CREATE INDEX events_subject ON events (subject)' WHERE name = 'events_subject'")
	db.Close()
	l = open(t, dir, ledger.Options{})
	if p, err := l.Query(t.Context(), ledger.Query{Subject: "box", Limit: 200}); err != nil || len(p.Events) != events-1 {
		t.Fatalf("%d events are listed, and one should be hidden: %v", len(p.Events), err)
	}
	verified(t, l) // every event is good
	wantCode(t, l.CheckFile(t.Context()), fault.MalformedFile, "events_subject")
}

// A clock that is set back does not stop the log, and shows.
func TestClockBack(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	l := open(t, t.TempDir(), ledger.Options{Now: func() time.Time { return at }})
	add(t, l, note("box", "a"))
	at = at.Add(-48 * time.Hour)
	add(t, l, note("box", "b"))
	at = at.Add(96 * time.Hour)
	add(t, l, note("box", "c"))
	v := verified(t, l)
	if v.ClockBack != 1 || len(v.Notes) == 0 || !strings.Contains(strings.Join(v.Notes, ""), "clock") {
		t.Errorf("%+v", v)
	}
	p, err := l.Query(t.Context(), ledger.Query{Since: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), Limit: 9})
	if err != nil || len(p.Events) != 1 || p.Events[0].Seq != 2 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestNetworkFileSystems(t *testing.T) {
	const table = `22 27 0:20 / /proc rw,nosuid shared:5 - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
90 27 0:44 / /home rw,relatime shared:50 master:2 - nfs4 fs.example:/export/home rw,vers=4.2
91 90 8:2 / /home/local\040disk rw,relatime shared:51 - xfs /dev/sdb1 rw
92 27 0:50 / /mnt/win rw - cifs //srv/share rw
93 27 0:51 / /mnt/remote rw - fuse.sshfs me@host:/ rw
94 27 0:52 / /mnt/crypt rw - fuse.gocryptfs /home/x rw
95 27 8:3 / /mnt/ntfs rw - fuseblk /dev/sdc1 rw
short line
`
	for dir, c := range map[string]struct {
		typ     string
		network bool
	}{
		"/var/lib": {"ext4", false}, "/home/me/.local": {"nfs4", true}, "/homeless": {"ext4", false}, "/home/local disk/x": {"xfs", false},
		"/mnt/win": {"cifs", true}, "/mnt/remote/a/b": {"fuse.sshfs", true}, "/mnt/crypt": {"fuse.gocryptfs", false}, "/mnt/ntfs/x": {"fuseblk", false},
	} {
		got := ledger.TypeOf(dir, table)
		if got != c.typ || ledger.IsNetwork(got) != c.network {
			t.Errorf("%s is on %q, network %v", dir, got, ledger.IsNetwork(got))
		}
	}
	if err := ledger.RefuseNetwork(t.TempDir()); err != nil {
		t.Errorf("the tests' own directory: %v", err)
	}
}

func FuzzMounts(f *testing.F) {
	f.Add("/home/x", "27 1 8:1 / / rw - ext4 /dev/sda1 rw\n28 27 0:1 / /home rw - nfs x rw\n")
	f.Fuzz(func(t *testing.T, dir, table string) { ledger.TypeOf(dir, table) })
}

// A file of a later program, or of somebody else, is left alone.
func TestVersions(t *testing.T) {
	for text, says := range map[string]string{"PRAGMA user_version = 99": "version 99", "PRAGMA application_id = 1": "not a ledger"} {
		dir, _, _ := victim(t)
		do(t, raw(t, dir, false), text)
		for _, readOnly := range []bool{false, true} {
			_, err := ledger.Open(t.Context(), dir, ledger.Options{ReadOnly: readOnly})
			wantCode(t, err, fault.MalformedFile, says)
		}
	}
}

// The first version of the file had no projections; it gets them when it is
// opened, and keeps its events.
func TestMigration(t *testing.T) {
	dir, _, end := victim(t)
	db := raw(t, dir, false)
	for _, table := range []string{"projection", "labels", "days", "runs", "predictions", "measured", "energy", "costs", "devices"} {
		do(t, db, "DROP TABLE "+table)
	}
	do(t, db, "PRAGMA user_version = 1")
	db.Close()
	_, err := ledger.Open(t.Context(), dir, ledger.Options{ReadOnly: true})
	wantCode(t, err, fault.NotReady, "version 1")
	l := open(t, dir, ledger.Options{})
	v, err := l.Verify(t.Context(), ledger.VerifyOptions{Checkpoints: []string{end}})
	if err != nil || v.Damage != nil || v.Size != events {
		t.Errorf("%+v, %v", v, err)
	}
	if err := l.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.CheckProjections(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestKeyFile(t *testing.T) {
	dir, _, _ := victim(t)
	path := filepath.Join(dir, "key")
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("PRIVATE+KEY+nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), dir, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Checkpoint(t.Context())
	wantCode(t, err, fault.MalformedFile, "backup")
	if strings.Contains(fmt.Sprint(err), "nonsense") {
		t.Error("the error has the key in it")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = l.Checkpoint(t.Context())
	wantCode(t, err, fault.Denied, "key is gone")
	if v, err := l.Verify(t.Context(), ledger.VerifyOptions{}); err != nil || v.Damage != nil { // the public half is enough
		t.Errorf("%+v %v", v, err)
	}
	if err := os.WriteFile(path, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// Closed twice, and used afterwards: errors, no crash.
func TestClosed(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{CheckpointEvery: time.Hour})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := l.Append(t.Context(), note("x", "y"))
	wantCode(t, err, fault.NotReady, "closed")
	_, err = l.Query(t.Context(), ledger.Query{Limit: 1})
	wantCode(t, err, fault.NotReady, "closed")
}

// A directory that this user may not write is an error that says so.
func TestNoRight(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ledger.Open(t.Context(), filepath.Join(file, "ledger"), ledger.Options{})
	wantCode(t, err, fault.Denied, "HWLEDGER_HOME")
	if runtime.GOOS != "windows" && errors.Is(err, fs.ErrNotExist) || errors.Is(err, sql.ErrNoRows) {
		t.Error(err)
	}
}
