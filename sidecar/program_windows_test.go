package sidecar_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hwledger/calc/model"
	"hwledger/sidecar"
)

// A program is found without its ending, as Windows finds it; a batch file,
// which is found so too, is not one.
func TestFindProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "engine-a.exe"), b, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "engine-b.cmd"), []byte("@echo version 1\r\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	p := &sidecar.Programs{}
	found, err := p.Find(t.Context(), &sidecar.Engine{Name: "a", Programs: []string{"engine-a"}})
	if err != nil || !strings.EqualFold(found.Path, filepath.Join(dir, "engine-a.exe")) {
		t.Errorf("%v: %+v", err, found)
	}
	if found, err := p.Find(t.Context(), &sidecar.Engine{Name: "b", Programs: []string{"engine-b"}}); !isCode(err, model.EngineNotInstalled) || !strings.Contains(err.Error(), "batch file") {
		t.Errorf("a batch file: %v: %+v", err, found)
	}
}
