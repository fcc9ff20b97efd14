package lookup

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
	"hwledger/calc/model/hfconfig"
	"hwledger/calc/near"
)

func init() {
	register(source{name: "catalog", rank: 50, claims: catalogued, resolve: fromCatalogue})
}

// catalogued reports whether ref is catalog:org/name, hf:org/name, org/name
// or a bare name.
func catalogued(ref string) bool {
	if rest, ok := strings.CutPrefix(ref, "catalog:"); ok {
		return rest != ""
	}
	name := hubName(ref)
	return name != "" && !isPath(name)
}

// hubName returns org/name of a reference to a whole Hub repository, without
// prefix and revision, or "" when it means something else.
func hubName(ref string) string {
	name := strings.TrimPrefix(ref, "hf:")
	if i := strings.IndexByte(name, '@'); i >= 0 {
		name = name[:i]
	}
	if strings.ContainsAny(name, ": \\") || strings.Count(name, "/") > 1 {
		return ""
	}
	return name
}

func fromCatalogue(_ context.Context, ref string, _ Request) (*Result, error) {
	name, only := strings.CutPrefix(ref, "catalog:")
	if !only {
		name = hubName(ref)
	}
	e, ok, err := find(name)
	if err != nil {
		return nil, &model.Error{Code: model.Internal, Message: "reading the embedded catalogue", Err: err}
	}
	if !ok {
		return nil, unknownModel(ref, name)
	}
	r, err := FromEntry(e, name)
	if err != nil {
		return nil, err
	}
	if _, rev, ok := strings.Cut(ref, "@"); ok && !only && rev != "main" {
		r.Provenance = append(r.Provenance, fact("revision", "main", "the embedded catalogue keeps no other revision than the published one; "+Clean(rev, MaxText)+" was not looked at"))
	}
	return r, nil
}

// FromEntry describes the model of a catalogue entry that was asked for as
// name. Errors are the parser's.
func FromEntry(e *catalog.Entry, name string) (*Result, error) {
	m, err := hfconfig.Parse(e.Config)
	if err != nil {
		return nil, err
	}
	m.Name = e.ID
	r := &Result{Model: m, Reference: "catalog:" + e.ID, ResolvedFrom: "catalog", License: e.License, StoredBytes: e.Bytes, PublishedParams: e.Published}
	if r.PublishedParams == 0 && e.Check == catalog.CheckExact {
		r.PublishedParams = e.Params
	}
	if m.Context == 0 {
		m.Context = e.Context
	}
	r.Provenance = catalogueFacts(e, name)
	return finish(r), nil
}

// find looks a name up with its organisation, or without one when a single
// organisation has a model of that name.
func find(name string) (*catalog.Entry, bool, error) {
	if strings.Contains(name, "/") {
		return catalog.Find(name)
	}
	ids, err := catalog.Names()
	if err != nil {
		return nil, false, err
	}
	found := ""
	for _, id := range ids {
		if _, n, _ := strings.Cut(id, "/"); strings.EqualFold(n, name) {
			if found != "" {
				return nil, false, nil
			}
			found = id
		}
	}
	if found == "" {
		return nil, false, nil
	}
	return catalog.Find(found)
}

// catalogueFacts says how an entry is known.
func catalogueFacts(e *catalog.Entry, asked string) []model.Fact {
	from := map[catalog.Known]string{
		catalog.Verbatim: "catalogue: published config.json",
		catalog.Values:   "catalogue: values of the model card, code or published tables",
	}[e.Known]
	if e.Sources > 1 {
		from += fmt.Sprintf(", %d copies agree", e.Sources)
	}
	out := []model.Fact{fact("config", e.ID, from)}
	if !strings.EqualFold(asked, e.ID) {
		out = append(out, fact("reference", e.ID, "the only catalogue entry named "+asked))
	}
	count := strconv.FormatInt(e.Params, 10)
	switch e.Check {
	case catalog.CheckExact:
		out = append(out, fact("parameters_total", count, "equals the count published with the weights"))
	case catalog.CheckExplained:
		out = append(out, fact("parameters_total", count, fmt.Sprintf("published are %d: %s", e.Published, e.Why)))
	case catalog.CheckComputed:
		out = append(out, fact("parameters_total", count, "computed from the configuration; no published count to compare"))
	default:
		out = append(out, fact("parameters_total", "", "computed from the configuration; not checked against a count"))
	}
	if e.License != "" {
		out = append(out, fact("license", e.License, "catalogue"))
	}
	return out
}

// unknownModel is the error for a name that the catalogue does not have, with
// the names most like it.
func unknownModel(ref, name string) error {
	e := model.Errorf(model.ModelNotFound, "model", "%q is not in the embedded catalogue", Clean(ref, MaxText))
	ids, err := catalog.Names()
	if err == nil {
		e.Candidates = near.Names(name, ids, 5)
		if _, short, ok := strings.Cut(name, "/"); ok && len(e.Candidates) < 5 {
			e.Candidates = merge(e.Candidates, near.Names(short, ids, 5), 5)
		}
	}
	if len(e.Candidates) > 0 {
		return e.WithHint("use a candidate, the path of its files, or its config.json as \"config\"")
	}
	return e.WithHint("give the path of its files or its config.json as \"config\"")
}

func merge(a, b []string, n int) []string {
next:
	for _, s := range b {
		for _, have := range a {
			if have == s {
				continue next
			}
		}
		a = append(a, s)
	}
	return a[:min(n, len(a))]
}
