package tools

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
	"hwledger/calc/lookup"
)

// Explanation is the output of explain_memory. What the log or the plan does
// not say is left out.
type Explanation struct {
	Engine   string `json:"engine"`
	Version  string `json:"engine_version,omitempty"`
	Model    string `json:"model,omitempty"`
	Settings Read   `json:"settings"`
	// Failure is why it failed, absent when the log shows no failure.
	Failure     *StartFailure    `json:"failure,omitempty"`
	Actual      Found            `json:"actual"`
	Predicted   *Totals          `json:"predicted,omitempty"`
	Cache       *CacheInfo       `json:"predicted_cache,omitempty"`
	Differences []Difference     `json:"differences"`
	Suggestions []SuggestionInfo `json:"suggestions"`
	Notes       []string         `json:"notes"`
}

// Read is what the log says the engine was asked for, and what it ran on.
type Read struct {
	ContextTokens        int64          `json:"context_tokens,omitempty"`
	Sequences            int64          `json:"sequences,omitempty"`
	TensorParallel       int64          `json:"tensor_parallel,omitempty"`
	PipelineParallel     int64          `json:"pipeline_parallel,omitempty"`
	BatchTokens          int64          `json:"batch_tokens,omitempty"`
	GPULayers            *int64         `json:"gpu_layers,omitempty"`
	Quantization         string         `json:"quantization,omitempty"`
	KVCacheDType         string         `json:"kv_cache_dtype,omitempty"`
	GPUMemoryUtilization float64        `json:"gpu_memory_utilization,omitempty"`
	DeviceBytes          int64          `json:"device_bytes,omitempty"`
	FreeBytes            int64          `json:"free_bytes,omitempty"`
	Devices              []string       `json:"devices,omitempty"`
	Flags                map[string]any `json:"flags,omitempty"`
	// Lines are the lines of the log that these were read on, by name.
	Lines map[string]int `json:"lines"`
}

// Found are sums over what the log lists; an engine that logs one rank lists
// one rank.
type Found struct {
	Weights        int64   `json:"weights_bytes,omitempty"`
	KVCache        int64   `json:"kv_cache_bytes,omitempty"`
	State          int64   `json:"state_bytes,omitempty"`
	Workspace      int64   `json:"workspace_bytes,omitempty"`
	Runtime        int64   `json:"runtime_bytes,omitempty"`
	Required       int64   `json:"required_bytes,omitempty"`
	CapacityTokens int64   `json:"capacity_tokens,omitempty"`
	MaxConcurrency float64 `json:"max_concurrency,omitempty"`
}

// StartFailure is why a start, or what had started, failed.
type StartFailure struct {
	Kind  string `json:"kind" enum:"out_of_memory,port_in_use,bad_model,does_not_start"`
	Stage string `json:"stage" enum:"start,load,profile,cache,run"`
	Cause string `json:"cause"`
	// ShortBy is what was missing, absent when the log does not say.
	ShortBy int64  `json:"short_by_bytes,omitempty"`
	Fits    int64  `json:"context_tokens_that_fit,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
	Line    int    `json:"line"`
}

// Difference is one figure of the log beside the plan's.
type Difference struct {
	Name      string `json:"name"`
	Actual    int64  `json:"actual_bytes"`
	Predicted *int64 `json:"predicted_bytes,omitempty"`
	Low       *int64 `json:"low_bytes,omitempty"`
	High      *int64 `json:"high_bytes,omitempty"`
	// Error is predicted ÷ actual − 1, in percent.
	Error  *float64 `json:"error_percent,omitempty"`
	Within *bool    `json:"within,omitempty"`
	Line   int      `json:"line"`
	Text   string   `json:"text"`
}

func newExplanation(r *enginelog.Report) *Explanation {
	clean := func(s string) string { return lookup.Clean(s, lookup.MaxText) }
	out := &Explanation{
		Engine: r.Engine, Version: clean(r.Version), Model: clean(r.Model),
		Settings: Read{
			ContextTokens: r.ContextTokens, Sequences: r.Sequences, TensorParallel: r.TensorParallel, PipelineParallel: r.Pipeline,
			BatchTokens: r.BatchTokens, GPULayers: r.GPULayers, Quantization: clean(r.Quantization), KVCacheDType: clean(r.KVCacheType),
			GPUMemoryUtilization: r.Utilization, DeviceBytes: int64(r.DeviceBytes), FreeBytes: int64(r.FreeBytes), Flags: maps.Clone(r.Flags), Lines: r.Lines,
		},
		Actual:      found(r),
		Differences: []Difference{}, Suggestions: []SuggestionInfo{}, Notes: []string{},
	}
	for _, d := range r.Devices {
		out.Settings.Devices = append(out.Settings.Devices, clean(strings.TrimSpace(d.ID+" "+d.Name)))
	}
	for name, v := range out.Settings.Flags {
		if s, ok := v.(string); ok {
			out.Settings.Flags[name] = clean(s)
		}
	}
	if out.Model == "" {
		out.Model = clean(r.Name)
	}
	if f := r.Failure; f != nil {
		out.Failure = &StartFailure{
			Kind: f.Kind, Stage: f.Stage, Cause: clean(f.Cause), ShortBy: int64(f.Short), Fits: f.Fits, Remedy: r.Remedy(), Line: f.Line,
		}
	}
	switch {
	case len(r.Actual) > 0:
	case r.Engine == "llama.cpp":
		out.note("the log has no line that says what memory was taken: llama-server prints its buffers with -lv 4")
	default:
		out.note("the log has no line that says what memory was taken")
	}
	if r.Failure == nil && !r.Started {
		out.note("the log shows neither a failure nor that the engine became ready: it may end too early")
	}
	return out
}

// found sums the log's figures. A peak is of everything at once.
func found(r *enginelog.Report) Found {
	f := Found{CapacityTokens: r.CapacityTokens, MaxConcurrency: r.Concurrency}
	var sum, peak int64
	for i := range r.Actual {
		a := &r.Actual[i]
		if a.Name == "peak" {
			peak = int64(a.Bytes)
			continue
		}
		to := map[engine.Category]*int64{
			engine.Weights: &f.Weights, engine.KVCache: &f.KVCache, engine.State: &f.State, engine.Workspace: &f.Workspace, engine.Runtime: &f.Runtime,
		}[a.Category]
		*to += int64(a.Bytes)
		sum += int64(a.Bytes)
	}
	f.Required = max(sum, peak)
	return f
}

// compare adds the plan and what it says differently.
func (e *Explanation) compare(r *enginelog.Report, found *lookup.Result, req calc.Request, res *calc.Result) {
	res.Suggestions = r.Suggest(req, res)
	p := newPlan(found, res, "summary")
	e.Model, e.Predicted, e.Cache, e.Suggestions = found.Reference, &p.Totals, &p.Cache, p.Suggestions
	var outside []string
	diffs := r.Compare(res)
	for i := range diffs {
		d := &diffs[i]
		e.Differences = append(e.Differences, difference(d))
		if d.Known && !d.Within() && d.Name != "total" {
			outside = append(outside, d.Name)
		}
	}
	if len(outside) > 0 {
		e.note("outside the predicted range: %s; check that model, quantization and version are those of the log", strings.Join(outside, ", "))
	}
	if f := r.Failure; f != nil && f.Kind == enginelog.OutOfMemory && f.Stage != "start" && !f.Host && res.Verdict == calc.Fits {
		e.note("the plan fits where the engine failed: what the log shows to be missing was taken off the memory for the suggestions")
	}
	if slices.ContainsFunc(r.Actual, func(a enginelog.Actual) bool { return strings.HasPrefix(a.Name, "draft ") }) {
		e.note("the log has a draft model beside the main one; the plan is of the main one")
	}
	for _, a := range res.Assumed {
		e.note("assumed %s = %s (%s)", a.Field, a.Value, a.Why)
	}
	if len(req.Hardware.Devices) == 0 && slices.ContainsFunc(diffs, func(d enginelog.Difference) bool { return !d.Known }) {
		e.note("the log does not say how much memory the device has: give hardware to predict the pool")
	}
	e.Notes = append(e.Notes, res.Notes...)
}

func difference(d *enginelog.Difference) Difference {
	row := Difference{Name: d.Name, Actual: int64(d.Actual), Line: d.Line, Text: d.String()}
	if d.Known {
		predicted, low, high, within := int64(d.Predicted), int64(d.Low), int64(d.High), d.Within()
		off := math.Round(1e4*d.Error()) / 100
		row.Predicted, row.Low, row.High, row.Within, row.Error = &predicted, &low, &high, &within, &off
	}
	return row
}

// Text is the cause first, then the figures.
func (e *Explanation) Text() string {
	var b strings.Builder
	if f := e.Failure; f != nil {
		fmt.Fprintf(&b, "FAILED (%s, %s): %s", strings.ReplaceAll(f.Kind, "_", " "), f.Stage, f.Cause)
		if f.ShortBy > 0 {
			fmt.Fprintf(&b, "; %s short", engine.Bytes(f.ShortBy))
		}
		if f.Fits > 0 {
			fmt.Fprintf(&b, "; %d tokens of context would fit", f.Fits)
		}
		fmt.Fprintf(&b, " (line %d).\n", f.Line)
		if f.Remedy != "" {
			fmt.Fprintf(&b, "Do: %s.\n", f.Remedy)
		}
	} else {
		b.WriteString("NO FAILURE in the log.\n")
	}
	b.WriteString(strings.TrimSpace(e.Engine + " " + e.Version))
	if e.Model != "" {
		b.WriteString(", " + e.Model)
	}
	b.WriteString(".\n")
	for _, d := range e.Differences {
		b.WriteString(d.Text + ".\n")
	}
	for i, s := range e.Suggestions {
		if i == textSuggestions {
			break
		}
		fmt.Fprintf(&b, "Would fit: %s.\n", s.Change)
	}
	for i, n := range e.Notes {
		if i == textNotes {
			break
		}
		fmt.Fprintf(&b, "Note: %s.\n", strings.TrimSuffix(n, "."))
	}
	return b.String()
}
