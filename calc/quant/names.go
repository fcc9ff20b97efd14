package quant

import (
	"hwledger/calc/model"
	"hwledger/calc/near"
)

// unknown returns the error for a name that is none of known: the nearest ones
// are its candidates.
func unknown(field, what, name string, known []string) *model.Error {
	e := model.Errorf(model.InvalidArgument, field, "unknown %s %q", what, clip(name))
	e.Candidates = nearest(name, known, 5)
	return e.WithHint("use one of the candidates")
}

// clip bounds a name that is quoted back.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// nearest returns at most n of known that are most like name, or like its
// beginning when nothing is like all of it, else the first of known.
func nearest(name string, known []string, n int) []string {
	for name = clip(name); len(name) > 1; name = name[:len(name)-1] {
		if found := near.Names(name, known, n); len(found) > 0 {
			return found
		}
	}
	return known[:min(n, len(known))]
}
