package search

import (
	"context"
	"slices"
	"strings"
	"time"

	"hwledger/calc/lookup"
	"hwledger/calc/near"
)

// hubPage is the number of models in one page of the Hub. It does not follow
// the limit, so that a cursor outlives a change of it.
const hubPage = 50

// hubTimeout bounds one page: there are other places to answer from.
const hubTimeout = 10 * time.Second

// hubWindow is one page of the Hub's answer, or why there is none.
type hubWindow struct {
	models []lookup.HubModel
	next   string
	err    error
}

func (s *session) hubWindow(ctx context.Context, page string) *hubWindow {
	ctx, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	q := lookup.HubQuery{Text: s.q.Text, Tags: s.q.Filter.tags(), Files: ggufType(near.Squash(s.q.Filter.Quantization)), Limit: hubPage, Page: page}
	if org, rest, ok := strings.Cut(s.q.Text, "/"); ok && rest == "" {
		q.Text, q.Author = "", org
	}
	p, err := lookup.SearchHub(ctx, q)
	if err != nil {
		return &hubWindow{err: err}
	}
	return &hubWindow{models: p.Models, next: p.Next}
}

// tags are what the Hub can filter by itself, so that fewer pages are read.
// Everything is checked again by what the models say.
func (f *Filter) tags() []string {
	var out []string
	if f.License != "" {
		out = append(out, "license:"+strings.ReplaceAll(strings.ToLower(f.License), " ", "-"))
	}
	switch want := near.Squash(f.Quantization); {
	case want == "gguf" || ggufType(want):
		out = append(out, "gguf")
	case strings.HasPrefix(want, "mlx"):
		out = append(out, "mlx")
	case want == "gptq" || want == "awq" || want == "fp8":
		out = append(out, want)
	}
	return out
}

// hubRows are the models of a page that may match, without those that this
// machine or the catalogue has; in the first window those are told what the
// Hub adds.
func (s *session) hubRows(w *hubWindow, first bool) []*row {
	var out []*row
	for i := range w.models {
		h := &w.models[i]
		r := &row{Model: Model{Reference: "hf:" + h.ID, Name: h.ID, Sources: []string{"hub"}, Downloads: h.Downloads, Updated: h.Modified, Gated: h.Gated}, key: keyOf(h.ID), place: onHub, hub: h}
		if have := s.taken[r.key]; have != nil {
			if first && !slices.Contains(have.Sources, "hub") {
				have.Sources = append(have.Sources, "hub")
				have.Downloads, have.Updated, have.Gated = h.Downloads, h.Modified, h.Gated
				have.fromHub(h)
				s.count("hub")
			}
			continue
		}
		rank, ok := s.match.rank(h.ID)
		if r.rank = rank; !ok {
			r.rank = other
		}
		r.fromHub(h)
		s.nameFile(r)
		if r.known = s.q.Filter.match(&r.Facts, r.Reference); r.known != no {
			s.count("hub")
			s.taken[r.key] = r
			out = append(out, r)
		}
	}
	return out
}

// nameFile makes the row mean the file of the quantization that is asked for,
// when the repository has one.
func (s *session) nameFile(r *row) {
	quant := s.q.Filter.Quantization
	for _, f := range r.hub.Files {
		if nameHas(strings.TrimSuffix(strings.ToLower(f), ".gguf"), quant) {
			r.Reference = "hf:" + r.hub.ID + ":" + strings.ToUpper(quant)
			r.Quantization = strings.ToUpper(quant)
			return
		}
	}
}
