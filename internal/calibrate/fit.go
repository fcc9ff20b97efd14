package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"hwledger/calc/engine"
	"hwledger/calc/engine/calibration"
	"hwledger/calc/engine/vllm"
	"hwledger/internal/scoring"
)

// start is a recorded start with the key under which reruns of it count once.
type start struct {
	*scoring.Start
	row      int
	distinct string
	release  calibration.Release
}

// plan plans every row that can be, with what the formulas alone give when
// table is nil.
func plan(set *scoring.Set, table *calibration.Table) []start {
	if table == nil {
		table = &calibration.Table{}
	}
	e := vllm.With(table)
	var out []start
	for i := range set.Len() {
		if s := set.Plan(i, e); s != nil {
			out = append(out, start{Start: s, row: i, release: release(s.Release), distinct: fmt.Sprintf("%s|%d|%d|%s", s.Model, s.TP, s.PP, s.Release)})
		}
	}
	return out
}

// release is a version as the engine reads it.
func release(s string) calibration.Release { return calibration.Release(vllm.Release(s)) }

// term is one term of the table and how a start shows it.
type term struct {
	name string
	unit engine.Bytes
	// since are the releases at which a class is split; others are not.
	since map[string][]calibration.Release
	// read returns the term's value in units, less everything that formulas or
	// lines fitted before give; false when the start does not show it.
	read func(s *start, t *calibration.Table) (class, ranks string, value float64, ok bool)
}

// The releases at which vLLM's rules or accounting changed: calc/engine/vllm.
var (
	always       = calibration.Release{}
	v1           = calibration.Release{0, 8, 0}
	oldProfile   = []calibration.Release{always, v1}
	oldOutside   = []calibration.Release{always, v1, {0, 18, 0}}
	rocmBuilds   = []calibration.Release{always, {0, 13, 0}}
	outsideSplit = map[string][]calibration.Release{"nvidia": oldOutside, "amd": rocmBuilds}
)

// terms are fitted in order: later ones subtract earlier ones.
var terms = []term{
	{vllm.LoadBuffer, engine.MiB, nil, loadBuffer},
	{vllm.ProfileBase, engine.MiB, map[string][]calibration.Release{"": oldProfile}, profileBase},
	{vllm.OutsideTorch, engine.MiB, outsideSplit, outsideTorch},
	{vllm.Communicators, engine.MiB, outsideSplit, communicators},
	{vllm.Context, engine.MiB, nil, deviceContext},
	{vllm.Collectives, engine.MiB, nil, collectives},
	{vllm.GraphRate, engine.KiB, nil, func(s *start, _ *calibration.Table) (string, string, float64, bool) {
		return graphs(s, s.Graphs)
	}},
	{vllm.GraphEstimate, engine.KiB, nil, func(s *start, _ *calibration.Table) (string, string, float64, bool) {
		return graphs(s, s.GraphEstimate)
	}},
}

const mibInGiB = 1024

// formulas sums the terms of a start in MiB that keep accepts.
func formulas(s *start, keep func(*engine.Term) bool) float64 {
	n := 0.0
	for i := range s.Terms {
		if t := &s.Terms[i]; keep(t) {
			n += float64(t.Bytes) / float64(engine.MiB)
		}
	}
	return n
}

// fitted reports the terms that this command fits.
func fitted(t *engine.Term) bool {
	switch t.Name {
	case vllm.LoadBuffer, vllm.ProfileBase, vllm.OutsideTorch, vllm.Communicators, vllm.Context, vllm.Collectives, vllm.GraphRate:
		return true
	}
	return false
}

// workspaces are what formulas say of the profile run.
func workspaces(t *engine.Term) bool {
	return t.Category == engine.Workspace && !t.Outside && !fitted(t)
}

func median(t *calibration.Table, k calibration.Key, r calibration.Release) float64 {
	f, ok := t.Find(k, r)
	if !ok {
		return 0
	}
	return float64(f.Median)
}

func key(name, class, ranks string) calibration.Key {
	return calibration.Key{Engine: "vllm", Term: name, Class: class, Ranks: ranks}
}

func loadBuffer(s *start, _ *calibration.Table) (class, ranks string, value float64, ok bool) {
	if s.Weights == nil || s.Device == nil || s.Device.Vendor != "amd" {
		return "", "", 0, false
	}
	weights := formulas(s, func(t *engine.Term) bool { return t.Category == engine.Weights && !fitted(t) })
	return vllm.Class(s.Device), "1", *s.Weights*mibInGiB - weights, true
}

func profileBase(s *start, _ *calibration.Table) (class, ranks string, value float64, ok bool) {
	if s.Activation == nil || s.Device == nil {
		return "", "", 0, false
	}
	if s.Multimodal && slices.Compare(s.release[:], v1[:]) < 0 {
		return "", "", 0, false // V0 profiled max_num_seqs images at once, which no formula here sizes
	}
	return "", "1", *s.Activation*mibInGiB - formulas(s, workspaces), true
}

// outside is what a start shows of memory outside PyTorch: the figure itself,
// or what the budget leaves beside weights, profile run and graphs.
func outside(s *start, t *calibration.Table) (float64, bool) {
	switch {
	case s.Device == nil:
		return 0, false
	case s.OutsideTorch != nil:
		return *s.OutsideTorch * mibInGiB, true
	case s.Total == nil || s.Weights == nil || vllm.BudgetsGraphs(s.Release) && !s.Eager:
		return 0, false
	}
	base := median(t, key(vllm.ProfileBase, "", "1"), s.release)
	rest := (*s.Total-*s.Weights)*mibInGiB - formulas(s, workspaces) - base
	return max(rest, 0), true // what a formula says too much is not memory
}

func outsideTorch(s *start, t *calibration.Table) (class, ranks string, value float64, ok bool) {
	class = vllm.Class(s.Device)
	if s.TP > 1 && class != "amd" {
		return "", "", 0, false
	}
	value, ok = outside(s, t)
	return class, vllm.Alone(s.Device, s.PP), value, ok
}

func communicators(s *start, t *calibration.Table) (class, ranks string, value float64, ok bool) {
	class = vllm.Class(s.Device)
	if s.TP == 1 || class == "amd" {
		return "", "", 0, false
	}
	value, ok = outside(s, t)
	return class, "tp", max(value-median(t, key(vllm.OutsideTorch, class, vllm.Alone(s.Device, s.PP)), s.release), 0), ok
}

func deviceContext(s *start, _ *calibration.Table) (class, ranks string, value float64, ok bool) {
	if s.Before == nil || s.Device == nil || s.TP*s.PP > 1 {
		return "", "", 0, false
	}
	return vllm.Class(s.Device), "1", *s.Before * mibInGiB, true
}

func collectives(s *start, t *calibration.Table) (class, ranks string, value float64, ok bool) {
	if s.Before == nil || s.Device == nil || s.TP*s.PP == 1 {
		return "", "", 0, false
	}
	class = vllm.Class(s.Device)
	return class, vllm.Ranks(s.TP, s.PP), *s.Before*mibInGiB - median(t, key(vllm.Context, class, "1"), s.release), true
}

func graphs(s *start, gib *float64) (class, ranks string, value float64, ok bool) {
	if gib == nil || *gib <= 0 || s.Device == nil {
		return "", "", 0, false
	}
	for i := range s.Terms {
		t := &s.Terms[i]
		if t.Name != vllm.GraphRate {
			continue
		}
		var sizes, layers, experts, mx int64
		for _, in := range t.Inputs {
			switch in.Name {
			case "captured_sizes":
				sizes = in.Value
			case "layers":
				layers = in.Value
			case "experts":
				experts = in.Value
			case "mxfp4":
				mx = in.Value
			}
		}
		units := vllm.GraphUnits(layers, sizes)
		return vllm.GraphClass(s.Device, experts > 0, mx > 0), "", *gib * mibInGiB * 1024 / float64(max(units, 1)), units > 0
	}
	return "", "", 0, false
}

// line collects the values behind one line of the table.
type line struct {
	key      calibration.Key
	since    calibration.Release
	values   map[string][]float64 // by distinct start
	starts   int
	sources  map[string]bool
	mid      float64
	low, top float64
}

// fit makes the table of some starts.
func fit(starts []start) *calibration.Table {
	table := &calibration.Table{}
	for i := range terms {
		table.Figures = append(table.Figures, terms[i].fit(starts, table)...)
	}
	return table
}

func (t *term) fit(starts []start, table *calibration.Table) []calibration.Figure {
	var lines []*line
	for i := range starts {
		s := &starts[i]
		class, ranks, value, ok := t.read(s, table)
		if !ok {
			continue
		}
		k, since := key(t.name, class, ranks), t.split(class, s.release)
		at := slices.IndexFunc(lines, func(l *line) bool { return l.key == k && l.since == since })
		if at < 0 {
			at = len(lines)
			lines = append(lines, &line{key: k, since: since, values: map[string][]float64{}, sources: map[string]bool{}, low: math.Inf(1), top: math.Inf(-1)})
		}
		l := lines[at]
		l.values[s.distinct] = append(l.values[s.distinct], value)
		l.starts++
		l.sources[s.Source] = true
		l.low, l.top = min(l.low, value), max(l.top, value)
	}
	below, above := 0.0, 0.0
	for _, l := range lines {
		var mids []float64
		for _, v := range l.values {
			mids = append(mids, middle(v))
		}
		l.mid = middle(mids)
		if len(l.values) >= enough {
			below, above = min(below, l.low-l.mid), max(above, l.top-l.mid)
		}
	}
	slices.SortFunc(lines, func(a, b *line) int {
		return cmp.Or(cmp.Compare(a.key.Class, b.key.Class), cmp.Compare(a.key.Ranks, b.key.Ranks), slices.Compare(a.since[:], b.since[:]))
	})
	var out []calibration.Figure
	for _, l := range lines {
		low, top := l.low, l.top
		if len(l.values) < enough {
			low, top = min(low, l.mid+below), max(top, l.mid+above)
		}
		low = min(max(low, 0), l.mid) // no memory is negative
		out = append(out, calibration.Figure{
			Key: l.key, Since: l.since, Unit: t.unit, Low: int64(math.Floor(low)), Median: int64(math.Round(l.mid)), High: int64(math.Ceil(top)),
			Samples: len(l.values), Starts: l.starts, Sources: len(l.sources),
		})
	}
	return out
}

// enough samples of a line give a spread of their own.
const enough = 4

// split returns the release that a line starts with for a class.
func (t *term) split(class string, r calibration.Release) calibration.Release {
	at := always
	for _, s := range t.since[class] {
		if slices.Compare(s[:], r[:]) <= 0 {
			at = s
		}
	}
	return at
}

// middle is the median of values.
func middle(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
