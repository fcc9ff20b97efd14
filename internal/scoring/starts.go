package scoring

import (
	"hwledger/calc/engine"
)

// Start is one recorded start of vLLM beside its plan: what calibration needs
// to fit and to check figures. Sizes are GiB of the rank that the log printed;
// nil where the log does not say.
type Start struct {
	ID, Model, Release, Source string
	TP, PP                     int64
	// Device is what it ran on; nil when the log does not name it.
	Device *engine.Device
	Eager  bool
	// Multimodal: the model has towers beside its language model.
	Multimodal bool

	Weights, Activation, OutsideTorch, Graphs, GraphEstimate, Before, Total *float64

	// Terms are the plan's of that rank.
	Terms []engine.Term
	// Usage is the whole plan.
	Usage *engine.Usage
	// Figures are the scores of the plan, by the names of the report.
	Figures map[string]Score
}

// Score is one figure of a log beside the plan's.
type Score struct {
	Observed, Planned, Low, High float64
	// Error is planned ÷ observed − 1; Within says that it is within the
	// report's limit and Inside that the log's figure is in the plan's range,
	// beyond what the print rounds.
	Error          float64
	Within, Inside bool
	// Ranged: the plan has a range for it.
	Ranged bool
}

// Set is the starts of some files.
type Set struct {
	rows   []row
	models *models
}

// Open reads files of records for calibration. models is a directory of
// config.json files that is asked before the embedded catalogue, or empty.
func Open(files []string, models string) (*Set, error) {
	rows, err := readFiles(files)
	if err != nil {
		return nil, err
	}
	ms, err := newModels(models)
	if err != nil {
		return nil, err
	}
	return &Set{rows: rows, models: ms}, nil
}

// Len is how many rows there are.
func (s *Set) Len() int { return len(s.rows) }

// Plan plans row i with an engine; nil for a row that cannot be scored.
func (s *Set) Plan(i int, e engine.Engine) *Start {
	r := &s.rows[i]
	res, p := scoreWith(r, s.models, e)
	if p == nil {
		return nil
	}
	o := &r.Observed
	st := &Start{
		ID: r.ID, Model: res.Matched, Release: r.release(), Source: r.Source, TP: res.TP, PP: res.PP, Eager: r.Eager, Multimodal: p.found.m.Multimodal,
		Weights: o.Weights, Activation: o.Activation, OutsideTorch: o.NonTorch, Graphs: o.Graphs, GraphEstimate: o.Estimate, Before: o.Before,
		Usage: p.usage, Figures: map[string]Score{},
	}
	if len(p.hw.Devices) > 0 && p.hw.Devices[0].Vendor != "" {
		st.Device = &p.hw.Devices[0]
	}
	if res.Total != nil {
		st.Total = &res.Total.Observed
	}
	rank := p.rank(p.usage)
	for _, t := range p.usage.Terms {
		for _, d := range t.On {
			if d == rank {
				st.Terms = append(st.Terms, t)
			}
		}
	}
	for _, f := range figures {
		if x := f.get(&res); x != nil {
			st.Figures[f.name] = Score{x.Observed, x.Planned, x.Low, x.High, x.Error, x.beyond() <= f.limit, f.ranged && x.inside(), f.ranged}
		}
	}
	return st
}
