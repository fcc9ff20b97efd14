package probe

import (
	"context"
	"math"
	"sync"
	"time"
)

// The sampler's pace: it starts at the shortest interval, and doubles it up to
// the longest while nothing changes.
const (
	shortest = time.Second
	longest  = 30 * time.Second
	// fresh is how old an inventory may be that is given without asking again.
	fresh = 500 * time.Millisecond
	// ringSize is how many samples are kept.
	ringSize = 240
	// idle is how long after the last sample sources give back what they keep
	// open: a card whose driver is in use does not go to sleep.
	idle = 10 * time.Second
)

// Sampler takes samples for all its readers together: those who ask at the
// same time get the same inventory, and those who subscribe hear of changes.
// Without subscribers it does nothing on its own.
type Sampler struct {
	prober *Prober
	// tick returns a channel that fires after a time; tests put their own.
	tick func(time.Duration) <-chan time.Time

	mu       sync.Mutex
	ring     []*Inventory  // the oldest first
	taking   chan struct{} // closed when the sample that is being taken is there
	begun    int           // samples so far, with the one that is being taken
	ended    int           // the number of the last in ring
	watchers map[int]chan *Inventory
	next     int
	stop     context.CancelFunc // of the loop, nil when it does not run
	told     *Inventory         // what subscribers know
	rest     *time.Timer        // closes the prober when nobody asks
}

// NewSampler returns a sampler of what p finds.
func NewSampler(p *Prober) *Sampler {
	return &Sampler{prober: p, tick: time.After, watchers: map[int]chan *Inventory{}}
}

// Now returns an inventory that is at most half a second old, or one begun after
// the call: callers that ask at the same time share one reading. It fails only
// when ctx ends.
func (s *Sampler) Now(ctx context.Context) (*Inventory, error) {
	for asked := -1; ; {
		s.mu.Lock()
		if asked < 0 {
			asked = s.begun
		}
		if n := len(s.ring); n > 0 && (time.Since(s.ring[n-1].Taken) < fresh || s.ended > asked) {
			defer s.mu.Unlock()
			return s.ring[n-1], nil
		}
		if s.taking == nil {
			s.taking = make(chan struct{})
			s.begun++
			go s.take()
		}
		wait := s.taking
		s.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take takes a sample for whoever waits. It is nobody's in particular: a
// caller who leaves does not cut short what others get. Each source's time is
// bounded by itself.
func (s *Sampler) take() {
	inv := s.prober.Probe(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ring) == ringSize {
		s.ring = append(s.ring[:0:0], s.ring[1:]...)
	}
	s.ring, s.ended = append(s.ring, inv), s.begun
	close(s.taking)
	s.taking = nil
	if s.rest == nil {
		s.rest = time.AfterFunc(idle, s.prober.Close)
	} else {
		s.rest.Reset(idle)
	}
}

// Subscribe returns a channel that gets an inventory whenever something
// material changed since the last one it got: a device came or went or failed,
// memory in use moved, a source's state is another. A reader that is slow
// misses some, and gets the newest. cancel ends it.
func (s *Sampler) Subscribe() (changes <-chan *Inventory, cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan *Inventory, 1)
	id := s.next
	s.next++
	s.watchers[id] = c
	if s.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		s.stop = stop
		if n := len(s.ring); n > 0 { // what a subscriber has read, if it has
			s.told = s.ring[n-1]
		}
		go s.loop(ctx)
	}
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, id)
		if len(s.watchers) == 0 && s.stop != nil {
			s.stop()
			s.stop, s.told = nil, nil
		}
	}
}

// loop samples while there are subscribers.
func (s *Sampler) loop(ctx context.Context) {
	defer s.prober.Close()
	for every := shortest; ; {
		inv, err := s.Now(ctx)
		if err != nil {
			return
		}
		if s.tell(inv) {
			every = shortest
		} else {
			every = min(every*2, longest)
		}
		select {
		case <-s.tick(every):
		case <-ctx.Done():
			return
		}
	}
}

// tell sends inv to all subscribers if it differs from what they know.
func (s *Sampler) tell(inv *Inventory) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told == nil {
		s.told = inv
		return false
	}
	if !Changed(s.told, inv) {
		return false
	}
	s.told = inv
	for _, c := range s.watchers {
		select {
		case <-c: // the one that was not read yet
		default:
		}
		c <- inv
	}
	return true
}

// material is the share of a memory that has to move to be a change.
const material = 0.01

// Changed reports whether two inventories differ in what a plan or a person
// would act on. Temperatures and utilizations always move: they are not.
func Changed(a, b *Inventory) bool {
	if len(a.Devices) != len(b.Devices) || len(a.Sources) != len(b.Sources) {
		return true
	}
	for i := range a.Sources {
		if a.Sources[i].State != b.Sources[i].State {
			return true
		}
	}
	for i := range b.Devices {
		x, y := a.Device(b.Devices[i].ID), &b.Devices[i]
		if x == nil || x.Excluded != y.Excluded || x.MIG.Value != y.MIG.Value || moved(x.Total, y.Total, y.Total) || moved(x.Free, y.Free, y.Total) {
			return true
		}
	}
	return moved(a.Host.Usable, b.Host.Usable, b.Host.Total)
}

func moved(a, b, of Field[int64]) bool {
	if a.Known() != b.Known() {
		return true
	}
	return math.Abs(float64(a.Value)-float64(b.Value)) > material*float64(of.Value)
}

// Summary is a value over a stretch of time.
type Summary struct {
	Min, Mean, Max float64
	Samples        int
}

// Window is what devices did over a stretch of time, by their IDs and by the
// names of fields.
type Window struct {
	Took    time.Duration
	Samples int
	Devices map[string]map[string]Summary
}

// Watch samples for a time and returns what devices did in it. It fails only
// when ctx ends.
func (s *Sampler) Watch(ctx context.Context, long time.Duration) (*Inventory, *Window, error) {
	every := min(max(long/20, fresh), 2*time.Second)
	end := s.tick(long)
	var list []*Inventory
	for {
		inv, err := s.Now(ctx)
		if err != nil {
			return nil, nil, err
		}
		if n := len(list); n == 0 || list[n-1] != inv {
			list = append(list, inv)
		}
		select {
		case <-end:
			return inv, Summarize(list), nil
		case <-s.tick(every):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// Recent summarizes the samples of the last stretch of time that are kept.
func (s *Sampler) Recent(long time.Duration) *Window {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := 0
	for from < len(s.ring) && time.Since(s.ring[from].Taken) > long {
		from++
	}
	return Summarize(s.ring[from:])
}

// Summarize returns the least, mean and most of what changes in the devices
// of the samples, the oldest first. The mean power is the energy counter's
// where there is one: that has no gaps between samples.
func Summarize(list []*Inventory) *Window {
	w := &Window{Samples: len(list), Devices: map[string]map[string]Summary{}}
	if len(list) == 0 {
		return w
	}
	first, last := list[0], list[len(list)-1]
	w.Took = last.Taken.Sub(first.Taken)
	for i := range last.Devices {
		id := last.Devices[i].ID
		of := map[string]Summary{}
		for _, inv := range list {
			if d := inv.Device(id); d != nil {
				for name, v := range d.moving() {
					of[name] = of[name].with(v)
				}
			}
		}
		if mean, ok := meanPower(first.Device(id), last.Device(id), w.Took); ok {
			x := of["power_watts"]
			x.Mean = mean
			if x.Samples > 0 {
				of["power_watts"] = x
			}
		}
		if len(of) > 0 {
			w.Devices[id] = of
		}
	}
	return w
}

// moving returns what changes in a device from sample to sample, as far as it
// was read now.
func (d *Device) moving() map[string]float64 {
	out := map[string]float64{}
	for name, f := range map[string]Field[float64]{
		"utilization_percent": d.Utilization, "memory_busy_percent": d.MemoryBusy,
		"temperature_celsius": d.Temperature, "power_watts": d.Power,
	} {
		if f.State == OK {
			out[name] = f.Value
		}
	}
	for name, f := range map[string]Field[int64]{"used_bytes": d.Used, "free_bytes": d.Free} {
		if f.State == OK {
			out[name] = float64(f.Value)
		}
	}
	return out
}

func (x Summary) with(v float64) Summary {
	if x.Samples == 0 {
		return Summary{v, v, v, 1}
	}
	n := float64(x.Samples)
	return Summary{min(x.Min, v), (x.Mean*n + v) / (n + 1), max(x.Max, v), x.Samples + 1}
}

// meanPower is the difference of the energy counter over time. A counter that
// went back was reset with its driver.
func meanPower(a, b *Device, took time.Duration) (float64, bool) {
	if a == nil || b == nil || a.Energy.State != OK || b.Energy.State != OK || took <= 0 || b.Energy.Value <= a.Energy.Value {
		return 0, false
	}
	return (b.Energy.Value - a.Energy.Value) / took.Seconds(), true
}
