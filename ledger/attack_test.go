package ledger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	signed "golang.org/x/mod/sumdb/note"

	"hwledger/ledger"
	"hwledger/ledger/proof"
)

// raw opens the ledger's file as an attacker with write access does: plain
// SQLite, without the guards when disarm is set.
func raw(t testing.TB, dir string, disarm bool) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	if disarm {
		for _, name := range []string{"events_insert", "events_update", "events_delete", "checkpoints_update", "checkpoints_delete"} {
			do(t, db, "DROP TRIGGER "+name)
		}
	}
	return db
}

func do(t testing.TB, db *sql.DB, text string, args ...any) {
	t.Helper()
	if _, err := db.Exec(text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

const events = 100

// victim makes a ledger of 100 events with a checkpoint after 40 and one after
// the last, and returns the text of both, kept elsewhere.
func victim(t testing.TB) (dir string, middle, end string) {
	t.Helper()
	dir = t.TempDir()
	l, err := ledger.Open(t.Context(), dir, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pinned := func(from, to int) string {
		var all []ledger.Event
		for i := from; i < to; i++ {
			all = append(all, note("box", fmt.Sprint("note ", i)))
		}
		if _, err := l.AppendAll(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		c, err := l.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c.Note
	}
	middle, end = pinned(0, 40), pinned(40, events)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, middle, end
}

// look verifies what the attacker left, with checkpoints that were kept
// elsewhere.
func look(t testing.TB, dir, key string, kept ...string) *proof.Damage {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	v, err := l.Verify(t.Context(), ledger.VerifyOptions{Checkpoints: kept, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	l.InStretches(30)
	again, err := l.Verify(t.Context(), ledger.VerifyOptions{Checkpoints: kept, Key: key})
	if err != nil || (v.Damage == nil) != (again.Damage == nil) || v.Damage != nil && *v.Damage != *again.Damage || v.Root != again.Root || v.ClockBack != again.ClockBack {
		t.Errorf("in one go %+v, in stretches %+v, %v", v, again, err)
	}
	return v.Damage
}

// Ordinary SQL does not change the past, whatever the connection's settings.
func TestGuards(t *testing.T) {
	dir, _, _ := victim(t)
	db := raw(t, dir, false)
	for _, recursive := range []int{0, 1} {
		do(t, db, fmt.Sprintf("PRAGMA recursive_triggers = %d", recursive))
		for _, text := range []string{
			"UPDATE events SET payload = '{}' WHERE seq = 5",
			"UPDATE events SET payload = NULL, salt = NULL WHERE seq = 5",
			"UPDATE events SET ts_us = 0",
			"DELETE FROM events WHERE seq = 100",
			"DELETE FROM events",
			"INSERT OR REPLACE INTO events SELECT seq, ts_us, type, subject, actor, idem, salt, '{}', commitment, leaf, nodes FROM events WHERE seq = 5",
			"REPLACE INTO events SELECT seq, ts_us, type, 'x', actor, idem, salt, payload, commitment, leaf, nodes FROM events WHERE seq = 100",
			"INSERT INTO events SELECT seq + 101, ts_us, type, subject, actor, idem, salt, payload, commitment, leaf, nodes FROM events WHERE seq = 1",
			"INSERT INTO events SELECT 0, ts_us, type, subject, actor, idem, salt, payload, commitment, leaf, nodes FROM events WHERE seq = 1",
			"UPDATE checkpoints SET note = ''",
			"DELETE FROM checkpoints",
		} {
			if _, err := db.Exec(text); err == nil || !strings.Contains(err.Error(), "events are") && !strings.Contains(err.Error(), "checkpoints are") {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	if d := look(t, dir, ""); d != nil {
		t.Error(d)
	}
}

// swap exchanges the contents of two events.
func swap(t testing.TB, db *sql.DB, a, b int, columns string) {
	do(t, db, "CREATE TEMP TABLE held AS SELECT * FROM events WHERE seq IN (?, ?)", a, b)
	set := make([]string, 0, 8)
	for _, c := range strings.Split(columns, " ") {
		set = append(set, c+" = (SELECT "+c+" FROM held WHERE held.seq = iif(events.seq = "+fmt.Sprint(a)+", "+fmt.Sprint(b)+", "+fmt.Sprint(a)+"))")
	}
	do(t, db, "UPDATE events SET "+strings.Join(set, ", ")+" WHERE seq IN (?, ?)", a, b)
}

const whole = "ts_us type subject actor salt payload commitment leaf"

// rewrite replaces event from and computes every later hash anew, as the
// program would have.
func rewrite(t testing.TB, db *sql.DB, from int64) {
	t.Helper()
	rows, err := db.Query("SELECT seq, ts_us, type, subject, actor, salt, payload, commitment FROM events ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	var all []proof.Record
	for rows.Next() {
		var r proof.Record
		var commitment []byte
		if err := rows.Scan(&r.Seq, &r.Micros, &r.Type, &r.Subject, &r.Actor, &r.Salt, &r.Payload, &commitment); err != nil {
			t.Fatal(err)
		}
		copy(r.Commitment[:], commitment)
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	var front proof.Frontier
	var prev proof.Hash
	for i := range all {
		r := &all[i]
		if r.Seq == from {
			r.Payload = []byte(`{"text":"it never happened"}`)
			r.Commitment = proof.Commit(r.Salt, r.Payload)
		}
		prev = r.Leaf(prev)
		nodes := []byte{}
		for _, h := range front.Add(prev, nil) {
			nodes = append(nodes, h[:]...)
		}
		do(t, db, "UPDATE events SET payload = ?, commitment = ?, leaf = ?, nodes = ? WHERE seq = ?", string(r.Payload), r.Commitment[:], prev[:], nodes, r.Seq)
	}
}

// forget removes the checkpoints that the ledger itself keeps.
func forget(t testing.TB, dir string, db *sql.DB) {
	do(t, db, "DELETE FROM checkpoints")
	if err := os.Remove(filepath.Join(dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
}

// resign opens the ledger as the program does, which signs what is there.
func resign(t testing.TB, dir string) {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// What somebody does who can write the file, and what shows it: the table of
// the ledger's threat model. kept are checkpoints outside the directory.
func TestAttacks(t *testing.T) {
	for _, c := range []struct {
		name   string
		attack func(t *testing.T, dir string, db *sql.DB)
		kept   string // "": none; middle, end: the checkpoint of then
		want   proof.Kind
		seq    int64
	}{
		{"edit a payload", func(t *testing.T, _ string, db *sql.DB) {
			do(t, db, `UPDATE events SET payload = '{"text":"no"}' WHERE seq = 5`)
		}, "", proof.Edited, 5},
		{"edit payload and commitment", func(t *testing.T, _ string, db *sql.DB) {
			salt := make([]byte, 16)
			h := proof.Commit(salt, []byte(`{"text":"no"}`))
			do(t, db, `UPDATE events SET payload = '{"text":"no"}', salt = ?, commitment = ? WHERE seq = 5`, salt, h[:])
		}, "", proof.Edited, 5},
		{"edit the last", func(t *testing.T, _ string, db *sql.DB) {
			do(t, db, `UPDATE events SET payload = '{"text":"no"}' WHERE seq = 100`)
		}, "", proof.Edited, 100},
		{"edit a time", func(t *testing.T, _ string, db *sql.DB) {
			do(t, db, "UPDATE events SET ts_us = ts_us + 1 WHERE seq = 7")
		}, "", proof.Edited, 7},
		{"edit a type", func(t *testing.T, _ string, db *sql.DB) { do(t, db, "UPDATE events SET type = 'cost' WHERE seq = 7") }, "", proof.Edited, 7},
		{"edit a subject", func(t *testing.T, _ string, db *sql.DB) { do(t, db, "UPDATE events SET subject = 'me' WHERE seq = 7") }, "", proof.Edited, 7},
		{"edit an actor", func(t *testing.T, _ string, db *sql.DB) { do(t, db, "UPDATE events SET actor = 'me' WHERE seq = 7") }, "", proof.Edited, 7},
		{"add a key", func(t *testing.T, _ string, db *sql.DB) { do(t, db, "UPDATE events SET idem = 'k' WHERE seq = 7") }, "", proof.Edited, 7},
		{"edit a hash", func(t *testing.T, _ string, db *sql.DB) {
			do(t, db, "UPDATE events SET leaf = zeroblob(32) WHERE seq = 7")
		}, "", proof.Edited, 7},
		{"edit the tree", func(t *testing.T, _ string, db *sql.DB) {
			do(t, db, "UPDATE events SET nodes = zeroblob(96) WHERE seq = 8")
		}, "", proof.Tree, 8},
		{"drop the tree", func(t *testing.T, _ string, db *sql.DB) {
			do(t, db, "UPDATE events SET nodes = zeroblob(0) WHERE seq = 8")
		}, "", proof.Tree, 8},
		{"delete from the middle", func(t *testing.T, _ string, db *sql.DB) { do(t, db, "DELETE FROM events WHERE seq = 50") }, "", proof.Missing, 50},
		{"delete the first", func(t *testing.T, _ string, db *sql.DB) { do(t, db, "DELETE FROM events WHERE seq = 1") }, "", proof.Missing, 1},
		{"delete and close the gap", func(t *testing.T, _ string, db *sql.DB) {
			do(t, db, "DELETE FROM events WHERE seq = 50")
			for i := 51; i <= events; i++ {
				do(t, db, "UPDATE events SET seq = ? WHERE seq = ?", i-1, i)
			}
		}, "", proof.Missing, 50},
		{"delete two and close the gap", func(t *testing.T, _ string, db *sql.DB) {
			do(t, db, "DELETE FROM events WHERE seq IN (50, 51)")
			do(t, db, "UPDATE events SET seq = seq - 2 WHERE seq = 52")
			for i := 53; i <= events; i++ {
				do(t, db, "UPDATE events SET seq = ? WHERE seq = ?", i-2, i)
			}
		}, "", proof.Missing, 50},
		{"put one in between", func(t *testing.T, _ string, db *sql.DB) {
			for i := events; i >= 50; i-- {
				do(t, db, "UPDATE events SET seq = ? WHERE seq = ?", i+1, i)
			}
			do(t, db, "INSERT INTO events SELECT 50, ts_us, type, subject, actor, idem, salt, payload, commitment, leaf, nodes FROM events WHERE seq = 49")
		}, "", proof.Edited, 50},
		{"swap neighbours", func(t *testing.T, _ string, db *sql.DB) { swap(t, db, 30, 31, whole) }, "", proof.Reordered, 30},
		{"swap two far apart", func(t *testing.T, _ string, db *sql.DB) { swap(t, db, 30, 70, whole) }, "", proof.Reordered, 30},
		{"swap all but the hashes", func(t *testing.T, _ string, db *sql.DB) {
			swap(t, db, 30, 70, "ts_us type subject actor salt payload commitment")
		}, "", proof.Reordered, 30},
		{"erase without an erasure", func(t *testing.T, _ string, db *sql.DB) {
			do(t, db, "UPDATE events SET payload = NULL, salt = NULL WHERE seq = 9")
		}, "", proof.Edited, 9},
		{"truncate", func(t *testing.T, _ string, db *sql.DB) { do(t, db, "DELETE FROM events WHERE seq > 90") }, "", proof.Truncated, 91},
		{"truncate all", func(t *testing.T, _ string, db *sql.DB) { do(t, db, "DELETE FROM events") }, "", proof.Truncated, 1},
		{"truncate, and the checkpoints", func(t *testing.T, dir string, db *sql.DB) {
			do(t, db, "DELETE FROM events WHERE seq > 90")
			forget(t, dir, db)
		}, "end", proof.Truncated, 91},
		{"truncate what no checkpoint covers", func(t *testing.T, dir string, db *sql.DB) {
			do(t, db, "DELETE FROM events WHERE seq > 90")
			forget(t, dir, db)
		}, "middle", "", 0},
		{"rewrite", func(t *testing.T, _ string, db *sql.DB) { rewrite(t, db, 50) }, "", proof.Rewritten, 41},
		{"rewrite, and the checkpoints", func(t *testing.T, dir string, db *sql.DB) {
			rewrite(t, db, 50)
			forget(t, dir, db)
		}, "end", proof.Rewritten, 1},
		{"rewrite, unknown outside", func(t *testing.T, dir string, db *sql.DB) {
			rewrite(t, db, 50)
			forget(t, dir, db)
		}, "", "", 0}, // as documented: only what is kept elsewhere shows it
		{"rewrite with the stolen key", func(t *testing.T, dir string, db *sql.DB) {
			rewrite(t, db, 50)
			forget(t, dir, db)
			db.Close()
			resign(t, dir)
		}, "end", proof.Rewritten, 1},
		{"rewrite before a kept checkpoint", func(t *testing.T, dir string, db *sql.DB) {
			rewrite(t, db, 20)
			forget(t, dir, db)
			db.Close()
			resign(t, dir)
		}, "middle", proof.Rewritten, 1},
		{"another key", func(t *testing.T, dir string, db *sql.DB) {
			rewrite(t, db, 50)
			forget(t, dir, db)
			db.Close()
			replaceKey(t, dir)
			resign(t, dir)
		}, "end", proof.WrongKey, 0},
		{"another key, checkpoints left", func(t *testing.T, dir string, _ *sql.DB) { replaceKey(t, dir) }, "", proof.WrongKey, 0},
		{"a forged checkpoint", func(t *testing.T, _ string, db *sql.DB) {
			do(t, db, "UPDATE checkpoints SET note = replace(note, char(10)||'100'||char(10), char(10)||'99'||char(10)) WHERE size = 100")
		}, "", proof.WrongKey, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, middle, end := victim(t)
			db := raw(t, dir, true)
			c.attack(t, dir, db)
			db.Close()
			d := look(t, dir, "", map[string][]string{"": nil, "middle": {middle}, "end": {end}}[c.kept]...)
			switch {
			case c.want == "" && d != nil:
				t.Errorf("%v, want nothing to show", d)
			case c.want != "" && (d == nil || d.Kind != c.want || d.Seq != c.seq || d.Why == ""):
				t.Errorf("%v, want %s at %d", d, c.want, c.seq)
			}
		})
	}
}

// replaceKey puts a key of the attacker's in the place of the ledger's, under
// its name.
func replaceKey(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "key")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signed.NewSigner(strings.TrimSpace(string(old)))
	if err != nil {
		t.Fatal(err)
	}
	secret, _, err := signed.GenerateKey(rand.Reader, s.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The program does not sign a ledger that does not extend what it signed.
func TestNotSigned(t *testing.T) {
	for name, attack := range map[string]func(*sql.DB){
		"truncated": func(db *sql.DB) { do(t, db, "DELETE FROM events WHERE seq > 90") },
		"rewritten": func(db *sql.DB) { rewrite(t, db, 50) },
	} {
		dir, _, _ := victim(t)
		db := raw(t, dir, true)
		attack(db)
		db.Close()
		l, err := ledger.Open(t.Context(), dir, ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Checkpoint(t.Context())
		wantCode(t, err, "integrity_violation", name)
		l.Close()
	}
}

// Bytes that change in the file itself are found, or the file cannot be read;
// nothing is ever taken for whole.
func TestBytes(t *testing.T) {
	dir, _, _ := victim(t)
	path := filepath.Join(dir, "ledger.db")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(good, []byte(`{"text":"note 61"}`))
	if at < 0 {
		t.Fatal("the payload is not in the file")
	}
	bad := bytes.Clone(good)
	bad[at+len(`{"text":"note 6`)] = '7'
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := look(t, dir, ""); d == nil || d.Kind != proof.Edited || d.Seq != 62 {
		t.Errorf("%v, want an edit of 62", d)
	}
}

// Where the faster reader cannot read, or reads something else, the slower one
// has the last word; a verification that is given up ends.
func TestFasterReader(t *testing.T) {
	dir, _, _ := victim(t)
	other, _, _ := victim(t)
	empty := t.TempDir()
	do(t, raw(t, empty, false), "CREATE TABLE other (x)")
	l := open(t, dir, ledger.Options{ReadOnly: true})
	l.InStretches(30)
	want := verified(t, l)
	for _, uri := range []string{
		"file:" + filepath.ToSlash(filepath.Join(dir, "none.db")) + "?mode=ro", "file:/?vfs=none", "\x00", dir,
		"file:" + filepath.ToSlash(filepath.Join(other, "ledger.db")) + "?mode=ro", "file:" + filepath.ToSlash(filepath.Join(empty, "ledger.db")) + "?mode=ro",
	} {
		l.ReadFrom(uri)
		if v := verified(t, l); v.Root != want.Root || v.Size != want.Size {
			t.Errorf("by %q: %+v, want %+v", uri, v, want)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := l.Verify(ctx, ledger.VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
