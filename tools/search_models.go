package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/lookup"
	"hwledger/calc/lookup/search"
)

// SearchQuery is the input of search_models.
type SearchQuery struct {
	Query   string        `json:"query,omitempty" doc:"Part of the name, words in any order: \"qwen3 coder\", \"Qwen/Qwen3-8B\"; \"org/\" for all of an organisation. Without it the filters alone decide." alias:"q,search,text,name,model,keywords"`
	Filters SearchFilters `json:"filters,omitzero" doc:"What the models must be; all of it." alias:"filter,where,fits_on,hardware,gpu,license,architecture,source,min_parameters,max_parameters"`
	Limit   int           `json:"limit,omitempty" doc:"Most models to return." min:"1" max:"100" default:"20" alias:"max_results,top_k,count,n"`
	Cursor  string        `json:"cursor,omitempty" doc:"next_cursor of the answer before, with the same query and filters." alias:"next_cursor,page,offset,page_token"`
	Offline bool          `json:"offline,omitempty" doc:"Do not ask the Hub." default:"false"`
}

// SearchFilters are what models must be.
type SearchFilters struct {
	MinParameters int64        `json:"min_parameters,omitempty" doc:"Least parameters in all: 7000000000." min:"0" alias:"min_params,parameters_min,min_size"`
	MaxParameters int64        `json:"max_parameters,omitempty" doc:"Most parameters in all." min:"0" alias:"max_params,parameters_max,max_size,parameters"`
	License       string       `json:"license,omitempty" doc:"Licence id: apache-2.0, mit, llama3.1." alias:"licence"`
	Architecture  string       `json:"architecture,omitempty" doc:"Family by model_type (qwen3, llama) or what its layers are: moe, dense, mla, sliding, hybrid, mamba, linear." alias:"arch,family,model_type,type"`
	Modality      ModalityName `json:"modality,omitempty" doc:"What it takes or gives." alias:"task,modalities,pipeline_tag"`
	Quantization  string       `json:"quantization,omitempty" doc:"gptq, awq, fp8, mlx-4bit, bf16, gguf, or a GGUF type such as Q4_K_M." alias:"quant,weights,dtype,format"`
	Source        string       `json:"source,omitempty" doc:"catalog, hub, local (all stores of this machine), or one of them: hf-cache, ollama, lmstudio." alias:"sources,from,where"`
	FitsOn        *Hardware    `json:"fits_on,omitempty" doc:"Only what fits this hardware, as plan_memory takes it: \"RTX 4090\", \"2x H100-80GB\"." alias:"hardware,gpu,device,fits,vram,memory"`
	ContextTokens int64        `json:"context_tokens,omitempty" doc:"With fits_on: tokens per sequence, as in plan_memory." min:"1" max:"17179869184" alias:"context,ctx,context_length,max_model_len"`
	Engine        EngineName   `json:"engine,omitempty" doc:"With fits_on: inference engine, as in plan_memory." alias:"runtime,backend"`
}

// ModalityName is what a model takes or gives.
type ModalityName string

// Enum lists the modalities.
func (ModalityName) Enum() []string { return search.Modalities }

// FoundModels is the output of search_models.
type FoundModels struct {
	Models     []FoundModel   `json:"models"`
	NextCursor string         `json:"next_cursor,omitempty"`
	Total      *int           `json:"total,omitempty"`
	Sources    []SearchSource `json:"sources"`
	// NotFitting models matched but for fits_on; of Unclear ones it is not
	// known whether they match.
	NotFitting int `json:"not_fitting,omitempty"`
	Unclear    int `json:"unclear,omitempty"`
}

// FoundModel is one model. What is not known is left out.
type FoundModel struct {
	Reference        string         `json:"reference"`
	Name             string         `json:"name"`
	Source           string         `json:"source"`
	AlsoIn           []string       `json:"also_in,omitempty"`
	ParametersTotal  int64          `json:"parameters_total,omitempty"`
	ParametersActive int64          `json:"parameters_active,omitempty"`
	ModelType        string         `json:"model_type,omitempty"`
	Architecture     string         `json:"architecture,omitempty"`
	Layers           map[string]int `json:"layers,omitempty"`
	Traits           []string       `json:"traits,omitempty"`
	ContextTokens    int64          `json:"context_tokens,omitempty"`
	License          string         `json:"license,omitempty"`
	Modality         []string       `json:"modality,omitempty"`
	Quantization     string         `json:"quantization,omitempty"`
	StoredBytes      int64          `json:"stored_bytes,omitempty"`
	Downloads        int64          `json:"downloads,omitempty"`
	Updated          string         `json:"updated,omitempty"`
	Gated            bool           `json:"gated,omitempty"`
	MatchedBy        string         `json:"matched_by,omitempty"`
	Unread           string         `json:"unread,omitempty"`
	Fits             *FoundFit      `json:"fits,omitempty"`
}

// FoundFit is whether a model fits on the hardware that was asked about.
type FoundFit struct {
	Verdict  string `json:"verdict" enum:"fits,tight,unknown"`
	Required int64  `json:"required_bytes,omitempty"`
	Usable   int64  `json:"usable_bytes,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// SearchSource is what one place said.
type SearchSource struct {
	Name   string `json:"name"`
	State  string `json:"state" enum:"ok,absent,offline,denied,failed"`
	Reason string `json:"reason,omitempty"`
	Count  int    `json:"count"`
}

func searchModels(opts Options) Tool {
	return define(Tool{
		Name: "search_models", Title: "Search models", Toolset: ModelSet, Effect: Effect{Network: true},
		Description: "Finds models by a part of their name and by filters (parameters, licence, architecture, modality, quantization) in this machine's stores, the embedded catalogue and the Hub, best match first; fits_on keeps those that fit given hardware. " +
			"Use it when the exact name is not known or to choose a model for hardware; it reads configurations, never weights, and sources says which places could not be asked. " +
			"Pass a returned reference as the model of plan_memory or lookup_model, and next_cursor for more.",
	}, func(ctx context.Context, q SearchQuery) (*FoundModels, error) {
		s, err := q.search(ctx, opts)
		if err != nil {
			return nil, err
		}
		a, err := search.Search(ctx, s)
		if err != nil {
			return nil, err
		}
		return foundModels(a), nil
	})
}

// search is the query as package search takes it.
func (q *SearchQuery) search(ctx context.Context, opts Options) (search.Query, error) {
	f := &q.Filters
	s := search.Query{
		Text: q.Query, Limit: q.Limit, Cursor: q.Cursor, Offline: q.Offline || opts.Offline,
		Filter: search.Filter{
			MinParameters: f.MinParameters, MaxParameters: f.MaxParameters, License: f.License, Architecture: f.Architecture,
			Modality: string(f.Modality), Quantization: f.Quantization, Source: f.Source,
		},
	}
	if s.Limit == 0 {
		s.Limit = 20
	}
	if f.FitsOn == nil {
		return s, nil
	}
	hw, err := f.FitsOn.resolve(ctx, opts)
	if err != nil {
		return s, rename(err, "hardware", "filters.fits_on")
	}
	key, err := json.Marshal([]any{f.FitsOn, f.ContextTokens, f.Engine})
	if err != nil {
		return s, err
	}
	s.FitsKey = string(key)
	s.Fits = func(_ context.Context, r *lookup.Result) search.Fit {
		return fit(calc.Request{Model: r.Model, Engine: string(f.Engine), Load: engine.Load{ContextTokens: f.ContextTokens}, Hardware: hw})
	}
	return s, nil
}

// fit plans one model. One that the engine cannot run has no verdict.
func fit(req calc.Request) search.Fit {
	r, err := calc.Size(req)
	if err != nil {
		return search.Fit{Verdict: string(calc.NoVerdict), Reason: lookup.Clean(err.Error(), lookup.MaxText)}
	}
	out := search.Fit{Verdict: string(r.Verdict), RequiredBytes: int64(r.Totals.Required)}
	for i := range r.Devices {
		if r.Devices[i].Known {
			out.UsableBytes += int64(r.Devices[i].Usable)
		}
	}
	return out
}

func foundModels(a *search.Answer) *FoundModels {
	out := &FoundModels{
		Models: make([]FoundModel, len(a.Models)), Sources: make([]SearchSource, len(a.Sources)),
		NextCursor: a.Next, NotFitting: a.NotFitting, Unclear: a.Unclear,
	}
	if a.TotalKnown {
		out.Total = &a.Total
	}
	for i, s := range a.Sources {
		out.Sources[i] = SearchSource(s)
	}
	for i := range a.Models {
		m := &a.Models[i]
		x := FoundModel{
			Reference: m.Reference, Name: m.Name, Source: m.Sources[0], AlsoIn: m.Sources[1:],
			ParametersTotal: m.ParametersTotal, ParametersActive: m.ParametersActive, ModelType: m.ModelType, Architecture: m.Architecture,
			Layers: m.Layers, Traits: m.Traits, ContextTokens: m.ContextTokens, License: m.License, Modality: m.Modality,
			Quantization: m.Quantization, StoredBytes: m.StoredBytes, Downloads: m.Downloads, Gated: m.Gated, MatchedBy: m.MatchedBy, Unread: m.Unread,
		}
		if !m.Updated.IsZero() {
			x.Updated = m.Updated.UTC().Format(time.RFC3339)
		}
		if m.Fit != nil {
			x.Fits = &FoundFit{Verdict: m.Fit.Verdict, Required: m.Fit.RequiredBytes, Usable: m.Fit.UsableBytes, Reason: m.Fit.Reason}
		}
		out.Models[i] = x
	}
	return out
}

// Text lists the models, a line for each.
func (f *FoundModels) Text() string {
	const most = 20
	var b strings.Builder
	switch n := len(f.Models); {
	case f.Total != nil:
		b.WriteString(matches(*f.Total))
	case f.NextCursor != "":
		fmt.Fprintf(&b, "%s here, and more may follow", matches(n))
	default:
		b.WriteString(matches(n))
	}
	if f.NotFitting > 0 {
		fmt.Fprintf(&b, "; %d more do not fit", f.NotFitting)
	}
	if f.Unclear > 0 {
		fmt.Fprintf(&b, "; of %d it is not known", f.Unclear)
	}
	b.WriteString(".\n")
	for i := range f.Models[:min(len(f.Models), most)] {
		b.WriteString(f.Models[i].line())
	}
	if n := len(f.Models) - most; n > 0 {
		fmt.Fprintf(&b, "… and %d more on this page.\n", n)
	}
	for _, s := range f.Sources {
		if s.State != "ok" && s.State != "absent" {
			fmt.Fprintf(&b, "Not searched: %s (%s).\n", s.Name, strings.TrimSuffix(lookup.Clean(s.Reason, 100), "."))
		}
	}
	switch {
	case len(f.Models) == 0 && f.NextCursor == "":
		b.WriteString("Next: widen the filters, or search for a shorter part of the name.\n")
	case len(f.Models) == 0:
		b.WriteString("Next: search_models with next_cursor, to look further.\n")
	default:
		fmt.Fprintf(&b, "Next: plan_memory with model %q", lookup.Clean(f.Models[0].Reference, 80))
		if f.NextCursor != "" {
			b.WriteString("; search_models with next_cursor for more")
		}
		b.WriteString(".\n")
	}
	return b.String()
}

// matches says how many models match.
func matches(n int) string {
	if n == 0 {
		return "No model matches"
	}
	return plural(n, "model matches", "models match")
}

// line is the model in one line.
func (m *FoundModel) line() string {
	parts := []string{}
	if m.ParametersTotal > 0 {
		parts = append(parts, count(m.ParametersTotal))
	}
	if m.Quantization != "" {
		parts = append(parts, m.Quantization)
	}
	if m.ContextTokens > 0 {
		parts = append(parts, number(m.ContextTokens)+" tokens")
	}
	if m.Fits != nil && m.Fits.Required > 0 {
		parts = append(parts, fmt.Sprintf("%s %s", m.Fits.Verdict, engine.Bytes(m.Fits.Required)))
	} else if m.Fits != nil {
		parts = append(parts, "fit unknown")
	}
	if len(parts) == 0 {
		return lookup.Clean(m.Reference, 60) + "\n"
	}
	return lookup.Clean(m.Reference, 60) + ": " + strings.Join(parts, ", ") + "\n"
}
