package docgen

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"hwledger/tools"
)

// The README says what the tools are.
func TestREADME(t *testing.T) {
	doc, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	s, err := tools.New(tools.Options{AllowLaunch: true})
	if err != nil {
		t.Fatal(err)
	}
	want, err := Replace(doc, Markdown(s.Tools()))
	if err != nil {
		t.Fatalf("README.md: %v", err)
	}
	if !bytes.Equal(doc, want) {
		t.Error("the reference in README.md is out of date: go run ./cmd/hwledger-mcp tools --allow-launch --update README.md")
	}
}

func TestReplace(t *testing.T) {
	doc := "a\n" + Begin + "\nold\n" + End + "\nb\n"
	got, err := Replace([]byte(doc), "new\n")
	if err != nil || string(got) != "a\n"+Begin+"\nnew\n"+End+"\nb\n" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", Begin, End + Begin} {
		if _, err := Replace([]byte(bad), "x"); err == nil {
			t.Errorf("%q has no place for a reference", bad)
		}
	}
}

func TestTableCells(t *testing.T) {
	s, err := tools.New(tools.Options{AllowLaunch: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(Markdown(s.Tools()), "\n") {
		if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 5 {
			t.Errorf("not four cells: %s", line)
		}
	}
}
