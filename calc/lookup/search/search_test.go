package search

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hwledger/calc/lookup"
	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
)

// hub answers in the Hub's place. The lookup's client keeps the address that
// it was made for, so there is one server for all tests, with the handler of
// the moment.
var hub atomic.Pointer[http.HandlerFunc]

func TestMain(m *testing.M) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*hub.Load())(w, r) }))
	os.Setenv("HF_ENDPOINT", srv.URL)
	os.Setenv("HF_TOKEN", "hf_secret")
	os.Setenv("HF_HUB_OFFLINE", "0")
	code := m.Run()
	srv.Close()
	os.Exit(code)
}

func answerWith(h http.HandlerFunc) { hub.Store(&h) }

// pagedHub has n models of one name each and gives out per of them at a time.
// Each has the configuration of Llama-3.1-8B.
func pagedHub(t *testing.T, n, per int) (asked *atomic.Int64) {
	t.Helper()
	e, ok, err := catalog.Find("meta-llama/Llama-3.1-8B")
	if err != nil || !ok {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	answerWith(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if strings.HasSuffix(r.URL.Path, "/config.json") {
			_, _ = w.Write(e.Config)
			return
		}
		q := r.URL.Query()
		from, _ := strconv.Atoi(q.Get("cursor"))
		to := min(n, from+per)
		if to < n {
			q.Set("cursor", strconv.Itoa(to))
			r.URL.RawQuery = q.Encode()
			w.Header().Set("Link", "<https://huggingface.co"+r.URL.String()+`>; rel="next"`)
		}
		var items []string
		for i := from; i < to; i++ {
			id, tail := fmt.Sprintf("org%d/llama-copy-%d", i%7, i), `"config":{"model_type":"llama","architectures":["LlamaForCausalLM"]}`
			switch {
			case i%10 == 3:
				id = "meta-llama/Llama-3.1-8B" // the catalogue has it
			case i%10 == 5:
				tail = `"gguf":{"total":8030261312,"architecture":"llama"},"tags":["gguf"]`
			}
			items = append(items, fmt.Sprintf(`{"id":%q,"downloads":%d,"lastModified":"2025-01-02T03:04:05.000Z","cardData":{"license":"llama3.1"},%s}`, id, 1000-i/2, tail))
		}
		fmt.Fprint(w, "["+strings.Join(items, ",")+"]")
	})
	return asked
}

func search(t *testing.T, q Query) *Answer {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 20
	}
	a, err := Search(t.Context(), q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return a
}

func names(a *Answer) []string {
	out := []string{}
	for _, m := range a.Models {
		out = append(out, m.Name)
	}
	return out
}

// The order of names, with the counts that their publishers print.
func TestCatalogue(t *testing.T) {
	for _, c := range []struct {
		text, first string
		matchedBy   string
		total       int64
		active      int64 // where it is published as a count, else 0
		layers      map[string]int
	}{
		{"meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B", "exact name", 8030261248, 0, map[string]int{"full": 32}},
		{"llama-3.1-8b", "meta-llama/Llama-3.1-8B", "exact name", 8030261248, 0, map[string]int{"full": 32}},
		{"Qwen3-30B-A3B", "Qwen/Qwen3-30B-A3B", "exact name", 30532122624, 0, map[string]int{"full": 48}},
		{"gemma 9b 2", "google/gemma-2-9b", "words of the name", 9241705984, 0, map[string]int{"full": 21, "sliding": 21}},
		{"mixtral 8x7b v0.1", "mistralai/Mixtral-8x7B-v0.1", "exact name", 46702792704, 0, map[string]int{"full": 32}},
		{"deepseek-v3", "deepseek-ai/DeepSeek-V3", "exact name", 671026419200, 0, map[string]int{"mla": 61}},
		{"gpt-ozz-20b", "openai/gpt-oss-20b", "similar name", 20914757184, 0, map[string]int{"full": 12, "sliding": 12}},
	} {
		a := search(t, Query{Text: c.text, Offline: true})
		if len(a.Models) == 0 {
			t.Errorf("%s: nothing", c.text)
			continue
		}
		m := a.Models[0]
		if m.Name != c.first || m.MatchedBy != c.matchedBy || m.ParametersTotal != c.total || fmt.Sprint(m.Layers) != fmt.Sprint(c.layers) || m.Reference != "catalog:"+c.first {
			t.Errorf("%s: %s by %s, %d parameters, %v", c.text, m.Name, m.MatchedBy, m.ParametersTotal, m.Layers)
		}
		if !a.TotalKnown || a.Total < len(a.Models) {
			t.Errorf("%s: %d models of %d", c.text, len(a.Models), a.Total)
		}
	}
}

func TestFilters(t *testing.T) {
	for _, c := range []struct {
		name       string
		f          Filter
		has, hasnt []string
	}{
		{"license", Filter{License: "Apache 2.0"}, []string{"Qwen/Qwen3-8B", "mistralai/Mistral-7B-v0.3"}, []string{"google/gemma-2-9b"}},
		{"size", Filter{MinParameters: 8e9, MaxParameters: 8.1e9}, []string{"meta-llama/Llama-3.1-8B"}, []string{"Qwen/Qwen3-8B"}},
		{"family", Filter{Architecture: "qwen3"}, []string{"Qwen/Qwen3-8B", "Qwen/Qwen3-30B-A3B"}, []string{"Qwen/Qwen2.5-7B", "meta-llama/Llama-3.1-8B"}},
		{"class", Filter{Architecture: "Qwen3ForCausalLM"}, []string{"Qwen/Qwen3-8B"}, []string{"Qwen/Qwen3-30B-A3B"}},
		{"moe", Filter{Architecture: "MoE"}, []string{"mistralai/Mixtral-8x7B-v0.1", "deepseek-ai/DeepSeek-V3"}, []string{"Qwen/Qwen3-8B"}},
		{"mla", Filter{Architecture: "mla"}, []string{"deepseek-ai/DeepSeek-V3", "openbmb/MiniCPM3-4B"}, []string{"Qwen/Qwen3-8B"}},
		{"sliding", Filter{Architecture: "sliding"}, []string{"google/gemma-2-9b", "openai/gpt-oss-20b"}, []string{"Qwen/Qwen3-8B"}},
		{"hybrid", Filter{Architecture: "hybrid"}, []string{"Qwen/Qwen3-Next-80B-A3B-Instruct"}, []string{"tiiuae/falcon-mamba-7b", "Qwen/Qwen3-8B"}},
		{"mamba", Filter{Architecture: "mamba"}, []string{"tiiuae/falcon-mamba-7b"}, []string{"Qwen/Qwen3-Next-80B-A3B-Instruct"}},
		{"vision", Filter{Modality: "vision"}, []string{"google/gemma-3-12b-it", "Qwen/Qwen2.5-VL-7B-Instruct"}, []string{"Qwen/Qwen3-8B"}},
		{"audio", Filter{Modality: "audio"}, []string{"openai/whisper-large-v3", "mistralai/Voxtral-Mini-3B-2507"}, []string{"google/gemma-3-12b-it"}},
		{"embedding", Filter{Modality: "embedding"}, []string{"BAAI/bge-m3"}, []string{"Qwen/Qwen3-8B"}},
		{"awq", Filter{Quantization: "awq"}, []string{"Qwen/Qwen3-8B-AWQ"}, []string{"Qwen/Qwen3-8B"}},
		{"fp8", Filter{Quantization: "FP8"}, []string{"deepseek-ai/DeepSeek-V3"}, []string{"Qwen/Qwen3-8B-AWQ"}},
		{"bf16", Filter{Quantization: "bfloat16"}, []string{"Qwen/Qwen3-8B"}, []string{"Qwen/Qwen3-8B-AWQ"}},
	} {
		q := Query{Filter: c.f, Offline: true, Limit: MaxLimit}
		var got []string
		for {
			a := search(t, q)
			got = append(got, names(a)...)
			if q.Cursor = a.Next; q.Cursor == "" {
				break
			}
		}
		for _, n := range c.has {
			if !slices.Contains(got, n) {
				t.Errorf("%s: %s is not among %d models", c.name, n, len(got))
			}
		}
		for _, n := range c.hasnt {
			if slices.Contains(got, n) {
				t.Errorf("%s: %s is among %d models", c.name, n, len(got))
			}
		}
	}
}

// localModel writes a checkpoint directory of Llama-3.1-8B.
func localModel(t *testing.T) string {
	t.Helper()
	e, ok, err := catalog.Find("meta-llama/Llama-3.1-8B")
	if err != nil || !ok {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "my-llama")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), e.Config, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What this machine has comes first, with one line for the same model in
// several places; a place that cannot be read is said.
func TestLocal(t *testing.T) {
	dir := localModel(t)
	q := Query{Text: "llama", Offline: true, Local: func(context.Context) []lookup.Listed {
		return []lookup.Listed{
			{Source: "store", Models: []lookup.Listing{{Ref: dir, Source: "store", Bytes: 7, Modified: time.Unix(1e9, 0)}, {Ref: "hf:meta-llama/Llama-3.1-8B@main", Source: "store"}, {Ref: "./gone/llama", Source: "store"}}},
			{Source: "broken", Err: errors.New("disk on fire")},
		}
	}}
	q.Limit = MaxLimit
	a := search(t, q)
	if a.Models[0].Name != "llama" || a.Models[1].Name != "meta-llama/Llama-3.1-8B" {
		t.Errorf("this machine's are not first: %v", names(a)[:5])
	}
	merged := 0
	for _, m := range a.Models {
		switch m.Name {
		case "my-llama":
			if m.Reference != dir || m.ParametersTotal != 8030261248 || m.Sources[0] != "store" || m.Updated.Unix() != 1e9 {
				t.Errorf("%+v", m)
			}
		case "llama":
			if m.Unread == "" {
				t.Errorf("a model that cannot be read: %+v", m)
			}
		}
		if keyOf(m.Name) == "meta-llama/llama-3.1-8b" {
			merged++
			if !slices.Equal(m.Sources, []string{"store", "catalog"}) || m.ParametersTotal != 8030261248 {
				t.Errorf("%+v", m)
			}
		}
	}
	if merged != 1 {
		t.Errorf("%d rows of one model in %v", merged, names(a))
	}
	broken := slices.IndexFunc(a.Sources, func(s Source) bool { return s.Name == "broken" })
	if broken < 0 {
		t.Fatalf("%+v", a.Sources)
	}
	if s := a.Sources[broken]; s.State != "failed" || !strings.Contains(s.Reason, "fire") {
		t.Errorf("%+v", a.Sources)
	}
	q.Filter.Source, q.Text = "local", ""
	if a = search(t, q); a.Total != 3 {
		t.Errorf("local models: %v", names(a))
	}
	// A cursor does not outlive a change of the list.
	q.Limit = 1
	q.Cursor = search(t, q).Next
	q.Local = func(context.Context) []lookup.Listed { return nil }
	if _, err := Search(t.Context(), q); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("a cursor of another list: %v", err)
	}
}

// Following the cursor gives each model once, whatever the limit.
func TestWalk(t *testing.T) {
	pagedHub(t, 173, 50)
	fits := func(_ context.Context, r *lookup.Result) Fit {
		if r.Model.Count().Total > 100e9 {
			return Fit{Verdict: doesNotFit}
		}
		return Fit{Verdict: "fits", RequiredBytes: 1, UsableBytes: 2}
	}
	for _, c := range []struct {
		limit int
		q     Query
	}{
		{7, Query{Text: "llama"}}, {50, Query{Text: "llama"}}, {100, Query{}},
		{33, Query{Text: "llama", Filter: Filter{License: "llama3.1"}}},
		{41, Query{Text: "llama", Fits: fits, FitsKey: "x"}},
		{29, Query{Text: "llama", Filter: Filter{Architecture: "dense"}}},
	} {
		q := c.q
		q.Limit = c.limit
		seen := map[string]int{}
		calls := 0
		for {
			a := search(t, q)
			for _, m := range a.Models {
				seen[keyOf(m.Name)]++
			}
			if len(a.Models) > q.Limit {
				t.Errorf("%d models of at most %d", len(a.Models), q.Limit)
			}
			if calls++; calls > 300 {
				t.Fatal("the walk does not end")
			}
			if q.Cursor = a.Next; q.Cursor == "" {
				break
			}
			q.Limit = 1 + (q.Limit*7)%60 // a caller may change it
		}
		for n, times := range seen {
			if times != 1 {
				t.Errorf("%+v: %s came %d times", c.q, n, times)
			}
		}
		for i := range 173 {
			id := fmt.Sprintf("org%d/llama-copy-%d", i%7, i)
			// Nobody knows the layers of a GGUF file without its header.
			want := i%10 != 3 && (c.q.Filter.Architecture == "" || i%10 != 5)
			if (seen[id] == 1) != want {
				t.Errorf("%+v: %s came %d times", c.q, id, seen[id])
			}
		}
		if seen["meta-llama/llama-3.1-8b"] != 1 {
			t.Errorf("%+v: the catalogue's model is not there", c.q)
		}
	}
}

// The Hub's models are planned by their configurations; those without one are
// kept, with the reason.
func TestFits(t *testing.T) {
	pagedHub(t, 20, 50)
	a := search(t, Query{Text: "llama-copy", Filter: Filter{Source: "hub"}, FitsKey: "k", Fits: func(_ context.Context, r *lookup.Result) Fit {
		if n := r.Model.Count().Total; n != 8030261248 {
			t.Errorf("%d parameters", n)
		}
		return Fit{Verdict: "tight", RequiredBytes: 5, UsableBytes: 6}
	}})
	unknown := 0
	for _, m := range a.Models {
		switch {
		case m.Fit == nil:
			t.Errorf("%s has no verdict", m.Name)
		case m.Fit.Verdict == unknownFit:
			unknown++
			if !strings.Contains(m.Fit.Reason, "GGUF") {
				t.Errorf("%s: %q", m.Name, m.Fit.Reason)
			}
		case m.Fit.Verdict != "tight" || m.ParametersTotal != 8030261248:
			t.Errorf("%+v", m)
		}
	}
	if unknown != 2 || len(a.Models) != 18+1 { // the two copies of the catalogue's are one
		t.Errorf("%d unknown of %d", unknown, len(a.Models))
	}
}

func TestHubStates(t *testing.T) {
	state := func(a *Answer) Source {
		i := slices.IndexFunc(a.Sources, func(s Source) bool { return s.Name == "hub" })
		if i < 0 {
			return Source{}
		}
		return a.Sources[i]
	}
	answerWith(func(w http.ResponseWriter, r *http.Request) { t.Errorf("offline, and asked for %s", r.URL) })
	if a := search(t, Query{Text: "qwen3", Offline: true}); state(a).State != "offline" || len(a.Models) != 20 {
		t.Errorf("offline: %+v", a.Sources)
	}
	if a := search(t, Query{Text: "qwen3", Filter: Filter{Source: "catalog"}}); state(a).Name != "" {
		t.Errorf("only the catalogue: %+v", a.Sources)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	if a := search(t, Query{Text: "qwen3"}); state(a).State != "offline" || !a.TotalKnown {
		t.Errorf("HF_HUB_OFFLINE: %+v", a.Sources)
	}
	t.Setenv("HF_HUB_OFFLINE", "0")
	answerWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	a := search(t, Query{Text: "qwen3"})
	if s := state(a); s.State != "denied" || s.Reason == "" || len(a.Models) != 20 || a.Next == "" {
		t.Errorf("denied: %+v", a.Sources)
	}
	// A search that began without the Hub goes on without it.
	pagedHub(t, 10, 10)
	if a = search(t, Query{Text: "qwen3", Cursor: a.Next}); state(a).State != "offline" {
		t.Errorf("continued: %+v", a.Sources)
	}
	// One that began with it does not leave it out silently.
	pagedHub(t, 90, 50)
	q := Query{Text: "llama", Limit: 5}
	q.Cursor = search(t, q).Next
	answerWith(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	if _, err := Search(t.Context(), q); err == nil {
		t.Error("the Hub's models were left out of the second page")
	}
}

// A Hub that does not answer does not outlast its caller.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	answerWith(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := Search(ctx, Query{Text: "qwen3", Limit: 5}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestRefusals(t *testing.T) {
	a := search(t, Query{Text: "qwen3", Offline: true})
	flip := []byte(a.Next)
	flip[len(flip)/2] ^= 1
	for name, q := range map[string]Query{
		"query":                  {Text: "\x1b[31m", Limit: 1},
		"query ":                 {Text: "???", Limit: 1},
		"limit":                  {Limit: 0},
		"limit ":                 {Limit: MaxLimit + 1},
		"filters.min_parameters": {Limit: 1, Filter: Filter{MinParameters: 2, MaxParameters: 1}},
		"filters.license":        {Limit: 1, Filter: Filter{License: "--"}},
		"filters.modality":       {Limit: 1, Filter: Filter{Modality: "smell"}},
		"filters.source":         {Limit: 1, Filter: Filter{Source: "attic"}},
		"cursor":                 {Limit: 1, Text: "qwen3", Cursor: string(flip)},
		"cursor ":                {Limit: 1, Text: "qwen2", Cursor: a.Next},
		"cursor  ":               {Limit: 1, Text: "qwen3", Cursor: "x"},
		"cursor   ":              {Limit: 1, Text: "qwen3", Cursor: strings.Repeat("x", 5000)},
		"cursor    ":             {Limit: 1, Text: "qwen3", Cursor: a.Next, FitsKey: "other"},
	} {
		q.Offline = true
		_, err := Search(t.Context(), q)
		var e *model.Error
		if !errors.As(err, &e) || e.Code != model.InvalidArgument || e.Field != strings.TrimSpace(name) || e.Hint == "" {
			t.Errorf("%s: %+v", name, err)
		}
	}
}
