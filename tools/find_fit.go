package tools

import (
	"context"
	"fmt"
	"strings"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/hardware"
	"hwledger/calc/model"
)

// FitQuery is the input of find_fit.
type FitQuery struct {
	Objective  string `json:"objective" required:"true" enum:"context,sequences,quantization,hardware,model,throughput" doc:"What to find: the longest context, the most sequences at once, the best weight quantization, the smallest or cheapest hardware, the best model for the hardware, or the most tokens per second." alias:"goal,maximize,find,target"`
	ModelArgs  `brief:"true"`
	LoadArgs   `brief:"true"`
	Hardware   *Hardware `json:"hardware,omitempty" doc:"What to fit into, as in plan_memory; not for objective hardware." alias:"gpu,gpus,device,devices,accelerator,vram,memory,gpu_name" brief:"true"`
	Candidates []string  `json:"candidates,omitempty" doc:"Try only these: weight schemes for quantization and throughput, hardware texts for hardware, model references for model." alias:"options,among,choices"`
	Prefer     string    `json:"prefer,omitempty" enum:"smallest,cheapest" default:"smallest" doc:"For objective hardware: least memory, or lowest recorded cloud price."`
	Accept     string    `json:"accept,omitempty" enum:"fits,tight" default:"fits" doc:"fits keeps the high end of every range within memory; tight lets the expected size decide." alias:"certainty"`
	Limit      int       `json:"limit,omitempty" doc:"Most options that fit to find, and most rejected ones to list." min:"1" max:"50" default:"5" alias:"max_results,top_k"`
}

// Fit is the output of find_fit.
type Fit struct {
	Objective string `json:"objective"`
	// Found reports whether anything fits.
	Found bool `json:"found"`
	// Maximum is the number that was solved for: one more does not fit.
	Maximum int64        `json:"maximum,omitempty"`
	Best    *FitBest     `json:"best,omitempty"`
	Binding *BindingInfo `json:"binding_constraint,omitempty"`
	Options []FitOption  `json:"options"`
	// Rejected counts options that do not fit, of which Options lists some,
	// and NotTried those that were passed over.
	Rejected int      `json:"rejected"`
	NotTried int      `json:"not_tried"`
	Ranking  string   `json:"ranking,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

// FitBest is the solution as arguments of plan_memory, and what it takes.
type FitBest struct {
	Arguments map[string]any `json:"arguments"`
	Verdict   string         `json:"verdict"`
	Engine    string         `json:"engine"`
	Totals    Totals         `json:"totals"`
	Headroom  *int64         `json:"headroom_bytes,omitempty"`
}

// BindingInfo is what keeps the solution from being larger.
type BindingInfo struct {
	Kind     string `json:"kind" enum:"memory,model_context,engine,limit"`
	Device   string `json:"device,omitempty"`
	Category string `json:"category,omitempty"`
	Short    int64  `json:"short_by_bytes,omitempty"`
	Text     string `json:"text"`
}

// FitOption is one option that was judged.
type FitOption struct {
	Name      string         `json:"name"`
	Arguments map[string]any `json:"arguments"`
	Fits      bool           `json:"fits"`
	Reason    string         `json:"reason"`
	Required  int64          `json:"required_bytes,omitempty"`
	Parameter int64          `json:"parameters_total,omitempty"`
	USD       float64        `json:"usd_per_hour,omitempty"`
}

func findFit(opts Options) Tool {
	return define(Tool{
		Name: "find_fit", Title: "Find what fits", Toolset: PlanSet, Effect: Effect{Network: true},
		Description: "The inverse of plan_memory: solves for the longest context, the most sequences, the best quantization, the smallest or cheapest hardware, or the best model that fits, exactly: one more token or sequence does not. " +
			"Names what binds, and says of every rejected option why. Use it instead of calling plan_memory with guesses; call plan_memory with best.arguments for the details. plan_memory's other arguments are taken too.",
	}, func(ctx context.Context, q FitQuery) (*Fit, error) {
		f := fitting{q: q, opts: opts, accept: calc.Accept(q.Accept == "tight")}
		f.q.Limit = max(1, q.Limit)
		if q.Limit == 0 {
			f.q.Limit = 5
		}
		return f.run(ctx)
	})
}

// fitting is one call of find_fit.
type fitting struct {
	q      FitQuery
	opts   Options
	accept calc.Accept
	req    calc.Request
}

func (f *fitting) run(ctx context.Context) (*Fit, error) {
	var err error
	if f.q.Objective != "hardware" {
		if f.req.Hardware, err = f.q.Hardware.resolve(ctx, f.opts); err != nil {
			return nil, err
		}
		if len(f.req.Hardware.Devices) == 0 {
			return nil, model.Errorf(model.InvalidArgument, "hardware", "objective %s needs hardware", f.q.Objective).
				WithHint(`give hardware, such as "RTX 4090", "2x H100-80GB" or {"memory_bytes": 25757220864}`)
		}
	}
	f.req.Engine, f.req.Load = string(f.q.Engine), f.q.load()
	if f.q.Objective == "model" {
		return f.models(ctx)
	}
	found, err := f.q.resolve(ctx, f.opts.Offline)
	if err != nil {
		return nil, err
	}
	f.req.Model = found.Model
	switch f.q.Objective {
	case "context":
		return f.number(calc.MaxContext, "context_tokens")
	case "sequences":
		return f.number(calc.MaxSequences, "sequences")
	case "hardware":
		return f.hardware()
	case "throughput":
		return f.throughput()
	}
	return f.quantization()
}

// number solves for a number of the load.
func (f *fitting) number(solve func(calc.Request, calc.Accept) (*calc.Maximum, error), field string) (*Fit, error) {
	m, err := solve(f.req, f.accept)
	if err != nil {
		return nil, err
	}
	out := &Fit{Objective: f.q.Objective, Found: m.Value > 0, Maximum: m.Value, Binding: bindingInfo(m.Binding), Options: []FitOption{}}
	if out.Found {
		out.Best = f.best(m.Result, map[string]any{field: m.Value})
		return out, nil
	}
	for _, s := range calc.Suggest(f.req, m.Result) {
		out.Options = append(out.Options, FitOption{Name: s.Change, Arguments: s.Arguments, Fits: s.Fits, Reason: "the same load fits with this change", Required: int64(s.Required)})
	}
	return out, nil
}

// best describes a solution: the call's own arguments with what was found.
func (f *fitting) best(r *calc.Result, found map[string]any) *FitBest {
	args := f.arguments()
	for k, v := range found {
		args[k] = v
	}
	b := &FitBest{Arguments: args, Verdict: string(r.Verdict), Engine: r.Engine, Totals: Totals{Sizes: sizes(&r.Totals), Low: int64(r.Totals.Low), High: int64(r.Totals.High)}}
	for i := range r.Devices {
		if d := deviceUse(&r.Devices[i]); d.Headroom != nil && (b.Headroom == nil || *d.Headroom < *b.Headroom) {
			b.Headroom = d.Headroom
		}
	}
	return b
}

func (f *fitting) quantization() (*Fit, error) {
	changes, err := calc.QuantizationChanges(f.req, f.q.Candidates)
	if err != nil {
		return nil, err
	}
	out := f.fit(calc.First(f.req, changes, f.accept, f.q.Limit))
	out.Ranking = "most bits first"
	return out, nil
}

// throughput finds the scheme that makes most tokens per second with as many
// sequences as fit.
func (f *fitting) throughput() (*Fit, error) {
	changes, err := calc.QuantizationChanges(f.req, f.q.Candidates)
	if err != nil {
		return nil, err
	}
	rated := calc.Fastest(f.req, changes, f.accept)
	options := make([]calc.Option, len(rated))
	for i := range rated {
		options[i] = rated[i].Option
	}
	out := f.fit(options)
	out.Ranking = "most tokens per second of all sequences, by the low end of the range"
	return out, nil
}

func (f *fitting) hardware() (*Fit, error) {
	ladder := hardware.Ladder()
	ranking := "least memory first"
	if f.q.Prefer == "cheapest" {
		ladder, ranking = hardware.ByPrice(ladder), "lowest recorded cloud price first; accelerators without one are left out"
	}
	price := map[string]float64{}
	var changes []calc.Change
	add := func(name string, hw engine.Hardware) {
		changes = append(changes, calc.Change{Name: name, Arguments: map[string]any{"hardware": name}, Apply: func(r *calc.Request) { r.Hardware = hw }})
	}
	for _, name := range f.q.Candidates {
		hw, err := hardware.Parse(name)
		if err != nil {
			return nil, rename(err, "hardware", "candidates")
		}
		ranking = "in the order given"
		add(name, hw)
	}
	if len(f.q.Candidates) == 0 {
		for _, r := range ladder {
			add(r.Name, engine.Hardware{Devices: r.Devices})
			price[r.Name] = r.USDPerHour
		}
	}
	out := f.fit(calc.First(f.req, changes, f.accept, f.q.Limit))
	out.Ranking = ranking
	for i := range out.Options {
		out.Options[i].USD = price[out.Options[i].Name]
	}
	return out, nil
}

// fit makes an answer of judged options: those that fit, after the last of
// those before them that do not, which are the nearest misses.
func (f *fitting) fit(options []calc.Option) *Fit {
	out := &Fit{Objective: f.q.Objective, Options: []FitOption{}}
	var missed []FitOption
	for i := range options {
		o := &options[i]
		x := FitOption{Name: o.Name, Arguments: o.Arguments, Fits: o.Fits, Reason: o.Reason, Parameter: o.Parameters}
		if o.Result != nil {
			x.Required = int64(o.Result.Totals.Required)
		}
		switch {
		case o.Fits:
			if !out.Found {
				out.Found, out.Best = true, f.best(o.Result, o.Arguments)
			}
			out.Options = append(out.Options, x)
		case o.Passed:
			out.NotTried++
		default:
			out.Rejected++
			missed = append(missed, x)
			if !out.Found {
				out.Binding = bindingInfo(o.Binding)
			}
		}
	}
	out.Options = append(out.Options, missed[max(0, len(missed)-f.q.Limit):]...)
	return out
}

func bindingInfo(b calc.Binding) *BindingInfo {
	if b.Kind == "" {
		return nil
	}
	return &BindingInfo{Kind: b.Kind, Device: b.Device, Category: b.Category, Short: int64(b.Short), Text: b.Text}
}

// Text says what was found, what binds, and what comes next.
func (f *Fit) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	switch {
	case f.Found && f.Maximum > 0:
		line("The most %s that fit: %s.", map[string]string{"context": "tokens of context", "sequences": "sequences"}[f.Objective], number(f.Maximum))
	case f.Found:
		line("Best: %s.", f.Options[0].Name)
	default:
		line("Nothing fits.")
	}
	if f.Best != nil {
		line("It needs %s under %s (%s).", engine.Bytes(f.Best.Totals.Required), f.Best.Engine, f.Best.Verdict)
	}
	if f.Binding != nil {
		line("Bound by %s.", f.Binding.Text)
	}
	const most = 6
	for i, o := range f.Options {
		if i == most {
			line("… %d more in options.", len(f.Options)-most)
			break
		}
		mark := "no "
		if o.Fits {
			mark = "yes"
		}
		line("%s %s: %s.", mark, o.Name, o.Reason)
	}
	if f.Ranking != "" {
		line("Order: %s. %d rejected, %d not tried.", f.Ranking, f.Rejected, f.NotTried)
	}
	if f.Found {
		line("Next: plan_memory with best.arguments for the terms.")
	} else {
		line("Next: try an option that fits, or widen the candidates.")
	}
	return b.String()
}
