package search

import (
	"testing"

	"hwledger/calc/lookup"
)

func BenchmarkText(b *testing.B) {
	q := Query{Text: "qwen3 8b", Limit: 20, Offline: true}
	for b.Loop() {
		if _, err := Search(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLayers filters the whole catalogue by layers, as a process does
// after its first time.
func BenchmarkLayers(b *testing.B) {
	q := Query{Filter: Filter{Architecture: "hybrid"}, Limit: 20, Offline: true}
	for b.Loop() {
		if _, err := Search(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLayersCold reads every configuration of the catalogue, as the first
// such filter of a process does.
func BenchmarkLayersCold(b *testing.B) {
	all, err := entries()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := parallel(b.Context(), len(all), workers, func(i int) {
			var f Facts
			if r, err := lookup.FromEntry(all[i].Entry, all[i].ID); err == nil {
				f.fromModel(r)
			}
		}); err != nil {
			b.Fatal(err)
		}
	}
}
