package tools

import (
	"context"
	"encoding/json"

	"hwledger/calc"
	"hwledger/calc/lookup"
	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

// contestSchemes are what checkpoints and GGUFs of most models are published
// in, best first.
var contestSchemes = []string{"auto", "fp8", "Q8_0", "Q6_K", "Q5_K_M", "awq", "Q4_K_M", "Q3_K_M"}

// defaultContest is the context that a model has to have when none is asked
// for.
const defaultContest = 8192

// models finds the best models for the hardware: of the candidates, else of
// the whole catalogue.
func (f *fitting) models(ctx context.Context) (*Fit, error) {
	if f.q.Model != "" || len(f.q.Config) > 0 {
		return nil, model.Errorf(model.InvalidArgument, "model", "objective model looks for a model").WithHint("leave model out, or name several in candidates")
	}
	if f.req.Load.ContextTokens == 0 {
		f.req.Load.ContextTokens = defaultContest
	}
	c := calc.Contest{Request: f.req, Schemes: contestSchemes, Accept: f.accept, Wanted: f.q.Limit}
	if w := f.q.Weights; w != "" && w != "auto" {
		c.Schemes = []string{w}
	} else if f.req.Engine != "" {
		c.Schemes = nil // of the engine, for each model
	}
	contenders, err := f.contenders(ctx)
	if err != nil {
		return nil, err
	}
	options, skipped := c.Run(contenders)
	out := f.fit(options)
	out.NotTried += skipped
	out.Ranking = "most parameters first, each with the most bits that fit, at least four where possible; quality itself is not measured"
	return out, nil
}

func (f *fitting) contenders(ctx context.Context) ([]calc.Contender, error) {
	if len(f.q.Candidates) > 0 {
		out := make([]calc.Contender, len(f.q.Candidates))
		for i, ref := range f.q.Candidates {
			r, err := lookup.Resolve(ctx, lookup.Request{Ref: ref, Offline: f.opts.Offline})
			if err != nil {
				return nil, rename(err, "model", "candidates")
			}
			out[i] = calc.Contender{Ref: ref, Params: r.Model.Count().Total, Load: func() (*model.Model, error) { return r.Model, nil }}
		}
		return out, nil
	}
	var out []calc.Contender
	err := catalog.All(func(e *catalog.Entry) bool {
		out = append(out, calc.Contender{Ref: e.ID, Params: e.Params, Load: func() (*model.Model, error) {
			m, err := hfconfig.Parse(e.Config)
			if err == nil && m.Context == 0 {
				m.Context = e.Context
			}
			return m, err
		}})
		return true
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// arguments are what the call gave besides the objective, for plan_memory.
func (f *fitting) arguments() map[string]any {
	q := f.q
	raw, err := json.Marshal(struct {
		ModelArgs
		LoadArgs
	}{q.ModelArgs, q.LoadArgs})
	args := map[string]any{}
	if err == nil {
		_ = json.Unmarshal(raw, &args) // of what was just marshalled
	}
	if h := q.Hardware; h != nil && h.Text != "" {
		args["hardware"] = h.Text
	} else if h != nil {
		args["hardware"] = map[string]any{"memory_bytes": h.MemoryBytes, "count": h.Count}
	}
	return args
}
