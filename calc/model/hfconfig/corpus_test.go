package hfconfig

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"hwledger/calc/model"
)

// catalogued is a published configuration with what is known of its weights.
type catalogued struct {
	ID      string          `json:"id"`
	Check   string          `json:"check"`
	Params  int64           `json:"params"`
	Context int64           `json:"context"`
	Config  json.RawMessage `json:"config"`
}

// catalogue reads the configurations of the embedded catalogue: the same
// records that a user is answered from.
func catalogue(t testing.TB) map[string]catalogued {
	t.Helper()
	return readLines(t, "../../lookup/catalog/models.jsonl", func(p catalogued) string { return p.ID })
}

func readLines[T any](t testing.TB, file string, key func(T) string) map[string]T {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]T{}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 4<<20)
	for sc.Scan() {
		var v T
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[key(v)] = v
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// otherContext are contexts that a model card prints and the configuration
// does not give: Qwen-7B's seq_length is shorter than its positions.
var otherContext = map[string]int64{"Qwen/Qwen-7B": 32768}

// TestCatalogueCounts holds every configuration of the catalogue against the
// count published with its weights, or explained by it.
func TestCatalogueCounts(t *testing.T) {
	tested := map[string]int{}
	for id, p := range catalogue(t) {
		m, err := Parse(p.Config)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if p.Context > 0 && m.Context != p.Context && p.Context != otherContext[id] {
			t.Errorf("%s: context %d, want %d", id, m.Context, p.Context)
		}
		if p.Check == "" {
			continue
		}
		tested[p.Check]++
		if got := m.Count().Total; got != p.Params {
			t.Errorf("%s (%s, %s): %d parameters, want %d (%+d)", id, m.Type, p.Check, got, p.Params, got-p.Params)
		}
	}
	t.Logf("agree: %v", tested)
	if tested["exact"] < 126 {
		t.Errorf("only %d configurations have an exact count", tested["exact"])
	}
}

// parse fails the test unless raw describes a model.
func parse(t testing.TB, raw string) *model.Model {
	t.Helper()
	m, err := Parse([]byte(raw))
	if err != nil {
		t.Fatalf("%s\n%v", strings.TrimSpace(raw), err)
	}
	return m
}
