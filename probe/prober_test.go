package probe

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// steady is a source whose answer a test changes.
func steady(name string, answer func() Reading) Source {
	return Source{Name: name, Read: func(context.Context, *System) Reading { return answer() }}
}

func gpu(id string, free int64) Device {
	return Device{ID: id, UUID: id, Vendor: "nvidia", Kind: Dedicated, Index: 0, Name: known("t", "GPU"),
		Total: known("t", int64(24<<30)), Free: known("t", free), Utilization: known("t", 50.0)}
}

// The same card from three sources is one device; each field is the first
// source's that knows it, and a reason gives way to a value.
func TestJoin(t *testing.T) {
	a := Device{ID: "GPU-1", UUID: "GPU-1", PCI: "0000:01:00.0", Vendor: "nvidia", Kind: Dedicated, Index: 0,
		Name: known("nvml", "RTX 4090"), Total: known("nvml", int64(100)), Power: missing[float64]("nvml", Denied, "no")}
	b := Device{ID: "0000:01:00.0", PCI: "0000:01:00.0", Vendor: "nvidia", Index: -1, Kind: Unknown, Name: known("pci", "AD102"), NUMANode: known("pci", int64(1))}
	c := Device{ID: "nvidia:0", Vendor: "nvidia", Kind: Dedicated, Index: 0, Power: known("nvtop", 12.0), Total: known("nvtop", int64(99))}
	part := Device{ID: "MIG-1", UUID: "MIG-1", Vendor: "nvidia", Parent: "GPU-1", Index: -1}
	for _, order := range [][]Reading{{{Devices: []Device{a, part}}, {Devices: []Device{b}}}, {{Devices: []Device{b}}, {Devices: []Device{a, part}}}} {
		if out := join(order); len(out) != 2 || out[0].ID != "GPU-1" || out[1].Parent != out[0].ID {
			t.Errorf("with a part: %+v", out)
		}
	}
	out := join([]Reading{{Devices: []Device{b}}, {Devices: []Device{a}}, {Devices: []Device{c}}})
	if len(out) != 1 {
		t.Fatalf("%d devices: %+v", len(out), out)
	}
	d := out[0]
	if d.Total.Value != 100 || d.Power.Value != 12 || d.NUMANode.Value != 1 || d.UUID != "GPU-1" || d.Excluded != "" || d.Kind != Dedicated {
		t.Errorf("got %+v", d)
	}
	// Two cards of one maker that a source does not place: by their numbers.
	second := a
	second.ID, second.UUID, second.PCI, second.Index = "GPU-2", "GPU-2", "0000:02:00.0", 1
	c.Index = 1
	out = join([]Reading{{Devices: []Device{a, second}}, {Devices: []Device{c}}})
	if len(out) != 2 || out[0].Power.Known() || out[1].Power.Value != 12 {
		t.Errorf("by number: %+v", out)
	}
}

// A source that fails after it answered leaves what it said, marked.
func TestStale(t *testing.T) {
	r := Reading{State: OK, Devices: []Device{gpu("GPU-1", 1<<30)}}
	p := New(machine(tree("")), steady("s", func() Reading { return r }))
	p.Probe(context.Background())
	r = Reading{State: Unsupported, Reason: "s did not answer in 5s"}
	inv := p.Probe(context.Background())
	d := inv.Devices[0]
	if d.Free.State != Stale || d.Free.Value != 1<<30 || !strings.Contains(d.Free.Reason, "did not answer") || inv.Sources[0].State != Stale {
		t.Errorf("got %+v, %+v", d.Free, inv.Sources)
	}
	if w := Summarize([]*Inventory{inv}); len(w.Devices) != 0 {
		t.Errorf("stale values were sampled: %+v", w)
	}
}

// A source that hangs costs its time once; the others' answers are given.
func TestHungSource(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hung := Source{Name: "hung", Read: func(context.Context, *System) Reading { <-release; return Reading{} }}
	p := New(machine(tree("")), hung, steady("s", func() Reading { return Reading{State: OK, Devices: []Device{gpu("GPU-1", 1)}} }))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	inv := p.Probe(ctx)
	if len(inv.Devices) != 1 || inv.Sources[0].State != Unsupported || !strings.Contains(inv.Sources[0].Reason, "no answer") {
		t.Errorf("got %+v", inv.Sources)
	}
	if inv = p.Probe(context.Background()); !strings.Contains(inv.Sources[0].Reason, "has not returned") {
		t.Errorf("asked again: %+v", inv.Sources[0])
	}
}

func TestPanickingSource(t *testing.T) {
	inv := New(machine(tree("")), steady("s", func() Reading { panic("index out of range") })).Probe(context.Background())
	if s := inv.Sources[0]; s.State != Unsupported || !strings.Contains(s.Reason, "index out of range") {
		t.Errorf("got %+v", s)
	}
}

// Those who ask at once share one probe.
func TestNowIsShared(t *testing.T) {
	var asked atomic.Int32
	wait, started := make(chan struct{}), make(chan struct{}, 8)
	s := NewSampler(New(machine(tree("")), steady("s", func() Reading { asked.Add(1); started <- struct{}{}; <-wait; return Reading{State: OK} })))
	got := make(chan *Inventory, 8)
	for range 8 {
		go func() {
			inv, _ := s.Now(context.Background())
			got <- inv
		}()
	}
	<-started
	close(wait)
	first := <-got
	for range 7 {
		if <-got != first {
			t.Error("another inventory")
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// One who leaves while a sample is taken cuts nothing short for the others.
func TestLeavingReader(t *testing.T) {
	wait, started := make(chan struct{}), make(chan struct{})
	s := NewSampler(New(machine(tree("")), Source{Name: "s", Read: func(ctx context.Context, _ *System) Reading {
		close(started)
		select {
		case <-wait:
			return Reading{State: OK, Devices: []Device{gpu("GPU-1", 1<<30)}}
		case <-ctx.Done():
			return Reading{State: Unsupported, Reason: "cut short"}
		}
	}}))
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan error)
	go func() {
		_, err := s.Now(ctx)
		left <- err
	}()
	<-started
	got := make(chan *Inventory)
	go func() {
		inv, _ := s.Now(context.Background())
		got <- inv
	}()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who left: %v", err)
	}
	close(wait)
	if inv := <-got; len(inv.Devices) != 1 || inv.Sources[0].State != OK {
		t.Errorf("the other: %+v", inv.Sources)
	}
}

// clock hands out ticks when a test says so.
type clock struct{ waits chan time.Duration }

func (c clock) tick(fire <-chan time.Time) func(time.Duration) <-chan time.Time {
	return func(d time.Duration) <-chan time.Time {
		c.waits <- d
		return fire
	}
}

// Subscribers hear of what is material; the pace slows down while nothing is,
// and the loop ends with the last of them.
func TestSubscribe(t *testing.T) {
	var free atomic.Int64
	free.Store(10 << 30)
	closed := make(chan struct{}, 1)
	source := steady("s", func() Reading { return Reading{State: OK, Devices: []Device{gpu("GPU-1", free.Load())}} })
	source.Close = func() { closed <- struct{}{} }
	s := NewSampler(New(machine(tree("")), source))
	c, fire := clock{make(chan time.Duration)}, make(chan time.Time)
	s.tick = c.tick(fire)
	changes, cancel := s.Subscribe()
	forget := func() { // as if half a second had passed
		s.mu.Lock()
		s.ring[len(s.ring)-1].Taken = time.Now().Add(-time.Minute)
		s.mu.Unlock()
	}
	var waits []time.Duration
	for range 6 {
		waits = append(waits, <-c.waits)
		forget()
		fire <- time.Time{}
	}
	waits = append(waits, <-c.waits)
	for i, want := range []time.Duration{2, 4, 8, 16, 30, 30, 30} {
		if waits[i] != want*time.Second {
			t.Errorf("wait %d: %v", i, waits[i])
		}
	}
	forget()
	free.Store(10<<30 - 1<<20) // 1 MiB of 24 GiB
	fire <- time.Time{}
	if w := <-c.waits; w != longest {
		t.Errorf("after nothing to speak of: %v", w)
	}
	forget()
	free.Store(4 << 30)
	fire <- time.Time{}
	if w := <-c.waits; w != shortest {
		t.Errorf("after a change: %v", w)
	}
	if inv := <-changes; inv.Devices[0].Free.Value != 4<<30 {
		t.Errorf("told of %+v", inv.Devices[0].Free)
	}
	cancel()
	<-closed
}

func TestSummarize(t *testing.T) {
	at := time.Now()
	var list []*Inventory
	for i, w := range []float64{100, 300, 200} {
		d := gpu("GPU-1", int64(i)<<30)
		d.Power, d.Energy = known("t", w), known("t", 1000+float64(i)*500)
		list = append(list, &Inventory{Taken: at.Add(time.Duration(i) * time.Second), Devices: []Device{d}})
	}
	w := Summarize(list)
	if p := w.Devices["GPU-1"]["power_watts"]; p.Min != 100 || p.Max != 300 || p.Mean != 500 || p.Samples != 3 {
		t.Errorf("power %+v, want the energy counter's 1000 J in 2 s as its mean", p)
	}
	if f := w.Devices["GPU-1"]["free_bytes"]; f.Min != 0 || f.Mean != 1<<30 || f.Max != 2<<30 {
		t.Errorf("free %+v", f)
	}
	list[2].Devices[0].Energy.Value = 3 // the driver was loaded again
	if p := Summarize(list).Devices["GPU-1"]["power_watts"]; p.Mean != 200 {
		t.Errorf("after a reset %+v", p)
	}
}

func TestFindings(t *testing.T) {
	mig := gpu("GPU-1", 1)
	mig.MIG, mig.Excluded = known("t", "enabled"), parentCard
	bare := Device{ID: "0000:02:00.0", Vendor: "nvidia", Name: known("pci", "AD102"), Excluded: noDriver}
	inv := &Inventory{Devices: []Device{mig, bare}, Sources: []Report{{Name: "nvml", State: Absent, Reason: "an NVIDIA card is here, and no driver library", Hint: "install the NVIDIA driver"}}}
	var text []string
	for _, f := range Findings(inv) {
		text = append(text, f.Problem+": "+f.Fix)
	}
	all := strings.Join(text, "\n")
	for _, want := range []string{"nvml: an NVIDIA card is here", "there is no instance", "AD102 is there", "no accelerator can be planned on"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing about %q in\n%s", want, all)
		}
	}
}

// BenchmarkProbe is a probe of this machine, asked anew.
func BenchmarkProbe(b *testing.B) {
	for b.Loop() {
		New(Local()).Probe(context.Background())
	}
}

// Sources give back what they keep open when nobody has asked for a while: a
// card whose driver is in use does not sleep.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int64
		source := steady("s", func() Reading { return Reading{State: OK} })
		source.Close = func() { closed.Add(1) }
		s := NewSampler(New(machine(tree("")), source))
		for range 5 {
			if _, err := s.Now(context.Background()); err != nil {
				t.Fatal(err)
			}
			<-time.After(idle / 2)
		}
		if n := closed.Load(); n != 0 {
			t.Errorf("closed %d times while it was asked", n)
		}
		<-time.After(10 * idle)
		if n := closed.Load(); n != 1 {
			t.Errorf("closed %d times when idle", n)
		}
	})
}
