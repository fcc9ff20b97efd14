package search

import (
	"context"
	"errors"
	"slices"

	"hwledger/calc/lookup"
	"hwledger/calc/model"
)

// session is one call of Search.
type session struct {
	q     Query
	match matcher
	// near are the models of this machine and of the catalogue that match, in
	// order, and taken the same by key.
	near      []*row
	taken     map[string]*row
	nearPrint string
	sources   []Source
	// at is where the walk is, in rows, the models of the window at.Page;
	// next continues after it.
	at      cursor
	rows    []*row
	next    string
	more    bool // there is a window after this one
	remote  int  // configurations that may still be asked for
	pages   int
	found   []Model
	unclear int
	unfit   int
}

// Bounds of one call: configurations fetched from the Hub, pages of its list,
// and models worked on at once.
const (
	maxRemote = 64
	maxPages  = 4
	workers   = 8
)

// count adds one to a place's models.
func (s *session) count(place string) {
	for i := range s.sources {
		if s.sources[i].Name == place {
			s.sources[i].Count++
		}
	}
}

// begin opens the window of the cursor. w is nil when the Hub is not asked.
func (s *session) begin(at cursor, w *hubWindow) {
	s.at = at
	switch {
	case w != nil && w.err != nil:
		s.sources = append(s.sources, Source{Name: "hub", State: state(w.err), Reason: reason(w.err)})
		s.at.Hub, w = false, nil
	case w != nil:
		s.sources = append(s.sources, Source{Name: "hub", State: "ok"})
	case s.q.Filter.Source == "" && s.q.Offline:
		s.sources = append(s.sources, Source{Name: "hub", State: "offline", Reason: "not asked: offline"})
	case s.q.asks("hub"):
		s.sources = append(s.sources, Source{Name: "hub", State: "offline", Reason: "not asked: it could not be reached when the search began"})
	}
	s.open(w)
}

// open makes the window's rows.
func (s *session) open(w *hubWindow) {
	first := s.at.Page == ""
	s.rows, s.next, s.more = nil, "", false
	if w != nil {
		s.rows = s.hubRows(w, first)
		s.next, s.more = w.next, w.next != ""
	}
	if first {
		s.rows = append(s.rows, s.near...)
	}
	slices.SortFunc(s.rows, compare)
	s.pages++
}

// walk goes through rows and windows until the page is full, nothing is left
// or a bound is reached.
func (s *session) walk(ctx context.Context) error {
	for {
		for s.at.Offset < len(s.rows) && len(s.found) < s.q.Limit {
			batch := s.batch()
			if len(batch) == 0 {
				return nil // the bound of configurations
			}
			if err := s.take(ctx, batch); err != nil {
				return err
			}
		}
		if len(s.found) == s.q.Limit || !s.more || s.pages == maxPages {
			return nil
		}
		w := s.hubWindow(ctx, s.next)
		if w.err != nil {
			if err := ctx.Err(); err != nil {
				return err
			}
			s.failed(w.err)
			return nil
		}
		s.at.Page, s.at.Offset = s.next, 0
		s.open(w)
	}
}

// failed says that the Hub gave no further page; the cursor tries it again.
func (s *session) failed(err error) {
	for i := range s.sources {
		if x := &s.sources[i]; x.Name == "hub" {
			x.State, x.Reason = state(err), reason(err)
		}
	}
}

// batch returns the next rows to look at: as many as the page has room for,
// and at least enough to keep the workers busy.
func (s *session) batch() []*row {
	rest := s.rows[s.at.Offset:]
	rest = rest[:min(len(rest), max(s.q.Limit-len(s.found), workers))]
	for i, r := range rest {
		if !s.reads(r) || !r.remote() {
			continue
		}
		if s.remote == 0 {
			return rest[:i]
		}
		s.remote--
	}
	return rest
}

// reads reports whether a row's model has to be read: for the filter, for the
// fit, or, when nobody else has to be asked, to say more about it.
func (s *session) reads(r *row) bool {
	return s.q.Fits != nil || r.known == unclear || !r.remote() && !r.read
}

// take looks at rows and puts those that match into the answer, in order.
func (s *session) take(ctx context.Context, batch []*row) error {
	if err := parallel(ctx, len(batch), workers, func(i int) { s.finish(ctx, batch[i]) }); err != nil {
		return err
	}
	for _, r := range batch {
		if len(s.found) == s.q.Limit {
			return nil
		}
		s.at.Offset++
		switch {
		case r.known == unclear:
			s.unclear++
		case r.known == no:
		case r.Fit != nil && r.Fit.Verdict == doesNotFit:
			s.unfit++
		default:
			if !s.match.empty() {
				r.MatchedBy = matchNames[r.rank]
			}
			s.found = append(s.found, r.Model)
		}
	}
	return nil
}

// finish reads a row's model as far as it is needed.
func (s *session) finish(ctx context.Context, r *row) {
	if !s.reads(r) {
		return
	}
	if s.q.Fits == nil {
		if err := r.learn(ctx); err != nil {
			r.Unread = message(err)
			return
		}
		s.decide(r)
		return
	}
	found, err := r.describe(ctx)
	if err != nil {
		r.Unread = message(err)
		r.Fit = &Fit{Verdict: unknownFit, Reason: r.Unread}
		return
	}
	r.fromModel(found)
	if s.decide(r); r.known == yes {
		f := s.q.Fits(ctx, found)
		r.Fit = &f
	}
}

// decide settles what was unclear; what was decided stays, as it was counted.
func (s *session) decide(r *row) {
	if r.known == unclear {
		r.known = s.q.Filter.match(&r.Facts, r.Reference)
	}
}

// message is what an error says, without the argument that it is about.
func message(err error) string {
	var e *model.Error
	if errors.As(err, &e) {
		return lookup.Clean(e.Message, lookup.MaxText)
	}
	return reason(err)
}

// answer is what the walk found.
func (s *session) answer() (*Answer, error) {
	a := &Answer{Models: s.found, Sources: s.sources, NotFitting: s.unfit, Unclear: s.unclear}
	at := s.at
	left := at.Offset < len(s.rows)
	if !left && s.more {
		at.Page, at.Offset, left = s.next, 0, true
	}
	if left {
		var err error
		if a.Next, err = at.encode(); err != nil {
			return nil, err
		}
	}
	// Rows that are still unclear, or may not fit, are not counted in advance.
	if s.q.Fits == nil && s.at.Page == "" && !s.more && !slices.ContainsFunc(s.rows, func(r *row) bool { return r.known == unclear }) {
		a.TotalKnown = true
		for _, r := range s.rows {
			if r.known == yes {
				a.Total++
			}
		}
	}
	return a, nil
}
