package enginelog

import (
	"slices"
	"strings"

	"hwledger/calc"
	"hwledger/calc/engine"
)

// Took returns what the start took of each open term of its plan on the
// hardware, which has to be one without history: of the terms that a figure of the log has in it the
// closed ones are subtracted, and what is left is divided among the open ones by
// how wide their ranges are. held is what the driver says that the process has
// of each of the plan's devices when all its buffers are there, 0 or nil where
// that is not known. Engine, Version and Start are left to the caller.
//
// Figures of caches, and peaks of what grows with use, say nothing of a start.
func (r *Report) Took(p *calc.Result, hw *engine.Hardware, held []engine.Bytes) []engine.Took {
	if r.Failure != nil {
		return nil // its figures are not all there
	}
	var groups []group
	for i := range r.Actual {
		a := &r.Actual[i]
		if a.Category == engine.KVCache || a.Category == engine.State || a.Name == peak || strings.HasPrefix(a.Name, "draft ") {
			continue
		}
		g := group{name: a.Name, category: a.Category, on: r.deviceOf(a)}
		at := slices.IndexFunc(groups, func(x group) bool { return x.name == g.name && x.category == g.category && x.on == g.on })
		if at < 0 {
			at = len(groups)
			for j := range p.Terms {
				if t := &p.Terms[j]; r.has(a, t) && isOn(t, g.on, hw) {
					g.terms = append(g.terms, t)
				}
			}
			groups = append(groups, g)
		}
		groups[at].took += a.Bytes
	}
	groups = append(groups, r.rest(p, hw, groups)...)
	groups = append(groups, r.contexts(p, hw, held)...)
	var out []engine.Took
	for i := range groups {
		out = append(out, groups[i].divide(p, hw, r.rounding())...)
	}
	return out
}

// rounding is what the print of a figure can hide: half of a hundredth of a MiB
// or GiB.
func (r *Report) rounding() engine.Bytes {
	if r.byBuffer() {
		return engine.MiB / 200
	}
	return engine.GiB / 200
}

// group is a figure of one device with the terms that are in it.
type group struct {
	name     string
	category engine.Category
	on       int // onHost for the host
	took     engine.Bytes
	terms    []*engine.Term
}

const onHost = -1

// deviceOf is the plan's device that a figure is of.
func (r *Report) deviceOf(a *Actual) int {
	switch {
	case a.Host:
		return onHost
	case !r.byBuffer():
		return 0 // of the first rank
	}
	// Backends number their devices: CUDA0, Vulkan1.
	digits := a.On[len(strings.TrimRight(a.On, "0123456789")):]
	return int(count(digits))
}

// isOn reports whether a term is on a device of the hardware. Without an
// accelerator the processor is the device, and all is in the host's memory.
func isOn(t *engine.Term, device int, hw *engine.Hardware) bool {
	if device == onHost {
		return hw.DeviceOf(t) == engine.HostDevice
	}
	return slices.Contains(t.On, device)
}

// rest is what the pool of an engine that sizes it by what is left says of
// terms that no figure has: they took what the pool is smaller by than planned,
// beyond what the figures explain.
func (r *Report) rest(p *calc.Result, hw *engine.Hardware, figures []group) []group {
	at := slices.IndexFunc(r.Actual, func(a Actual) bool { return strings.HasSuffix(a.Name, "pool") && a.Category == engine.KVCache })
	if at < 0 || p.Cache.Pool == 0 {
		return nil
	}
	g := group{name: "rest", took: p.Cache.Pool - r.Actual[at].Bytes}
	for i := range p.Terms {
		t := &p.Terms[i]
		if t.Outside || !isOn(t, 0, hw) || t.Category == engine.KVCache || t.Category == engine.State {
			continue
		}
		logged := slices.IndexFunc(figures, func(f group) bool { return slices.Contains(f.terms, t) })
		if logged < 0 {
			g.terms = append(g.terms, t)
			g.took += t.Bytes
		}
	}
	for i := range figures {
		f := &figures[i]
		if f.on != 0 || len(f.terms) == 0 || f.terms[0].Outside {
			continue
		}
		g.took -= f.took
		for _, t := range f.terms {
			g.took += t.Bytes
		}
	}
	return []group{g}
}

// contexts are what devices hold beside the buffers of engines that log each
// buffer: what drivers take for a process.
func (r *Report) contexts(p *calc.Result, hw *engine.Hardware, held []engine.Bytes) []group {
	if !r.byBuffer() {
		return nil
	}
	var out []group
	for d := range min(len(held), len(hw.Devices)) {
		g := group{name: "device", category: engine.Runtime, on: d, took: held[d]}
		for i := range r.Actual {
			if a := &r.Actual[i]; !a.Host && r.deviceOf(a) == d {
				g.took -= a.Bytes
			}
		}
		for i := range p.Terms {
			if t := &p.Terms[i]; t.Category == engine.Runtime && isOn(t, d, hw) {
				g.terms = append(g.terms, t)
			}
		}
		if held[d] > 0 && g.took > 0 {
			out = append(out, g)
		}
	}
	return out
}

// divide gives the open terms their parts of the figure: what was planned where
// the figure's print hides the difference. What one would be less than nothing
// by, the others have.
func (g *group) divide(p *calc.Result, hw *engine.Hardware, rounding engine.Bytes) []engine.Took {
	var open []*engine.Term
	rest := g.took
	for _, t := range g.terms {
		rest -= t.Bytes
		if t.Open() {
			open = append(open, t)
		}
	}
	if max(rest, -rest) <= rounding {
		rest = 0
	}
	var out []engine.Took
	left := open
	for len(left) > 0 {
		var width engine.Bytes
		for _, t := range left {
			width += t.High - t.Low
		}
		share := func(t *engine.Term) engine.Bytes {
			return t.Bytes + engine.Bytes(float64(rest)*float64(t.High-t.Low)/float64(width))
		}
		at := slices.IndexFunc(left, func(t *engine.Term) bool { return share(t) < 0 })
		if at < 0 {
			for _, t := range left {
				out = append(out, g.part(t, share(t), p, hw))
			}
			return out
		}
		out = append(out, g.part(left[at], 0, p, hw))
		rest += left[at].Bytes
		left = slices.Delete(left, at, at+1)
	}
	return out
}

func (g *group) part(t *engine.Term, n engine.Bytes, p *calc.Result, hw *engine.Hardware) engine.Took {
	return engine.Took{Term: t.Name, Device: hw.DeviceOf(t), Ranks: p.Load.Ranks(), Planned: t.Bytes, Bytes: n}
}
