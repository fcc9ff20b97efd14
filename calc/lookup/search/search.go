// Package search finds models by text and by what they must be: in the stores
// of this machine, in the embedded catalogue and on the Hub. Whether a model
// fits on hardware is a function of the caller's.
package search

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"hwledger/calc/lookup"
	"hwledger/calc/model"
)

// Query asks for models.
type Query struct {
	// Text is in the names; all models match an empty one.
	Text   string
	Filter Filter
	// Limit is the most models to return, at least 1.
	Limit int
	// Cursor continues an earlier search with the same text, filter and Fits.
	Cursor string
	// Offline leaves the Hub out.
	Offline bool
	// Fits says whether a model fits; nil does not ask. FitsKey tells
	// different functions apart. Several goroutines call it at once.
	Fits    func(context.Context, *lookup.Result) Fit
	FitsKey string
	// Local lists what this machine has; nil is lookup.List.
	Local func(context.Context) []lookup.Listed
}

// Fit is whether a model fits.
type Fit struct {
	// Verdict is fits, tight, does_not_fit or unknown.
	Verdict string
	// RequiredBytes and UsableBytes are 0 when the verdict is unknown, and
	// Reason says why.
	RequiredBytes, UsableBytes int64
	Reason                     string
}

// The verdicts that a search treats specially.
const (
	doesNotFit = "does_not_fit"
	unknownFit = "unknown"
)

// Model is one model that was found.
type Model struct {
	// Reference is one that lookup.Resolve takes, Name org/name or the name in
	// its store, Sources the places that have it.
	Reference, Name string
	Sources         []string
	// MatchedBy says how the text is in the name, "" without a text.
	MatchedBy string
	Facts
	// Downloads of the last month and Updated are the Hub's; Updated is that
	// of the file for a model that only this machine has.
	Downloads int64
	Updated   time.Time
	// Gated models are downloaded after their conditions were accepted.
	Gated bool
	// Unread is why details of the model are missing, "" when none are.
	Unread string
	// Fit is nil when it was not asked for.
	Fit *Fit
}

// Source is what one place said.
type Source struct {
	Name string
	// State is ok, absent, offline, denied or failed; Reason explains all but
	// ok.
	State, Reason string
	// Count is the number of models that matched; of the Hub, on the page
	// that was read.
	Count int
}

// Answer is a page of models.
type Answer struct {
	Models  []Model
	Sources []Source
	// Next is the cursor of the next page, "" after the last one.
	Next string
	// Total counts all models that match; it is known when TotalKnown.
	Total      int
	TotalKnown bool
	// NotFitting counts models of this page's search that match and do not
	// fit, Unclear those left out because what a filter asks is not known.
	NotFitting, Unclear int
}

// MaxLimit is the most models of one page.
const MaxLimit = 100

// Search returns a page of models. The order is that of the match (whole name,
// beginning, words, likeness), then this machine, the catalogue, the Hub, then
// downloads, age, size and name. Following Next gives each model once. Errors
// are *model.Error: InvalidArgument for a filter or cursor that cannot be, and
// what the Hub says when a search that it is part of cannot be continued. A
// place that cannot be asked at the start is no error; Sources says so.
func Search(ctx context.Context, q Query) (*Answer, error) {
	at, err := q.check()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the Hub need not answer when nobody waits
	s := session{q: q, match: newMatcher(q.Text), remote: maxRemote}
	window := make(chan *hubWindow, 1)
	if at.Hub {
		go func() { window <- s.hubWindow(ctx, at.Page) }()
	}
	if err := s.findNear(ctx); err != nil {
		return nil, err
	}
	if at.Near != "" && at.Near != s.nearPrint {
		return nil, model.Errorf(model.InvalidArgument, "cursor", "the models on this machine changed since the cursor was given").
			WithHint("leave cursor out to begin again")
	}
	at.Near = s.nearPrint
	var w *hubWindow
	if at.Hub {
		select {
		case w = <-window:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if w.err != nil && q.Cursor != "" {
			return nil, w.err
		}
	}
	s.begin(at, w)
	if err := s.walk(ctx); err != nil {
		return nil, err
	}
	return s.answer()
}

// check validates the query and returns where it begins.
func (q *Query) check() (cursor, error) {
	q.Text = strings.TrimSpace(q.Text)
	if len(q.Text) > maxText || lookup.Clean(q.Text, maxText) != q.Text {
		return cursor{}, model.Errorf(model.InvalidArgument, "query", "the text is longer than %d characters or has control characters", maxText).
			WithHint("search for a part of the model's name")
	}
	if m := newMatcher(q.Text); q.Text != "" && m.empty() {
		return cursor{}, model.Errorf(model.InvalidArgument, "query", "%q has no letters or digits", q.Text).WithHint("search for a part of the model's name")
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		return cursor{}, model.Errorf(model.InvalidArgument, "limit", "%d is not between 1 and %d", q.Limit, MaxLimit).WithHint("use next_cursor for more")
	}
	if err := q.Filter.check(); err != nil {
		return cursor{}, err
	}
	filter, err := json.Marshal(q.Filter)
	if err != nil {
		return cursor{}, err
	}
	id := fingerprint(strings.ToLower(q.Text), string(filter), q.FitsKey)
	if q.Cursor != "" {
		return decodeCursor(q.Cursor, id)
	}
	return cursor{Query: id, Hub: !q.Offline && q.asks("hub")}, nil
}

// asks reports whether the filter lets a place be asked.
func (q *Query) asks(place string) bool {
	switch q.Filter.Source {
	case "", place:
		return true
	case "local":
		return place != "hub" && place != "catalog"
	}
	return false
}
