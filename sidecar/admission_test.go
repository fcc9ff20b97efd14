package sidecar_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"hwledger/calc/model"
	"hwledger/sidecar"
	"hwledger/sidecar/proc"
)

// pools is a probe that says what it is told.
type pools struct {
	mu  sync.Mutex
	all []sidecar.Pool
	err error
}

func (p *pools) set(free int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = []sidecar.Pool{{ID: "gpu0", Total: 100, Free: free}}
}

func (p *pools) Pools(context.Context) ([]sidecar.Pool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all, p.err
}

// What a starting sidecar has been promised is not free, though it still looks
// so; when it is ready, what it took is no longer free by itself.
func TestAdmission(t *testing.T) {
	probe := &pools{all: []sidecar.Pool{{ID: "gpu0", Total: 100, Free: 100}}}
	m := manager(t, func(o *sidecar.Options) { o.Probe = probe })
	gate := filepath.Join(t.TempDir(), "gate")
	late := spec("late", sidecar.Session)
	late.Env["GATE"], late.Reserve = gate, map[string]int64{"gpu0": 60, "unknown": 1 << 40}
	first, err := m.Launch(t.Context(), late)
	if err != nil {
		t.Fatal(err)
	}
	if free, err := m.Free(t.Context()); err != nil || free[0].Free != 40 {
		t.Errorf("%v: %+v, want 40 free", err, free)
	}
	second := spec("serve", sidecar.Session)
	second.Reserve = map[string]int64{"gpu0": 41}
	if _, err := m.Launch(t.Context(), second); !isCode(err, model.WouldNotFit) {
		t.Errorf("41 of 40: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(filepath.Dir(first.KeyFile))); err != nil || len(entries) != 1 {
		t.Errorf("%v: a sidecar that was refused left files: %v", err, entries)
	}
	second.Reserve = map[string]int64{"gpu0": 40}
	if st := launch(t, m, second); st.State != sidecar.Ready {
		t.Errorf("40 of 40: %+v", st.Failure)
	}
	forced := spec("serve", sidecar.Session)
	forced.Reserve, forced.Force = map[string]int64{"gpu0": 1000}, true
	if st := launch(t, m, forced); st.State != sidecar.Ready {
		t.Errorf("forced: %+v", st.Failure)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	settle(t, m, first.ID)
	eventually(t, "all that the probe says", func() bool {
		free, err := m.Free(t.Context())
		return err == nil && free[0].Free == 100
	})
	probe.err = os.ErrPermission
	if _, err := m.Launch(t.Context(), second); !isCode(err, model.NotReady) {
		t.Errorf("without a probe: %v", err)
	}
}

// A device's memory is back some time after its process has ended: until then
// the sidecar is not stopped. What it took of the device is recorded.
func TestMemoryBack(t *testing.T) {
	probe := &pools{all: []sidecar.Pool{{ID: "gpu0", Total: 100, Free: 100}}}
	rec := &recorder{}
	m := manager(t, func(o *sidecar.Options) { o.Probe, o.Recorder = probe, rec })
	s := spec("late", sidecar.Session)
	s.Env["GATE"] = filepath.Join(t.TempDir(), "gate")
	s.Reserve = map[string]int64{"gpu0": 60}
	st, err := m.Launch(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	probe.set(45)
	if err := os.WriteFile(s.Env["GATE"], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	settle(t, m, st.ID)
	stopped := make(chan error, 1)
	go func() {
		_, err := m.Stop(context.WithoutCancel(t.Context()), st.ID)
		stopped <- err
	}()
	eventually(t, "the end of its process", func() bool {
		now, err := m.Get(st.ID)
		return err == nil && now.State == sidecar.Stopping && len(proc.AllMarked("HWLEDGER_SIDECAR="+st.ID)) == 0
	})
	probe.set(100)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	exit := rec.last(t, "exit")
	if got := exit["peak_device_bytes"]; got != int64(55) {
		t.Errorf("it took %v of the device, want 55", got)
	}
	if got := rec.last(t, "measurement")["pool_delta_bytes"].(map[string]int64)["gpu0"]; got != 55 {
		t.Errorf("it took %d of the device, want 55", got)
	}
}

// Of launches at the same moment only those that fit together are admitted.
func TestAdmissionRace(t *testing.T) {
	m := manager(t, func(o *sidecar.Options) {
		o.Probe = &pools{all: []sidecar.Pool{{ID: "gpu0", Total: 100, Free: 100}}}
	})
	gate := filepath.Join(t.TempDir(), "gate")
	var wg sync.WaitGroup
	var mu sync.Mutex
	admitted := 0
	for range 10 {
		wg.Go(func() {
			s := spec("late", sidecar.Session)
			s.Env["GATE"], s.Reserve = gate, map[string]int64{"gpu0": 30}
			_, err := m.Launch(t.Context(), s)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				admitted++
			case !isCode(err, model.WouldNotFit):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if admitted != 3 {
		t.Errorf("%d of 30 each were admitted to 100", admitted)
	}
}

func TestNames(t *testing.T) {
	m := manager(t, nil)
	s := spec("serve", sidecar.Session)
	s.Name = "one"
	st := launch(t, m, s)
	if _, err := m.Launch(t.Context(), s); !isCode(err, model.InvalidArgument) {
		t.Errorf("a name that is taken: %v", err)
	}
	if got, err := m.Get("one"); err != nil || got.ID != st.ID {
		t.Errorf("%v: %+v", err, got)
	}
	if _, err := m.Get("two"); !isCode(err, model.InvalidArgument) {
		t.Errorf("a name that is nobody's: %v", err)
	}
	if _, err := m.Stop(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Call(t.Context(), "one", sidecar.Call{Prompt: "x"}, nil); !isCode(err, model.NotReady) {
		t.Errorf("a call of one that ended: %v", err)
	}
	if again := launch(t, m, s); again.State != sidecar.Ready {
		t.Errorf("a name that is free again: %+v", again.Failure)
	}
}
