package lookup

import (
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
)

// inline describes a model from a config.json given by the caller.
func inline(raw []byte) (*Result, error) {
	m, err := hfconfig.Parse(raw)
	if err != nil {
		return nil, err
	}
	return finish(&Result{Model: m, Reference: "config", ResolvedFrom: "inline"}), nil
}

// finish makes text from files safe to show and collects the facts.
func finish(r *Result) *Result {
	m := r.Model
	m.Name, m.License = Clean(m.Name, MaxText), Clean(m.License, MaxText)
	m.Type, m.Architecture = Clean(m.Type, MaxText), Clean(m.Architecture, MaxText)
	if r.License == "" {
		r.License = m.License
	}
	r.License = Clean(r.License, MaxText)
	r.Provenance = append(r.Provenance, m.Facts...)
	for i := range r.Provenance {
		f := &r.Provenance[i]
		f.Field, f.Value, f.From = Clean(f.Field, MaxText), Clean(f.Value, MaxText), Clean(f.From, MaxText)
	}
	return r
}

// fact is shorthand for one line of provenance.
func fact(field, value, from string) model.Fact {
	return model.Fact{Field: field, Value: value, From: from}
}
