package lookup

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hwledger/calc/lookup/catalog"
	"hwledger/calc/lookup/fetch"
	"hwledger/calc/model"
)

// listHub starts a server in the Hub's place.
func listHub(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	t.Setenv("HF_HUB_OFFLINE", "0")
	t.Setenv("HF_ENDPOINT", srv.URL)
	t.Setenv("HF_TOKEN", "hf_secret")
	old := client
	client = sync.OnceValue(func() *fetch.Client {
		return fetch.New(fetch.Options{Trusted: []string{srv.URL}, Tokens: map[string]string{srv.URL: token()}, Backoff: time.Millisecond})
	})
	t.Cleanup(func() { client = old })
	return srv.URL
}

// item is a model of the list in the form of the Hub's API, with the figures
// that it gives for Qwen/Qwen3-8B.
const item = `{"_id":"x","id":"Qwen/Qwen3-8B","sha":"b968826d9c46dd6066d109eabc6255188de91218","downloads":1234567,"lastModified":"2025-07-26T03:49:13.000Z",
"pipeline_tag":"text-generation","gated":false,"tags":["transformers","safetensors","qwen3","license:apache-2.0"],"cardData":{"license":"apache-2.0"},
"config":{"architectures":["Qwen3ForCausalLM"],"model_type":"qwen3"},"safetensors":{"parameters":{"BF16":8190735360},"total":8190735360}}`

func TestSearchHub(t *testing.T) {
	listHub(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/api/models" || q.Get("search") != "qwen3 8b" || q.Get("sort") != "downloads" || q.Get("limit") != "7" ||
			!slices.Equal(q["filter"], []string{"license:apache-2.0", "qwen3"}) || !slices.Contains(q["expand"], "safetensors") || r.Header.Get("Authorization") != "Bearer hf_secret" {
			t.Errorf("asked for %s", r.URL)
		}
		if q.Get("cursor") == "" {
			// Mirrors pass on the Hub's own address.
			next := *r.URL
			q.Set("cursor", "eyJ+/=&x")
			next.RawQuery = q.Encode()
			w.Header().Set("Link", fmt.Sprintf(`<https://elsewhere.invalid%s>; rel="next"`, next.String()))
		}
		fmt.Fprintf(w, `[%s,{"id":"no-organisation"},{"id":5},"x",{"id":"a/../b"},{"id":"a/b","downloads":"many","tags":5,"cardData":[],"gated":"manual","safetensors":{"parameters":{"I32":-1}}}]`, item)
	})
	q := HubQuery{Text: "qwen3 8b", Tags: []string{"license:apache-2.0", "qwen3"}, Limit: 7}
	p, err := SearchHub(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Models) != 2 {
		t.Fatalf("%+v", p.Models)
	}
	m := p.Models[0]
	if m.ID != "Qwen/Qwen3-8B" || m.Commit != "b968826d9c46dd6066d109eabc6255188de91218" || m.Downloads != 1234567 || m.License != "apache-2.0" || m.Gated ||
		m.ModelType != "qwen3" || m.Architecture != "Qwen3ForCausalLM" || m.Elements["BF16"] != 8190735360 || m.Modified.Year() != 2025 || m.Task != "text-generation" {
		t.Errorf("%+v", m)
	}
	if m := p.Models[1]; m.ID != "a/b" || !m.Gated || m.Downloads != 0 || m.License != "" || m.Elements != nil {
		t.Errorf("a card in no known form: %+v", m)
	}
	if v, err := url.ParseQuery(p.Next); err != nil || len(v) != 1 || v.Get("cursor") != "eyJ+/=&x" {
		t.Errorf("next is %q", p.Next)
	}
	q.Page = p.Next
	if p, err = SearchHub(t.Context(), q); err != nil || p.Next != "" {
		t.Errorf("the last page: %+v, %v", p, err)
	}
	// A continuation cannot change what is asked for.
	q.Page = "search=other&cursor=x"
	if _, err = SearchHub(t.Context(), q); err != nil {
		t.Error(err)
	}
}

func TestSearchHubRefusals(t *testing.T) {
	var calls atomic.Int64
	var answer http.HandlerFunc
	listHub(t, func(w http.ResponseWriter, r *http.Request) { calls.Add(1); answer(w, r) })
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		code   model.Code
		calls  int64
	}{
		"busy":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, model.Offline, 4},
		"denied":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, model.Denied, 1},
		"no list":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"error":"x"}`) }, model.MalformedFile, 1},
		"web page": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) }, model.MalformedFile, 1},
		"too many": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "["+strings.Repeat("1,", 1000)+"1]") }, model.MalformedFile, 1},
	} {
		calls.Store(0)
		answer = c.answer
		_, err := SearchHub(t.Context(), HubQuery{Limit: 1})
		if code(err) != c.code || calls.Load() != c.calls || strings.Contains(err.Error(), "hf_secret") {
			t.Errorf("%s: %v after %d requests", name, err, calls.Load())
		}
	}
	// A server that is busy once is asked again.
	calls.Store(0)
	answer = func(w http.ResponseWriter, _ *http.Request) {
		if calls.Load() == 1 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprintf(w, "[%s]", item)
	}
	if p, err := SearchHub(t.Context(), HubQuery{Limit: 1}); err != nil || len(p.Models) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := SearchHub(t.Context(), HubQuery{Limit: 1, Page: "%zz"}); code(err) != model.InvalidArgument {
		t.Errorf("a continuation that is none: %v", err)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	if _, err := SearchHub(t.Context(), HubQuery{Limit: 1}); code(err) != model.Offline {
		t.Errorf("offline: %v", err)
	}
}

// One small file is enough for the exact count of a published configuration.
func TestHubConfig(t *testing.T) {
	e, ok, err := catalog.Find("meta-llama/Llama-3.1-8B")
	if err != nil || !ok {
		t.Fatal(err)
	}
	listHub(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/org/name/resolve/"+commit+"/config.json" {
			t.Errorf("asked for %s", r.URL)
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(e.Config)
	})
	r, err := HubConfig(context.Background(), "org/name", commit)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Model.Count().Total; got != 8_030_261_248 || r.Reference != "hf:org/name@"+commit {
		t.Errorf("%d parameters of %s", got, r.Reference)
	}
	for _, id := range []string{"", "name", "a/b/c", "../x", "a/.."} {
		if _, err := HubConfig(context.Background(), id, ""); code(err) != model.InvalidArgument {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// The licence, quantization and files of a repository are where its author
// put them.
func TestHubItem(t *testing.T) {
	for _, c := range []struct {
		json string
		want func(HubModel) bool
	}{
		{`{"id":"a/b","cardData":{"license":"other","license_name":"modified-mit"}}`, func(m HubModel) bool { return m.License == "modified-mit" }},
		{`{"id":"a/b","cardData":{"license":["mit","apache-2.0"]}}`, func(m HubModel) bool { return m.License == "mit" }},
		{`{"id":"a/b","tags":["x","license:gemma"]}`, func(m HubModel) bool { return m.License == "gemma" }},
		{`{"id":"a/b","tags":["mlx","4-bit","x-bit"]}`, func(m HubModel) bool { return m.MLX && m.Bits == 4 }},
		{`{"id":"a/b","config":{"quantization_config":{"quant_method":"awq","bits":4}},"gated":"auto"}`, func(m HubModel) bool { return m.Quant == "awq" && m.Gated }},
		{`{"id":"a/b","gguf":{"total":27320697856,"architecture":"qwen35","context_length":262144},"siblings":[{"rfilename":"README.md"},{"rfilename":"x-Q4_K_M.gguf"}]}`,
			func(m HubModel) bool {
				return m.GGUF && m.GGUFParams == 27320697856 && m.Context == 262144 && m.ModelType == "qwen35" && slices.Equal(m.Files, []string{"x-Q4_K_M.gguf"})
			}},
		{`{"id":"a/b","pipeline_tag":"\u001b[31mtext\u202egeneration"}`, func(m HubModel) bool { return m.Task == "[31mtextgeneration" }},
	} {
		got, err := parseHubPage([]byte("[" + c.json + "]"))
		if err != nil || len(got) != 1 || !c.want(got[0]) {
			t.Errorf("%s: %+v, %v", c.json, got, err)
		}
	}
}

func FuzzHubPage(f *testing.F) {
	f.Add([]byte("[" + item + "]"))
	f.Add([]byte(`[{"id":"a/b","gguf":{"total":1e300},"safetensors":{"parameters":{"F32":9e18}},"siblings":[{}]}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		models, err := parseHubPage(b)
		if err != nil {
			return
		}
		for _, m := range models {
			if m.Downloads < 0 || m.GGUFParams < 0 || Clean(m.License, MaxText+1) != m.License || !hubWord(m.Commit) && m.Commit != "" {
				t.Errorf("%+v", m)
			}
			if _, err := json.Marshal(m); err != nil {
				t.Error(err)
			}
		}
	})
}
