package search

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"hwledger/calc/lookup"
	"hwledger/calc/lookup/catalog"
	"hwledger/calc/model"
)

// maxLocal is the most models of this machine whose headers a filter reads.
const maxLocal = 200

// entry is a catalogue entry and, once somebody asked, what its configuration
// amounts to.
type entry struct {
	*catalog.Entry
	facts func() (Facts, error)
}

// entries are the catalogue's, read once: they take less than a megabyte, and
// a conversation searches more than once.
var entries = sync.OnceValues(func() ([]*entry, error) {
	var out []*entry
	err := catalog.All(func(e *catalog.Entry) bool {
		out = append(out, &entry{e, sync.OnceValues(func() (Facts, error) {
			var f Facts
			r, err := lookup.FromEntry(e, e.ID)
			if err == nil {
				f.fromModel(r)
			}
			return f, err
		})})
		return true
	})
	return out, err
})

// findNear finds what this machine and the catalogue have, in order, and says
// what each place said.
func (s *session) findNear(ctx context.Context) error {
	rows, err := s.candidates(ctx)
	if err != nil {
		return err
	}
	rows = s.matching(rows)
	s.near = merge(rows)
	if err := s.settle(ctx); err != nil {
		return err
	}
	slices.SortFunc(s.near, compare)
	keys := make([]string, len(s.near))
	s.taken = make(map[string]*row, len(s.near))
	for i, r := range s.near {
		keys[i] = r.key
		s.taken[r.key] = r
		for _, name := range r.Sources {
			s.count(name)
		}
	}
	s.nearPrint = fingerprint(keys...)
	return ctx.Err()
}

// candidates lists the places that the filter lets be asked.
func (s *session) candidates(ctx context.Context) ([]*row, error) {
	var rows []*row
	if s.q.Filter.Source == "" || s.q.Filter.Source != "hub" && s.q.Filter.Source != "catalog" {
		rows = s.listLocal(ctx)
	}
	if s.q.asks("catalog") {
		all, err := entries()
		if err != nil {
			return nil, &model.Error{Code: model.Internal, Message: "reading the embedded catalogue", Err: err}
		}
		s.sources = append(s.sources, Source{Name: "catalog", State: "ok"})
		for _, e := range all {
			r := &row{Model: Model{Reference: "catalog:" + e.ID, Name: e.ID, Sources: []string{"catalog"}}, key: keyOf(e.ID), place: catalogued, entry: e}
			r.fromEntry(e.Entry)
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// listLocal asks the places on this machine. One that says nothing is absent:
// its program or its store is not there, or it is empty.
func (s *session) listLocal(ctx context.Context) []*row {
	var rows []*row
	list := s.q.Local
	if list == nil {
		list = lookup.List
	}
	places := lookup.Places()
	said := map[string]lookup.Listed{}
	for _, l := range list(ctx) {
		if said[l.Source] = l; !slices.Contains(places, l.Source) {
			places = append(places, l.Source)
		}
	}
	for _, place := range places {
		if !s.q.asks(place) {
			continue
		}
		l, ok := said[place]
		src := Source{Name: place, State: "ok"}
		switch {
		case l.Err != nil:
			src.State, src.Reason = state(l.Err), reason(l.Err)
		case !ok:
			src.State, src.Reason = "absent", "nothing was found: it is not installed, not running, or has no models"
		}
		s.sources = append(s.sources, src)
		for _, m := range l.Models {
			name := lookup.Clean(nameOf(m.Ref), lookup.MaxText)
			r := &row{Model: Model{Reference: m.Ref, Name: name, Sources: []string{place}, Updated: m.Modified}, key: keyOf(name), local: m.Ref}
			r.StoredBytes = m.Bytes
			rows = append(rows, r)
		}
	}
	return rows
}

// nameOf returns the name in a reference: without its prefix and revision, or
// the last part of a path.
func nameOf(ref string) string {
	if filepath.IsAbs(ref) || strings.HasPrefix(ref, ".") {
		return path.Base(filepath.ToSlash(ref))
	}
	head, rest, ok := strings.Cut(ref, ":")
	if ok && !strings.Contains(head, "/") && (head == "hf" || slices.Contains(lookup.Places(), head)) {
		ref = rest
	}
	name, rev, _ := strings.Cut(ref, "@")
	if _, quant, ok := strings.Cut(rev, ":"); ok {
		name += ":" + quant
	}
	return name
}

// matching keeps the rows whose name matches the text; when there is none,
// those whose name is like it.
func (s *session) matching(rows []*row) []*row {
	var out []*row
	for _, r := range rows {
		if rank, ok := s.match.rank(r.Name); ok {
			r.rank = rank
			out = append(out, r)
		}
	}
	if len(out) > 0 || s.match.empty() {
		return out
	}
	byName := map[string][]*row{}
	var names []string
	for _, r := range rows {
		if byName[r.Name] == nil {
			names = append(names, r.Name)
		}
		byName[r.Name] = append(byName[r.Name], r)
	}
	for i, n := range s.match.similar(s.q.Text, names) {
		for _, r := range byName[n] {
			r.rank, r.order = fuzzy, i
			out = append(out, r)
		}
	}
	return out
}

// merge makes one row of those that are the same model, in the order of their
// first ones: what this machine has is read from it, the catalogue adds what
// it knows.
func merge(rows []*row) []*row {
	byKey := make(map[string]*row, len(rows))
	var out []*row
	for _, r := range rows {
		have := byKey[r.key]
		if have == nil {
			byKey[r.key] = r
			out = append(out, r)
			continue
		}
		for _, name := range r.Sources {
			if !slices.Contains(have.Sources, name) {
				have.Sources = append(have.Sources, name)
			}
		}
		if r.entry != nil {
			have.entry = r.entry
			bytes := have.StoredBytes
			have.fromEntry(r.entry.Entry)
			set(&have.StoredBytes, bytes)
		}
	}
	return out
}

// settle decides the filter for what this machine and the catalogue have,
// reading as much as that takes.
func (s *session) settle(ctx context.Context) error {
	var open []*row
	headers, skipped := 0, 0
	for _, r := range s.near {
		if r.known = s.q.Filter.match(&r.Facts, r.Reference); r.known != unclear {
			continue
		}
		if r.local != "" && r.entry == nil {
			if headers++; headers > maxLocal {
				skipped++
				continue
			}
		}
		open = append(open, r)
	}
	err := parallel(ctx, len(open), workers, func(i int) {
		r := open[i]
		if err := r.learn(ctx); err != nil {
			r.Unread = reason(err)
		}
		r.known = s.q.Filter.match(&r.Facts, r.Reference)
	})
	if skipped > 0 {
		s.note(fmt.Sprintf("only the first %d of %d models were read for the filters", maxLocal, headers))
	}
	s.near = slices.DeleteFunc(s.near, func(r *row) bool {
		if r.known == unclear && s.q.Cursor == "" { // said once
			s.unclear++
		}
		return r.known != yes
	})
	return err
}

// note adds a reason to the places on this machine that were asked.
func (s *session) note(reason string) {
	for i := range s.sources {
		if x := &s.sources[i]; x.State == "ok" && x.Name != "catalog" && x.Name != "hub" {
			x.Reason = reason
		}
	}
}

// state names the state of a place that could not be read.
func state(err error) string {
	var e *model.Error
	if errors.As(err, &e) {
		switch e.Code {
		case model.Offline:
			return "offline"
		case model.Denied:
			return "denied"
		}
	}
	return "failed"
}

// reason is an error as one line of text.
func reason(err error) string { return lookup.Clean(err.Error(), lookup.MaxText) }
