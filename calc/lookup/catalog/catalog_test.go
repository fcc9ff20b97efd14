package catalog

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"hwledger/calc/model/hfconfig"
)

func reviewed(t testing.TB) []Entry {
	t.Helper()
	f, err := os.Open("models.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries, err := ReadTable(f)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// The embedded file is what cataloggen makes of the reviewed table.
func TestUpToDate(t *testing.T) {
	want, err := Pack(reviewed(t))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, packed) {
		t.Error("catalog.bin is not that of models.jsonl: run go generate ./calc/lookup/catalog")
	}
	if len(packed) > 64<<10 {
		t.Errorf("the catalogue takes %d bytes of the binary", len(packed))
	}
}

// Every entry can be found, describes a model, and its configuration gives the
// count that was published or computed elsewhere.
func TestEntries(t *testing.T) {
	entries := reviewed(t)
	if len(entries) < 250 {
		t.Errorf("%d models, want at least 250", len(entries))
	}
	checks := map[Check]int{}
	seen := map[string]bool{}
	for _, e := range entries {
		checks[e.Check]++
		if low := strings.ToLower(e.ID); seen[low] {
			t.Errorf("%s is there twice", e.ID)
		} else {
			seen[low] = true
		}
		if e.Known != Verbatim && e.Known != Values || e.Sources < 1 || strings.Count(e.ID, "/") != 1 {
			t.Errorf("%s does not say how it is known: %+v", e.ID, e)
		}
		if (e.Check == CheckNone) != (e.Params == 0) || (e.Check == CheckExplained) != (e.Why != "") || (e.Published > 0) != (e.Why != "") {
			t.Errorf("%s: check %q with %d parameters, published %d, why %q", e.ID, e.Check, e.Params, e.Published, e.Why)
		}
		m, err := hfconfig.Parse(e.Config)
		if err != nil {
			t.Errorf("%s: %v", e.ID, err)
			continue
		}
		if got := m.Count().Total; e.Params > 0 && got != e.Params {
			t.Errorf("%s has %d parameters, recorded are %d", e.ID, got, e.Params)
		}
		found, ok, err := Find(strings.ToUpper(e.ID))
		if err != nil || !ok || found.ID != e.ID || !bytes.Equal(found.Config, e.Config) {
			t.Errorf("Find(%s) = %v, %v, %v", e.ID, found, ok, err)
		}
	}
	t.Logf("%d models: %v", len(entries), checks)
}

// Counts that publishers print, for models that people ask for most.
func TestPublishedCounts(t *testing.T) {
	for id, want := range map[string]int64{
		"meta-llama/Llama-3.1-8B": 8030261248, "meta-llama/Llama-3.3-70B-Instruct": 70553706496, "Qwen/Qwen3-30B-A3B": 30532122624,
		"mistralai/Mistral-7B-v0.3": 7248023552, "mistralai/Mixtral-8x7B-v0.1": 46702792704, "openai/gpt-oss-20b": 20914757184,
		"deepseek-ai/DeepSeek-V3": 671026419200, "google/gemma-2-9b": 9241705984, "microsoft/phi-4": 14659507200,
	} {
		e, ok, err := Find(id)
		if err != nil || !ok {
			t.Errorf("%s: found %v, %v", id, ok, err)
			continue
		}
		if m, err := hfconfig.Parse(e.Config); err != nil || m.Count().Total != want {
			t.Errorf("%s: %v, want %d parameters", id, err, want)
		}
	}
}

func TestFindNothing(t *testing.T) {
	for _, id := range []string{"", "a/b", "zzz/zzz", "meta-llama/Llama-3.1"} {
		if e, ok, err := Find(id); ok || err != nil {
			t.Errorf("Find(%q) = %v, %v", id, e, err)
		}
	}
}

func TestAll(t *testing.T) {
	names, err := Names()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := All(func(e *Entry) bool { got = append(got, e.ID); return true }); err != nil || !slices.Equal(got, names) {
		t.Errorf("All gave %d entries, Names %d, %v", len(got), len(names), err)
	}
	n := 0
	if err := All(func(*Entry) bool { n++; return false }); err != nil || n != 1 {
		t.Errorf("All went on after false: %d, %v", n, err)
	}
}

// A damaged catalogue is an error, not a panic.
func TestDamaged(t *testing.T) {
	for n := range 200 {
		b := bytes.Clone(packed[:len(packed)*n/200])
		if x, err := readIndex(b); err == nil {
			for i := range x.blocks {
				x.block(new(inflater), i)
			}
		}
	}
	if _, err := readIndex(nil); err == nil {
		t.Error("an empty catalogue was accepted")
	}
}

// BenchmarkCold is the first look-up of a process: index and one block.
func BenchmarkCold(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		x, err := readIndex(packed)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := x.block(new(inflater), len(x.blocks)/2); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFind is a later one.
func BenchmarkFind(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := Find("meta-llama/Llama-3.1-8B"); !ok || err != nil {
			b.Fatal(err)
		}
	}
}
