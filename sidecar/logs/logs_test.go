package logs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// What is kept of a flood is its beginning, its end, and a mark between.
func TestRing(t *testing.T) {
	var r Ring
	const lines = 100_000
	for i := range lines {
		fmt.Fprintf(&r, "line %d\n", i)
	}
	text := r.Text()
	if len(text) > MaxHead+2*MaxTail+10 || !strings.HasPrefix(text, "line 0\nline 1\n") || !strings.HasSuffix(text, fmt.Sprintf("line %d\n", lines-1)) || !strings.Contains(text, "\n[…]\n") {
		t.Errorf("%d bytes, from %.20q to %q", len(text), text, text[len(text)-20:])
	}
	for _, l := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if l != "[…]" && !strings.HasPrefix(l, "line ") {
			t.Fatalf("a line was cut: %q", l)
		}
	}
	if got := r.Tail(2, 1000); len(got) != 2 || got[1] != fmt.Sprintf("line %d", lines-1) {
		t.Errorf("%q", got)
	}
	if r.Written() < lines*7 {
		t.Errorf("%d bytes were written", r.Written())
	}
}

// A secret is nowhere, wherever a line is cut.
func TestSecret(t *testing.T) {
	r := Ring{Secret: "0a1b2c"}
	for _, piece := range []string{"key 0a1", "b2c and 0a1b2c\n", "again ", "0a1b2c"} {
		fmt.Fprint(&r, piece)
	}
	if got := r.Text(); got != "key [secret] and [secret]\nagain [secret]\n" {
		t.Errorf("%q", got)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n": "plain\n", "no end": "no end\n", "\x1b[31mred\x1b[0m\n": "red\n", " 10%\r 50%\r100%\r\n": "100%\n", "a\x00b\x07c\td\n": "abc\td\n",
		"\xffx\xfe\n": "x\n", "\x1b]0;title\x07text\n": "text\n", "\r\n": "\n", "ü…\n": "ü…\n", "": "",
	} {
		var r Ring
		for i := range len(in) { // a byte at a time
			_, _ = r.Write([]byte{in[i]}) // never fails
		}
		if got := r.Text(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestLongLine(t *testing.T) {
	var r Ring
	fmt.Fprintf(&r, "%s\nnext\n", strings.Repeat("x", 10*MaxLine))
	if got := r.Text(); len(got) != MaxLine+len("\nnext\n") || !strings.HasSuffix(got, "x\nnext\n") {
		t.Errorf("%d bytes, to %q", len(got), got[len(got)-10:])
	}
}

// A file that is written elsewhere is followed, cut when it is too long, and
// what was in it kept once.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	child, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	var r Ring
	f, err := Follow(path, &r, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.max = 100
	f.mu.Unlock()
	write := func(s string) {
		if _, err := child.WriteString(s); err != nil {
			t.Fatal(err)
		}
		f.Sync()
	}
	write("first\n")
	write(strings.Repeat("x", 100) + "\n")
	write("after the cut\n")
	f.Close()
	if got := r.Text(); got != "first\n"+strings.Repeat("x", 100)+"\nafter the cut\n" {
		t.Errorf("%q", got)
	}
	now, err := os.ReadFile(path)
	if err != nil || string(now) != "after the cut\n" {
		t.Errorf("%v: the file has %q", err, now)
	}
	old, err := os.ReadFile(path + ".1")
	if err != nil || !bytes.HasPrefix(old, []byte("first\n")) {
		t.Errorf("%v: the old file has %q", err, old)
	}
}

// Whatever is written, what is kept is bounded text.
func FuzzRing(f *testing.F) {
	f.Add([]byte("a\x1b[1mb\r\nc"), 2)
	f.Add([]byte("\x1b]\x1b]\r\r\n\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		var r Ring
		step = max(1, step%64)
		for i := 0; i < len(b); i += step {
			_, _ = r.Write(b[i:min(len(b), i+step)]) // never fails
		}
		if text := r.Text(); !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\x00\r") {
			t.Errorf("%q", text)
		}
		r.Tail(5, 10)
	})
}
