package tools

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/enginelog"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
)

// ExplainQuery is the input of explain_memory.
type ExplainQuery struct {
	Log       string `json:"log,omitempty" doc:"The engine's start-up output, from its first line to its failure or first request. At most 8 MiB." alias:"text,output,stderr,logs"`
	Sidecar   string `json:"sidecar,omitempty" doc:"Instead of log: the id of a sidecar, whose log is read." alias:"sidecar_id,id"`
	ModelArgs `brief:"true"`
	LoadArgs  `brief:"true"`
	Hardware  *Hardware `json:"hardware,omitempty" doc:"Where it ran; by default as the log says." alias:"gpu,gpus,device,devices,accelerator,vram,memory,gpu_name" brief:"true"`
}

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

// Read is what the log says the engine was asked for.
type Read struct {
	ContextTokens        int64          `json:"context_tokens,omitempty"`
	Sequences            int64          `json:"sequences,omitempty"`
	TensorParallel       int64          `json:"tensor_parallel,omitempty"`
	Quantization         string         `json:"quantization,omitempty"`
	KVCacheDType         string         `json:"kv_cache_dtype,omitempty"`
	GPUMemoryUtilization float64        `json:"gpu_memory_utilization,omitempty"`
	DeviceBytes          int64          `json:"device_bytes,omitempty"`
	Flags                map[string]any `json:"flags,omitempty"`
}

// Found are sums over what the log lists; an engine that logs one rank lists
// one rank.
type Found struct {
	Weights        int64   `json:"weights_bytes,omitempty"`
	KVCache        int64   `json:"kv_cache_bytes,omitempty"`
	State          int64   `json:"state_bytes,omitempty"`
	Workspace      int64   `json:"workspace_bytes,omitempty"`
	Runtime        int64   `json:"runtime_bytes,omitempty"`
	CapacityTokens int64   `json:"capacity_tokens,omitempty"`
	MaxConcurrency float64 `json:"max_concurrency,omitempty"`
}

// StartFailure is why a start failed.
type StartFailure struct {
	Kind  string `json:"kind" enum:"out_of_memory,port_in_use,bad_model,failed"`
	Stage string `json:"stage"`
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
	Within    *bool  `json:"within,omitempty"`
	Line      int    `json:"line"`
}

func explainMemory(opts Options) Tool {
	return define(Tool{
		Name: "explain_memory", Title: "Explain an engine's log", Toolset: PlanSet, Effect: Effect{Network: true},
		Description: "Reads what an engine printed while it started, or a sidecar's log: what it took of memory beside what plan_memory predicts for the settings in the log, and for a failure its cause, how much was missing and what to change. " +
			"Give model when the log does not name it as the Hub does; other arguments replace what the log says.",
	}, func(ctx context.Context, q ExplainQuery) (*Explanation, error) { return q.explain(ctx, opts) })
}

func (q ExplainQuery) explain(ctx context.Context, opts Options) (*Explanation, error) {
	if err := q.readSidecar(opts); err != nil {
		return nil, err
	}
	r, err := enginelog.Parse(q.Log)
	if err != nil {
		return nil, err
	}
	out := newExplanation(r)
	given := q.Model != "" || len(q.Config) > 0
	if !given {
		q.Model = r.Model
	}
	if q.Model == "" && !given {
		out.Notes = append(out.Notes, "the log does not name its model: give model for a prediction")
		return out, nil
	}
	found, err := q.resolve(ctx, opts.Offline)
	if err != nil {
		if given {
			return nil, err
		}
		out.Notes = append(out.Notes, fmt.Sprintf("no prediction: the model that the log names cannot be looked up (%s); give model", lookup.Clean(err.Error(), lookup.MaxText)))
		return out, nil
	}
	req, err := q.request(r, found)
	if err != nil {
		return nil, err
	}
	res, err := calc.Plan(req)
	if err != nil { // what the log itself says is still worth having
		out.Notes = append(out.Notes, "no prediction: "+lookup.Clean(err.Error(), lookup.MaxText))
		return out, nil
	}
	out.compare(r, found, req, res)
	return out, nil
}

// readSidecar takes log and model from a sidecar, when one is named.
func (q *ExplainQuery) readSidecar(opts Options) error {
	switch {
	case q.Sidecar == "" && q.Log == "":
		return model.Errorf(model.InvalidArgument, "log", "no log was given").WithHint("paste the engine's start-up log as log, or name a sidecar")
	case q.Sidecar == "":
		return nil
	case q.Log != "":
		return model.Errorf(model.InvalidArgument, "sidecar", "give log or sidecar, not both")
	}
	if err := opts.Sidecars.ready(); err != nil {
		return err
	}
	st, err := opts.Sidecars.Manager.Get(q.Sidecar)
	if err == nil {
		q.Log, err = opts.Sidecars.Manager.LogText(q.Sidecar)
	}
	if err != nil {
		return rename(err, "id", "sidecar")
	}
	if q.Model == "" && len(q.Config) == 0 {
		q.Model = st.Model
	}
	return nil
}

// request is the plan for what the log says, but for what was given.
func (q ExplainQuery) request(r *enginelog.Report, found *lookup.Result) (calc.Request, error) {
	req := calc.Request{Model: found.Model, Engine: string(q.Engine), Load: r.Load(q.load())}
	if req.Engine == "" {
		req.Engine = r.Engine
	}
	if q.Engine != "" && string(q.Engine) != r.Engine {
		return req, model.Errorf(model.InvalidArgument, "engine", "the log is one of %s", r.Engine).WithHint("leave engine out")
	}
	if (req.Load.Weights == "" || req.Load.Weights == "auto") && found.Model.Quant == nil && found.Model.Format != model.FormatGGUF {
		req.Load.Weights = r.Quantization
	}
	var err error
	switch ranks := max(1, req.Load.TensorParallel*max(1, req.Load.PipelineParallel), int64(len(r.Devices))); {
	case q.Hardware != nil:
		req.Hardware, err = q.Hardware.resolve()
	case r.DeviceBytes > 0 && ranks <= 64:
		h := Hardware{MemoryBytes: int64(r.DeviceBytes), Count: ranks}
		req.Hardware, err = h.resolve()
	}
	return req, err
}

func newExplanation(r *enginelog.Report) *Explanation {
	clean := func(s string) string { return lookup.Clean(s, lookup.MaxText) }
	out := &Explanation{
		Engine: r.Engine, Version: clean(r.Version), Model: clean(r.Model),
		Settings: Read{
			ContextTokens: r.ContextTokens, Sequences: r.Sequences, TensorParallel: r.TensorParallel, Quantization: clean(r.Quantization),
			KVCacheDType: clean(r.KVCacheType), GPUMemoryUtilization: r.Utilization, DeviceBytes: int64(r.DeviceBytes), Flags: r.Flags,
		},
		Actual:      Found{CapacityTokens: r.CapacityTokens, MaxConcurrency: r.Concurrency},
		Differences: []Difference{}, Suggestions: []SuggestionInfo{}, Notes: []string{},
	}
	if out.Model == "" {
		out.Model = clean(r.Name)
	}
	for i := range r.Actual {
		a := &r.Actual[i]
		to := map[engine.Category]*int64{
			engine.Weights: &out.Actual.Weights, engine.KVCache: &out.Actual.KVCache, engine.State: &out.Actual.State,
			engine.Workspace: &out.Actual.Workspace, engine.Runtime: &out.Actual.Runtime,
		}[a.Category]
		*to += int64(a.Bytes)
	}
	if f := r.Failure; f != nil {
		out.Failure = &StartFailure{
			Kind: f.Kind, Stage: f.Stage, Cause: clean(f.Cause), ShortBy: int64(f.Short), Fits: f.Fits, Remedy: r.Remedy(), Line: f.Line,
		}
	}
	if len(r.Actual) == 0 {
		out.Notes = append(out.Notes, "the log has no line that says what memory was taken")
	}
	return out
}

// compare adds the plan and what it says differently.
func (e *Explanation) compare(r *enginelog.Report, found *lookup.Result, req calc.Request, res *calc.Result) {
	p := newPlan(found, res, "summary")
	e.Model, e.Predicted, e.Cache, e.Suggestions = found.Reference, &p.Totals, &p.Cache, p.Suggestions
	var outside []string
	diffs := r.Compare(res)
	for i := range diffs {
		d := &diffs[i]
		row := Difference{Name: d.Name, Actual: int64(d.Actual), Line: d.Line}
		if d.Known {
			predicted, low, high, within := int64(d.Predicted), int64(d.Low), int64(d.High), d.Within()
			row.Predicted, row.Low, row.High, row.Within = &predicted, &low, &high, &within
			if !within {
				outside = append(outside, d.Name)
			}
		}
		e.Differences = append(e.Differences, row)
	}
	if len(outside) > 0 {
		e.Notes = append(e.Notes, "outside the predicted range: "+strings.Join(outside, ", ")+"; check that model, quantization and version are those of the log")
	}
	for _, a := range res.Assumed {
		e.Notes = append(e.Notes, fmt.Sprintf("assumed %s = %s (%s)", a.Field, a.Value, a.Why))
	}
	if len(req.Hardware.Devices) == 0 && slices.ContainsFunc(diffs, func(d enginelog.Difference) bool { return !d.Known }) {
		e.Notes = append(e.Notes, "the log does not say how much memory the device has: give hardware to predict the pool")
	}
	e.Notes = append(e.Notes, res.Notes...)
}

// Text is the cause first, then the figures that differ.
func (e *Explanation) Text() string {
	var b strings.Builder
	name := strings.TrimSpace(e.Engine + " " + e.Version)
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
	fmt.Fprintf(&b, "%s, %s.\n", name, e.Model)
	for _, d := range e.Differences {
		fmt.Fprintf(&b, "%s: %s", d.Name, engine.Bytes(d.Actual))
		if d.Predicted != nil {
			fmt.Fprintf(&b, ", predicted %s", engine.Bytes(*d.Predicted))
			if !*d.Within {
				fmt.Fprintf(&b, " (outside %s to %s)", engine.Bytes(*d.Low), engine.Bytes(*d.High))
			}
		}
		b.WriteString("\n")
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
