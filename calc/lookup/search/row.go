package search

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"hwledger/calc/lookup"
	"hwledger/calc/model"
)

// row is a model on its way into the answer.
type row struct {
	Model
	key         string // of equal models
	rank, order int    // how the text matches, and the place among similar names
	place       int    // local, catalogued, onHub
	known       answer // what the facts so far say about the filter
	entry       *entry
	local       string // the reference of a listing
	hub         *lookup.HubModel
	read        bool
}

// The places in the order of the answer.
const (
	local = iota
	catalogued
	onHub
)

// compare orders rows by what does not change when more is read about them, so
// that a cursor stays valid.
func compare(a, b *row) int {
	return cmp.Or(
		cmp.Compare(a.rank, b.rank),
		cmp.Compare(a.order, b.order),
		cmp.Compare(a.place, b.place),
		cmp.Compare(b.Downloads, a.Downloads),
		b.Updated.Truncate(time.Second).Compare(a.Updated.Truncate(time.Second)),
		cmp.Compare(b.size(), a.size()),
		cmp.Compare(a.key, b.key),
		cmp.Compare(a.Reference, b.Reference),
	)
}

// size is the parameters that are known without reading the model.
func (r *row) size() int64 {
	if r.entry != nil {
		return r.entry.Params
	}
	return 0
}

// keyOf returns what equal models of different places have in common: the name
// in lower case, with the file or quantization that is meant.
func keyOf(name string) string { return strings.ToLower(name) }

// remote reports whether reading the model asks the Hub.
func (r *row) remote() bool { return r.local == "" && r.entry == nil }

// describe reads the model: headers on this machine, the catalogue's
// configuration, or the Hub's.
func (r *row) describe(ctx context.Context) (*lookup.Result, error) {
	switch {
	case r.local != "":
		return lookup.Resolve(ctx, lookup.Request{Ref: r.local, Offline: true})
	case r.entry != nil:
		return lookup.FromEntry(r.entry.Entry, r.entry.ID)
	case r.hub.ModelType == "" || r.hub.Architecture == "" && r.hub.GGUF:
		what := "the Hub shows no config.json for it"
		if r.hub.GGUF {
			what = "a search reads no headers of GGUF files; plan_memory does, by quantization: " + r.hub.ID + ":Q4_K_M"
		}
		return nil, model.Errorf(model.ModelNotFound, "model", "%s", what)
	}
	return lookup.HubConfig(ctx, r.hub.ID, r.hub.Commit)
}

// learn reads the model for its facts alone; those of the catalogue's entries
// are kept.
func (r *row) learn(ctx context.Context) error {
	if r.local == "" && r.entry != nil {
		f, err := r.entry.facts()
		if err != nil {
			return err
		}
		r.overlay(&f)
	} else {
		found, err := r.describe(ctx)
		if err != nil {
			return err
		}
		r.fromModel(found)
	}
	r.read = true
	return nil
}

// parallel calls work for 0…n-1, several at once, until the context ends.
func parallel(ctx context.Context, n, workers int, work func(i int)) error {
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(n, workers) {
		wg.Go(func() {
			for i := range next {
				work(i)
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	return ctx.Err()
}
