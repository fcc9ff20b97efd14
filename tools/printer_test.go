package tools

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// printer makes a program that prints the lines, whatever it is asked, and
// fails: a script, or on Windows a copy of these tests.
func printer(t testing.TB, path string, lines ...string) string {
	t.Helper()
	text := strings.Join(lines, "\n") + "\n"
	if runtime.GOOS != "windows" {
		script := "#!/bin/sh\ncat <<'END'\n" + text + "END\nexit 1\n"
		if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if path += ".exe"; exists(path) {
		return path // that it runs may still keep it from being written
	}
	if err := os.WriteFile(path+".txt", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// optionLines are the lines of a help with the options.
func optionLines(names ...string) []string {
	out := []string{"version: 0.7.0"}
	for _, n := range names {
		out = append(out, n+" X  text")
	}
	return out
}

// symlink makes a link, and reports false on a Windows where this user may not,
// or that is Wine, which says that it did and did not.
func symlink(t testing.TB, target, link string) bool {
	t.Helper()
	err := os.Symlink(target, link)
	if err == nil {
		_, err = filepath.EvalSymlinks(link)
	}
	if err != nil && runtime.GOOS != "windows" && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil || runtime.GOOS != "windows"
}
