package scoring

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the accuracy tables of README.md")

// TestREADME: the tables of the README are what the command prints today.
func TestREADME(t *testing.T) {
	const path, begin, end = "../../README.md", "<!-- accuracy:begin -->\n", "<!-- accuracy:end -->"
	var out, problems bytes.Buffer
	if code := Run([]string{"--markdown", "../../testdata/observations/vllm.jsonl", "../../testdata/llamacpp/engine_reported.jsonl.gz",
		"../../testdata/llamacpp/quantize_reported.jsonl.gz"}, &out, &problems); code != 0 {
		t.Fatal(problems.String())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md has no place for the tables, between %s and %s", begin, end)
	}
	want := before + begin + "\n" + out.String() + "\n" + end + after
	if want == string(raw) {
		return
	}
	if !*update {
		t.Fatal("the tables in README.md are out of date: go test ./internal/scoring -run README -update")
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
