package probe

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// sourceTime is how long one source may take before the inventory goes on
// without it.
const sourceTime = 8 * time.Second

// Prober asks sources. It is safe for concurrent use.
type Prober struct {
	sys     *System
	sources []Source

	mu   sync.Mutex
	last map[string]*answer
}

// answer is the last reading of a source.
type answer struct {
	reading Reading
	at      time.Time
	took    time.Duration
	busy    bool // a read has not returned yet
}

// New returns a prober of sys that asks the given sources, Sources() when
// there are none.
func New(sys *System, sources ...Source) *Prober {
	if len(sources) == 0 {
		sources = Sources()
	}
	p := &Prober{sys: sys, last: map[string]*answer{}}
	for _, s := range sources {
		if s.on(sys.OS) {
			p.sources = append(p.sources, s)
		}
	}
	return p
}

// Close gives back what sources keep open. The prober can be used again.
func (p *Prober) Close() {
	for i := range p.sources {
		if p.sources[i].Close != nil {
			p.sources[i].Close()
		}
	}
}

// Probe asks all sources and puts their answers together. It does not fail:
// what a source could not say is in the inventory.
func (p *Prober) Probe(ctx context.Context) *Inventory {
	start := time.Now()
	readings := make([]Reading, len(p.sources))
	reports := make([]Report, len(p.sources))
	asked := make([]bool, len(p.sources))
	ask := func(i int) {
		asked[i] = true
		readings[i], reports[i] = p.ask(ctx, &p.sources[i])
	}
	var wg sync.WaitGroup
	for i := range p.sources {
		if p.sources[i].Instead == nil {
			wg.Go(func() { ask(i) })
		}
	}
	wg.Wait()
	inv := &Inventory{Taken: start}
	for i := range p.sources { // one after the other: each decides by the others
		if asked[i] {
			continue
		}
		if p.sources[i].Instead(join(readings)) {
			ask(i)
		} else {
			reports[i] = Report{Name: p.sources[i].Name, State: Absent, Reason: "not asked: another source answered, or there is nothing to ask about"}
		}
	}
	inv.Devices = join(readings)
	for i := range readings {
		inv.Links = append(inv.Links, readings[i].Links...)
		if h := readings[i].Host; h != nil {
			inv.Host = *h
		}
	}
	for i := range readings {
		inv.Host.Disks = append(inv.Host.Disks, readings[i].Disks...)
	}
	inv.Sources = reports
	settle(inv)
	inv.Took = time.Since(start)
	return inv
}

// ask reads one source within its time. One that is still busy with an
// earlier read is not asked again; its last answer is stale then.
func (p *Prober) ask(ctx context.Context, s *Source) (Reading, Report) {
	p.mu.Lock()
	a := p.last[s.Name]
	if a == nil {
		a = &answer{}
		p.last[s.Name] = a
	}
	if s.Every > 0 && !a.at.IsZero() && a.reading.State == OK && time.Since(a.at) < s.Every {
		defer p.mu.Unlock()
		return a.reading.copy(), report(s, a.reading, 0)
	}
	if a.busy {
		defer p.mu.Unlock()
		return a.stale(s, "an earlier read has not returned", 0)
	}
	a.busy = true
	p.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, sourceTime)
	defer cancel()
	start := time.Now()
	done := make(chan Reading, 1)
	go func() {
		r := p.read(ctx, s)
		p.mu.Lock()
		a.busy = false
		if r.State == OK {
			a.reading, a.at, a.took = r.copy(), start, time.Since(start)
		}
		p.mu.Unlock()
		done <- r
	}()
	select {
	case r := <-done:
		took := time.Since(start)
		if r.State != OK {
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(a.reading.Devices) > 0 && r.State != Absent {
				return a.stale(s, r.Reason, took)
			}
		}
		return r, report(s, r, took)
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		return a.stale(s, fmt.Sprintf("no answer in %v", time.Since(start).Round(time.Millisecond)), time.Since(start))
	}
}

// read reads a source; a panic in one is its failure alone.
func (p *Prober) read(ctx context.Context, s *Source) (r Reading) {
	defer func() {
		if v := recover(); v != nil {
			r = Reading{State: Unsupported, Reason: "the source failed: " + oneLine(fmt.Sprint(v))}
		}
	}()
	return s.Read(ctx, p.sys)
}

// stale returns the last answer with its fields marked, else why there is
// none. The prober must be locked.
func (a *answer) stale(s *Source, why string, took time.Duration) (Reading, Report) {
	if a.at.IsZero() {
		r := Reading{State: Unsupported, Reason: why}
		return r, report(s, r, took)
	}
	r := a.reading.copy()
	r.State, r.Reason = Stale, why
	mark := func(list []named) {
		for _, f := range list {
			if n := f.slot.note(); n.State == OK {
				n.State, n.Reason = Stale, why
			}
		}
	}
	for i := range r.Devices {
		mark(r.Devices[i].slots())
	}
	if r.Host != nil {
		mark(r.Host.slots())
	}
	return r, report(s, r, took)
}

func report(s *Source, r Reading, took time.Duration) Report {
	return Report{Name: s.Name, State: r.State, Reason: r.Reason, Hint: r.Hint, Took: took}
}

// copy returns a reading whose devices and host can be changed.
func (r Reading) copy() Reading {
	r.Devices = append([]Device(nil), r.Devices...)
	if r.Host != nil {
		h := *r.Host
		r.Host = &h
	}
	return r
}
