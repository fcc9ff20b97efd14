package probe

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Memory is as young as it was asked to be, tells processes apart, and does
// not take an unknown list for an empty one.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		a, b, c := gpu("GPU-1", 10<<30), gpu("GPU-2", 10<<30), gpu("GPU-3", 10<<30)
		a.Processes = known("t", []Process{{PID: 7, Used: known("t", int64(3<<30))}, {PID: 8, Used: missing[int64]("t", Unsupported, "not told")}})
		b.Processes = missing[[]Process]("t", Denied, "not yours")
		s := NewSampler(New(machine(tree("")), steady("s", func() Reading {
			a.Free.Value = 10<<30 - reads.Add(1)
			return Reading{State: OK, Devices: []Device{a, b, c}, Host: &Host{Total: known("t", int64(64<<30)), Usable: known("t", int64(60<<30))}}
		})))
		ask := func(age time.Duration) *Memory {
			m, err := s.Memory(context.Background(), age)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		m := ask(time.Second)
		if d := m.Devices[0]; d.UUID != "GPU-1" || d.Total.Value != 24<<30 || d.Free.Value != 10<<30-1 || m.HostUsable.Value != 60<<30 {
			t.Errorf("got %+v", m)
		}
		for _, want := range []struct {
			device int
			pid    int64
			state  State
			bytes  int64
		}{{0, 7, OK, 3 << 30}, {0, 8, Unsupported, 0}, {0, 9, OK, 0}, {1, 7, Denied, 0}, {2, 7, Absent, 0}} {
			if f := m.Devices[want.device].Of(want.pid); f.State != want.state || f.Value != want.bytes || f.State != OK && f.Reason == "" {
				t.Errorf("device %d, process %d: %+v", want.device, want.pid, f)
			}
		}
		<-time.After(100 * time.Millisecond)
		if ask(time.Second); reads.Load() != 1 {
			t.Errorf("%d reads for one that may be a second old", reads.Load())
		}
		if m := ask(50 * time.Millisecond); m.Devices[0].Free.Value != 10<<30-2 {
			t.Errorf("older than asked: %+v", m.Devices[0].Free)
		}
		if m := ask(0); m.Devices[0].Free.Value != 10<<30-3 {
			t.Errorf("not read anew: %+v", m.Devices[0].Free)
		}
	})
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
