package tools

import (
	"context"
	"sync"
	"time"

	"hwledger/calc/lookup"
)

// recent remembers for a moment what is the same until then: models of the
// embedded catalogue by their reference, and plans of them by the arguments.
// Nothing that was read from this machine or from the network is kept, and the
// places that come before the catalogue are asked again after keepFor: a model
// that was downloaded is seen.
type recent struct {
	mu      sync.Mutex
	models  map[string]kept[*lookup.Result]
	answers map[string]kept[*Result]
}

type kept[T any] struct {
	value T
	until time.Time
}

const (
	// keepFor is how long: the slider of a planner and an agent's loop ask
	// several times a second.
	keepFor = time.Second
	// mostKept bounds each kind, and mostKeptKey what a key may hold in bytes.
	mostKept, mostKeptKey = 32, 2048
)

func newRecent() *recent {
	return &recent{models: map[string]kept[*lookup.Result]{}, answers: map[string]kept[*Result]{}}
}

type recentKey struct{}

// recall returns what is kept under a key.
func recall[T any](r *recent, in map[string]kept[T], key string) (value T, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, there := in[key]
	if !there || time.Now().After(k.until) {
		return value, false
	}
	return k.value, true
}

// keep keeps a value, in the place of any when there are many.
func keep[T any](r *recent, in map[string]kept[T], key string, value T) {
	if len(key) > mostKeptKey {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for old, k := range in {
		if len(in) < mostKept && !time.Now().After(k.until) {
			break
		}
		delete(in, old)
	}
	in[key] = kept[T]{value, time.Now().Add(keepFor)}
}

// resolveRecent is lookup.Resolve for the tools of a surface.
func resolveRecent(ctx context.Context, req lookup.Request) (*lookup.Result, error) {
	r, _ := ctx.Value(recentKey{}).(*recent)
	if r == nil || len(req.Config) > 0 {
		return lookup.Resolve(ctx, req)
	}
	key := req.Ref
	if req.Offline {
		key += "\x00offline"
	}
	if found, ok := recall(r, r.models, key); ok {
		again := *found
		return &again, nil
	}
	found, err := lookup.Resolve(ctx, req)
	if err == nil && found.ResolvedFrom == "catalog" {
		once := *found
		keep(r, r.models, key, &once)
	}
	return found, err
}

// lasting reports whether an answer is the same for as long as it may be kept:
// a plan of a catalogue's model on hardware that was named, not looked at.
func lasting(a Answer) bool {
	p, ok := a.(*Plan)
	return ok && p.Model.ResolvedFrom == "catalog" && !p.live
}
