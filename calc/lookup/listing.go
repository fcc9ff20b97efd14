package lookup

import (
	"context"
	"slices"
	"time"
)

// Listing is one model that a place holds, as far as a glance at the place
// tells: no header was read for it. Zero values are unknown.
type Listing struct {
	// Ref is a reference that Resolve takes.
	Ref string
	// Source is the place: catalog, hf-cache, ollama, lmstudio, mlx, hub.
	Source string
	// Bytes is the size of its weight files.
	Bytes    int64
	Modified time.Time
}

// Listed is what one place said when it was asked for its models.
type Listed struct {
	Source string
	Models []Listing
	// Err is why a place that is there could not be read.
	Err error
}

// Places returns the names of the places on this machine that List asks.
func Places() []string {
	var out []string
	for _, s := range sources {
		if s.list != nil && !slices.Contains(out, s.name) {
			out = append(out, s.name)
		}
	}
	return out
}

// List asks every place on this machine for its models. Nothing is read from
// the network, but local daemons are asked, and the one OLLAMA_HOST names.
func List(ctx context.Context) []Listed {
	var out []Listed
	for _, s := range sources {
		if s.list == nil {
			continue
		}
		models, err := s.list(ctx)
		if len(models) > 0 || err != nil {
			out = append(out, Listed{Source: s.name, Models: models, Err: err})
		}
	}
	return out
}
