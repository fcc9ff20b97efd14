package lookup

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hwledger/calc/lookup/fetch"
	"hwledger/calc/model"
)

// HubQuery asks the Hub for models, the most downloaded first.
type HubQuery struct {
	// Text is in the repositories' names; Author is their organisation.
	Text, Author string
	// Tags must all be there: "license:mit", "gguf", a model type.
	Tags []string
	// Files asks for the names of each repository's files too.
	Files bool
	// Limit is the most models of a page.
	Limit int
	// Page continues after another page of the same query: its Next.
	Page string
}

// HubModel is what the Hub says about a repository without a look into its
// files. Zero values are unknown.
type HubModel struct {
	// ID is org/name, Commit the newest commit of its main branch.
	ID, Commit string
	Downloads  int64
	Modified   time.Time
	// Task is the pipeline tag ("text-generation"), License the licence's id.
	Task, License string
	// Gated repositories are read after their conditions were accepted.
	Gated bool
	// ModelType, Architecture and Quant are config.json's model_type, first
	// class and quantization method.
	ModelType, Architecture, Quant string
	// Elements are the safetensors files' elements by type; packed types
	// hold several parameters in one.
	Elements map[string]int64
	// MLX reports that the repository is MLX's; Bits is the width that its tags
	// name.
	MLX  bool
	Bits int64
	// GGUF reports that the repository has GGUF files, of GGUFParams
	// parameters and Context tokens.
	GGUF                bool
	GGUFParams, Context int64
	Files               []string
}

// HubPage is one page of the Hub's answer.
type HubPage struct {
	Models []HubModel
	// Next continues after this page; "" when there is no more.
	Next string
}

// Bounds of a page: the Hub gives at most 1000 models, and a name of a file
// that no answer needs is not kept.
const (
	maxHubPage  = 16 << 20
	maxHubItems = 1000
	maxHubNext  = 2048
)

// hubFields are the properties asked for; the Hub sends no others.
var hubFields = []string{"sha", "downloads", "lastModified", "pipeline_tag", "cardData", "tags", "gated", "config", "safetensors", "gguf"}

// SearchHub asks the Hub for one page of models. Errors are *model.Error:
// Offline, Denied, or MalformedFile for an answer that is not the API's.
func SearchHub(ctx context.Context, q HubQuery) (*HubPage, error) {
	if offlineByEnv() {
		return nil, model.Errorf(model.Offline, "HF_HUB_OFFLINE", "is set, so the Hub is not asked").WithHint("unset HF_HUB_OFFLINE to search the Hub")
	}
	base := endpoint() + "/api/models"
	asked := q.values()
	more, err := url.ParseQuery(q.Page)
	if err != nil || len(q.Page) > maxHubNext {
		return nil, model.Errorf(model.InvalidArgument, "cursor", "does not continue a search of the Hub").WithHint("leave out cursor to begin again")
	}
	all := url.Values{}
	for k, v := range asked {
		all[k] = v
	}
	for k, v := range more {
		if asked[k] == nil { // what was asked for stays as it was
			all[k] = v
		}
	}
	reply, err := client().Get(fetch.Quick(ctx), base+"?"+all.Encode(), maxHubPage, "")
	if err != nil {
		return nil, err
	}
	models, err := parseHubPage(reply.Body)
	if err != nil {
		return nil, err
	}
	page := &HubPage{Models: models}
	if page.Next, err = continuation(reply.Next, asked); err != nil {
		return nil, err
	}
	if page.Next == more.Encode() { // the same page again would never end
		page.Next = ""
	}
	return page, nil
}

func (q *HubQuery) values() url.Values {
	v := url.Values{"sort": {"downloads"}, "limit": {strconv.Itoa(q.Limit)}, "expand": slices.Clone(hubFields)}
	if q.Text != "" {
		v.Set("search", q.Text)
	}
	if q.Author != "" {
		v.Set("author", q.Author)
	}
	if len(q.Tags) > 0 {
		v["filter"] = q.Tags
	}
	if q.Files {
		v["expand"] = append(v["expand"], "siblings")
	}
	return v
}

// continuation returns what the address of the next page asks beyond what was
// asked for. The rest of the address is not used: whatever host it names, the
// next page is asked for at the endpoint that the operator chose.
func continuation(next string, asked url.Values) (string, error) {
	if next == "" {
		return "", nil
	}
	u, err := url.Parse(next)
	if err != nil || len(next) > 8<<10 {
		return "", notHubAPI()
	}
	more := u.Query()
	for k := range more {
		if asked[k] != nil || asked[strings.TrimSuffix(k, "[]")] != nil {
			delete(more, k)
		}
	}
	out := more.Encode()
	if len(out) > maxHubNext {
		return "", notHubAPI()
	}
	return out, nil
}

func notHubAPI() *model.Error {
	return model.Errorf(model.MalformedFile, "hub", "the answer to a search is not what the Hub's API documents").
		WithHint("check HF_ENDPOINT, or set offline to search this machine and the catalogue only")
}

// HubConfig describes the model of a repository by its config.json alone:
// sizes follow from the configuration, no header is read. It asks for one
// small file. Errors are those of Resolve.
func HubConfig(ctx context.Context, id, commit string) (*Result, error) {
	org, name, _ := strings.Cut(id, "/")
	if !hubWord(org) || !hubWord(name) || commit != "" && !hubWord(commit) {
		return nil, model.Errorf(model.InvalidArgument, "model", "%q is not a repository of the Hub", Clean(id, MaxText))
	}
	revision := commit
	if revision == "" {
		revision = "main"
	}
	base, err := url.Parse(endpoint() + "/" + id + "/resolve/" + revision + "/")
	if err != nil {
		return nil, model.Errorf(model.InvalidArgument, "HF_ENDPOINT", "is not an address")
	}
	t := &remoteTree{client: client(), base: base, commit: commit, names: []string{configName}}
	r, err := fromCheckpoint(fetch.Quick(ctx), t, configName)
	if err != nil {
		return nil, err
	}
	r.Reference, r.ResolvedFrom = "hf:"+id+"@"+revision, "hub"
	return finish(r), nil
}
