package tools

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"hwledger/calc"
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

func explainMemory(opts Options) Tool {
	return define(Tool{
		Name: "explain_memory", Title: "Explain an engine's log", Toolset: PlanSet, Effect: Effect{Network: true},
		Description: "Reads what an engine printed while it started, or a sidecar's log: what it took of memory beside what plan_memory predicts for the settings in the log, and for a failure its cause, how much was missing and what to change. " +
			"Give model when the log does not name it as the Hub does; other arguments, plan_memory's too, replace what the log says.",
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
	if q.Engine != "" && string(q.Engine) != r.Engine {
		return nil, model.Errorf(model.InvalidArgument, "engine", "the log is one of %s", r.Engine).WithHint("leave engine out")
	}
	out := newExplanation(r)
	given := q.Model != "" || len(q.Config) > 0
	if !given {
		if q.Model = loggedModel(r); q.Model == "" {
			out.note("the log does not name a model that can be looked up: give model or config for a prediction")
			return out, nil
		}
	}
	found, err := q.resolve(ctx, opts.Offline)
	if err != nil {
		if given {
			return nil, err
		}
		out.note("no prediction: the model that the log names cannot be looked up (%s); give model or config", lookup.Clean(err.Error(), lookup.MaxText))
		return out, nil
	}
	req, res, err := q.plan(ctx, opts, r, found, out)
	if err != nil { // what the log itself says is still worth having
		out.note("no prediction: %s", lookup.Clean(err.Error(), lookup.MaxText))
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

// What a log may name: a repository in the Hub's cache, a repository itself, a
// path on this machine. No scheme, no host, no way up.
var cached, named = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`models--(\w[\w.-]*?)--(\w[\w.-]*?)(?:/|$)`)
}), sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:\w[\w.-]*/\w[\w.-]*|/?(?:[\w.~ -]+/)*[\w. -]+\.gguf|/(?:[\w.~ -]+/)*[\w. -]+/?)$`)
})

// loggedModel is the reference that a log's model means, "" when it is none
// that may be followed: a log is text from elsewhere, which chooses no address
// to fetch from.
func loggedModel(r *enginelog.Report) string {
	if m := cached().FindStringSubmatch(r.Model); m != nil {
		return m[1] + "/" + m[2]
	}
	if strings.Contains(r.Model, "..") || !named().MatchString(r.Model) {
		return ""
	}
	return r.Model
}

// plan plans what the log says, but for what was given. A quantization that
// the planner does not know by the engine's name is left to the checkpoint.
func (q ExplainQuery) plan(ctx context.Context, opts Options, r *enginelog.Report, found *lookup.Result, out *Explanation) (calc.Request, *calc.Result, error) {
	req := calc.Request{Model: found.Model, Engine: r.Engine, Load: r.Load(q.load())}
	if q.Hardware != nil {
		hw, err := q.Hardware.resolve(ctx, opts)
		if err != nil {
			return req, nil, err
		}
		req.Hardware = hw
	} else {
		req.Hardware = r.Hardware(req.Load)
	}
	open := req.Load.Weights == "" || req.Load.Weights == "auto"
	if open && r.Quantization != "" && found.Model.Quant == nil && found.Model.Format != model.FormatGGUF {
		req.Load.Weights = r.Quantization
		if res, err := calc.Plan(req); err == nil {
			return req, res, nil
		}
		req.Load.Weights = ""
		out.note("the log's quantization %q is not planned for this model: its stored weights are", lookup.Clean(r.Quantization, lookup.MaxText))
	}
	res, err := calc.Plan(req)
	return req, res, err
}

// note adds what the answer cannot say otherwise.
func (e *Explanation) note(format string, args ...any) {
	e.Notes = append(e.Notes, fmt.Sprintf(format, args...))
}
