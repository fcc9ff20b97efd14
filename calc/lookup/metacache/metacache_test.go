package metacache_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"hwledger/calc/lookup/metacache"
)

func TestKeeps(t *testing.T) {
	dir := t.TempDir()
	c := metacache.Open(dir, 1<<20)
	if _, ok := c.Get("a"); ok {
		t.Fatal("an entry that was never put")
	}
	body := []byte("line one\nline two\n\x00")
	if err := c.Put("a", metacache.Entry{Body: body, Size: 99, ETag: `W/"x"`}); err != nil {
		t.Fatal(err)
	}
	e, ok := metacache.Open(dir, 1<<20).Get("a")
	if !ok || !bytes.Equal(e.Body, body) || e.Size != 99 || e.ETag != `W/"x"` || time.Since(e.Checked) > time.Minute {
		t.Errorf("%+v, %v", e, ok)
	}
	if _, ok := new(metacache.Cache).Get("a"); ok || new(metacache.Cache).Put("a", e) != nil {
		t.Error("the zero cache keeps something")
	}
}

// TestDamaged: a file that was cut, changed or exchanged is no entry.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	c := metacache.Open(dir, 1<<20)
	damage := []func([]byte) []byte{
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		func(b []byte) []byte { return nil },
		func(b []byte) []byte { return bytes.Replace(b, []byte(`"key":"k`), []byte(`"key":"x`), 1) },
	}
	for i, f := range damage {
		key := "k" + strconv.Itoa(i)
		if err := c.Put(key, metacache.Entry{Body: []byte("content")}); err != nil {
			t.Fatal(err)
		}
		for _, path := range files(t, dir) {
			b, err := os.ReadFile(path)
			if err == nil && bytes.Contains(b, []byte(`"`+key+`"`)) {
				if err := os.WriteFile(path, f(b), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if e, ok := c.Get(key); ok {
			t.Errorf("damage %d: %q", i, e.Body)
		}
	}
}

func files(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestBounded: what was used last stays.
func TestBounded(t *testing.T) {
	dir := t.TempDir()
	const limit = 100_000
	old := time.Now().Add(-time.Hour)
	for i := range 50 {
		// Each Open stands for another process, which looks after the size.
		c := metacache.Open(dir, limit)
		if err := c.Put(strconv.Itoa(i), metacache.Entry{Body: make([]byte, 10_000)}); err != nil {
			t.Fatal(err)
		}
		for _, path := range files(t, dir) {
			if info, err := os.Stat(path); err == nil && info.ModTime().After(old.Add(time.Minute*50)) {
				when := old.Add(time.Duration(i) * time.Second)
				_ = os.Chtimes(path, when, when)
			}
		}
		c.Touch("0")
	}
	var total int64
	for _, path := range files(t, dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	c := metacache.Open(dir, limit)
	_, first := c.Get("0")
	_, second := c.Get("1")
	_, last := c.Get("49")
	if total > limit || !first || second || !last {
		t.Errorf("%d bytes; entry 0: %v, 1: %v, 49: %v", total, first, second, last)
	}
}

// TestProcesses: several processes write and read the same entries, and every
// entry that is read is whole.
func TestProcesses(t *testing.T) {
	if dir := os.Getenv("METACACHE_CHILD"); dir != "" {
		child(t, metacache.Open(dir, 200_000))
		return
	}
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run", "^TestProcesses$")
			cmd.Env = append(os.Environ(), "METACACHE_CHILD="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
}

func child(t *testing.T, c *metacache.Cache) {
	for i := range 400 {
		key := strconv.Itoa(i % 7)
		body := bytes.Repeat([]byte(fmt.Sprintf("%s of %d;", key, os.Getpid())), 1000*(i%7+1))
		if err := c.Put(key, metacache.Entry{Body: body}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if e, ok := c.Get(key); ok && !bytes.HasPrefix(e.Body, []byte(key+" of ")) {
			t.Fatalf("entry %s is %.20q", key, e.Body)
		}
	}
}
