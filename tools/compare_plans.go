package tools

import (
	"context"
	"fmt"
	"strings"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
)

// CompareQuery is the input of compare_plans.
type CompareQuery struct {
	ModelArgs  `brief:"true"`
	LoadArgs   `brief:"true"`
	Hardware   *Hardware    `json:"hardware,omitempty" doc:"One hardware for all rows, as in plan_memory." alias:"gpu,gpus,device,accelerator,vram,memory" brief:"true"`
	Models     []string     `json:"models,omitempty" doc:"Models to compare, instead of model." alias:"model_list"`
	Engines    []EngineName `json:"engines,omitempty" doc:"Engines to compare, instead of engine." alias:"runtimes,backends"`
	WeightList []string     `json:"weights_list,omitempty" doc:"Weight schemes to compare, instead of weights: auto, fp8, awq, Q4_K_M ..." alias:"quantizations,quants,weight_types"`
	Devices    []string     `json:"hardware_list,omitempty" doc:"Hardware to compare, instead of hardware: \"RTX 4090\", \"2x H100-80GB\" ..." alias:"devices,machines"`
	Accept     string       `json:"accept,omitempty" enum:"fits,tight" default:"fits" doc:"fits keeps the high end of every range within memory; tight lets the expected size decide."`
}

// Comparison is the output of compare_plans.
type Comparison struct {
	Rows []ComparedPlan `json:"rows"`
	// Best is the index of the best row, absent when nothing fits.
	Best *int   `json:"best,omitempty"`
	Why  string `json:"why"`
}

// ComparedPlan is one combination. What is not known is left out.
type ComparedPlan struct {
	Model     string  `json:"model"`
	Engine    string  `json:"engine"`
	Version   string  `json:"engine_version,omitempty"`
	Weights   string  `json:"weights"`
	Bits      float64 `json:"bits_per_weight,omitempty"`
	Hardware  string  `json:"hardware,omitempty"`
	Verdict   string  `json:"verdict"`
	Reason    string  `json:"reason"`
	Required  int64   `json:"required_bytes,omitempty"`
	Low       int64   `json:"low_bytes,omitempty"`
	High      int64   `json:"high_bytes,omitempty"`
	WeightB   int64   `json:"weights_bytes,omitempty"`
	PerSeq    int64   `json:"per_sequence_bytes,omitempty"`
	Headroom  *int64  `json:"headroom_bytes,omitempty"`
	Capacity  int64   `json:"capacity_tokens,omitempty"`
	MaxConcur float64 `json:"max_concurrency,omitempty"`
}

// mostRows bounds a comparison.
const mostRows = 256

func comparePlans(opts Options) Tool {
	return define(Tool{
		Name: "compare_plans", Title: "Compare plans", Toolset: PlanSet, Effect: Effect{Network: true},
		Description: "Plans every combination of the given models, engines, weight schemes and hardware under one load, as a compact table with the best row marked and why. " +
			"Use it to choose between alternatives; give lists for what varies and single values for the rest. Rows that an engine refuses say so; plan_memory's other arguments are taken too.",
	}, func(ctx context.Context, q CompareQuery) (*Comparison, error) { return q.compare(ctx, opts) })
}

// machine is hardware and what the caller called it.
type machine struct {
	name string
	hw   engine.Hardware
}

func (q CompareQuery) compare(ctx context.Context, opts Options) (*Comparison, error) {
	found, err := q.models(ctx, opts)
	if err != nil {
		return nil, err
	}
	machines, err := q.machines(ctx, opts)
	if err != nil {
		return nil, err
	}
	engines := q.Engines
	if len(engines) == 0 {
		engines = []EngineName{q.Engine}
	}
	schemes := q.WeightList
	if len(schemes) == 0 {
		schemes = []string{q.Weights}
	}
	if n := len(found) * len(machines) * len(engines) * len(schemes); n > mostRows {
		return nil, model.Errorf(model.InvalidArgument, "models", "%d combinations, at most %d can be compared", n, mostRows).WithHint("shorten one of the lists")
	}
	accept := calc.Accept(q.Accept == "tight")
	var rows []calc.Row
	out := &Comparison{Rows: []ComparedPlan{}}
	for _, f := range found {
		for _, hw := range machines {
			for _, e := range engines {
				for _, w := range schemes {
					load := q.load()
					load.Weights = w
					r := calc.NewRow(calc.Request{Model: f.Model, Engine: string(e), Load: load, Hardware: hw.hw}, "", accept)
					rows = append(rows, r)
					out.Rows = append(out.Rows, comparedPlan(&r, f.Reference, string(e), w, hw.name))
				}
			}
		}
	}
	best, why := calc.Best(rows)
	if out.Why = why; best >= 0 {
		out.Best = &best
	}
	return out, nil
}

func (q CompareQuery) models(ctx context.Context, opts Options) ([]*lookup.Result, error) {
	if len(q.Models) == 0 {
		r, err := q.resolve(ctx, opts.Offline)
		if err != nil {
			return nil, err
		}
		return []*lookup.Result{r}, nil
	}
	if q.Model != "" || len(q.Config) > 0 {
		return nil, model.Errorf(model.InvalidArgument, "models", "give either models or one model, not both")
	}
	var out []*lookup.Result
	for _, ref := range q.Models {
		r, err := lookup.Resolve(ctx, lookup.Request{Ref: ref, Offline: opts.Offline})
		if err != nil {
			return nil, rename(err, "model", "models")
		}
		out = append(out, r)
	}
	return out, nil
}

func (q CompareQuery) machines(ctx context.Context, opts Options) ([]machine, error) {
	if len(q.Devices) == 0 {
		hw, err := q.Hardware.resolve(ctx, opts)
		if err != nil {
			return nil, err
		}
		return []machine{{q.Hardware.String(), hw}}, nil
	}
	if q.Hardware != nil {
		return nil, model.Errorf(model.InvalidArgument, "hardware_list", "give either hardware_list or one hardware, not both")
	}
	var out []machine
	for _, text := range q.Devices {
		hw, err := (&Hardware{Text: text}).resolve(ctx, opts)
		if err != nil {
			return nil, rename(err, "hardware", "hardware_list")
		}
		out = append(out, machine{text, hw})
	}
	return out, nil
}

func comparedPlan(r *calc.Row, ref, eng, weights, hw string) ComparedPlan {
	if weights == "" {
		weights = "auto"
	}
	p := ComparedPlan{Model: ref, Engine: eng, Weights: weights, Bits: r.Bits, Hardware: hw, Verdict: "refused", Reason: r.Reason}
	x := r.Result
	if x == nil {
		return p
	}
	p.Engine, p.Version, p.Verdict = x.Engine, x.Version, string(x.Verdict)
	p.Required, p.Low, p.High, p.WeightB = int64(x.Totals.Required), int64(x.Totals.Low), int64(x.Totals.High), int64(x.Totals.Weights)
	p.PerSeq, p.Capacity, p.MaxConcur = int64(x.Cache.PerSequence), x.Cache.CapacityTokens, x.Cache.MaxConcurrency
	for i := range x.Devices {
		if d := deviceUse(&x.Devices[i]); d.Headroom != nil && (p.Headroom == nil || *d.Headroom < *p.Headroom) {
			p.Headroom = d.Headroom
		}
	}
	return p
}

// Text is a table, the best row first marked.
func (c *Comparison) Text() string {
	var b strings.Builder
	if c.Best != nil {
		fmt.Fprintf(&b, "Best: row %d, %s: %s.\n", *c.Best+1, c.Rows[*c.Best].label(), c.Why)
	} else {
		fmt.Fprintf(&b, "No row is best: %s.\n", c.Why)
	}
	const most = 16
	for i := range c.Rows {
		if i == most {
			fmt.Fprintf(&b, "… %d more in rows.\n", len(c.Rows)-most)
			break
		}
		r := &c.Rows[i]
		fmt.Fprintf(&b, "%d. %s: %s", i+1, r.label(), strings.ReplaceAll(r.Verdict, "_", " "))
		if r.Required > 0 {
			fmt.Fprintf(&b, ", %s", engine.Bytes(r.Required))
		}
		if r.Headroom != nil && *r.Headroom >= 0 {
			fmt.Fprintf(&b, ", %s left", engine.Bytes(*r.Headroom))
		} else if r.Verdict != "fits" && r.Verdict != "tight" {
			fmt.Fprintf(&b, " (%s)", r.Reason)
		}
		b.WriteByte('\n')
	}
	b.WriteString("Next: plan_memory with a row's model, engine, weights and hardware for its terms.\n")
	return b.String()
}

func (p *ComparedPlan) label() string {
	parts := []string{p.Model, p.Engine, p.Weights}
	if p.Hardware != "" {
		parts = append(parts, p.Hardware)
	}
	return strings.Join(parts, " · ")
}
