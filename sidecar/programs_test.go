//go:build unix

package sidecar_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/sidecar"
)

// A program is asked once for each content of its file: the answer is kept for
// the next run, but not that of a script, whose file says nothing about it.
func TestPrograms(t *testing.T) {
	dir, kept := t.TempDir(), t.TempDir()
	e := &sidecar.Engine{
		Name: "x", Programs: []string{"x"}, VersionArgs: []string{"--version"}, Version: regexp.MustCompile(`version (\S+)`), HelpArgs: [][]string{{"--help"}},
	}
	path := filepath.Join(dir, "x")
	write := func(version string) {
		script := fmt.Sprintf("#!/bin/sh\necho run >> %s/runs\necho version %s\nfor o in a b c d e f g h i j k; do echo \"--$o N  text\"; done\n", dir, version)
		if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	runs := func() int {
		b, _ := os.ReadFile(filepath.Join(dir, "runs")) // none before the first
		return strings.Count(string(b), "run")
	}
	p := &sidecar.Programs{Dir: kept, Paths: map[string]string{"x": path}}
	if _, err := p.Find(t.Context(), e); !isCode(err, model.EngineNotInstalled) || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("one that is not there: %v", err)
	}
	write("1.0")
	for range 3 {
		found, err := p.Find(t.Context(), e)
		if err != nil || found.Version != "1.0" || len(found.Options) != 11 || found.Path != path {
			t.Fatalf("%v: %+v", err, found)
		}
	}
	if runs() != 2 {
		t.Errorf("it was asked %d times, want its version and its help once", runs())
	}
	write("2.0")
	if found, err := p.Find(t.Context(), e); err != nil || found.Version != "2.0" {
		t.Errorf("after an update: %v: %+v", err, found)
	}
	if files, err := os.ReadDir(kept); err != nil || len(files) != 0 {
		t.Errorf("%v: a script's answer was kept: %v", err, files)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Find(t.Context(), e); !isCode(err, model.EngineNotInstalled) {
		t.Errorf("one that does not run: %v", err)
	}
}

// The answer of a program that is no script is kept.
func TestProgramsKept(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kept := t.TempDir()
	e := &sidecar.Engine{Name: "test", Programs: []string{program}, HelpArgs: [][]string{{"-test.h"}}}
	for range 2 {
		p := &sidecar.Programs{Dir: kept}
		if found, err := p.Find(t.Context(), e); err != nil || !found.Options["-test.run"] {
			t.Fatalf("%v: %+v", err, found)
		}
	}
	if files, err := os.ReadDir(kept); err != nil || len(files) != 1 {
		t.Errorf("%v: %v", err, files)
	}
}
