package sidecar_test

import (
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"hwledger/sidecar"
)

// meter is a probe of a device that tells what each process has.
type meter struct {
	pools
	mu    sync.Mutex
	by    int64
	asked []int
}

func (m *meter) Held(_ context.Context, pids []int) (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = pids
	return map[string]int64{"gpu0": m.by, "gpu1": 99}, nil
}

func (m *meter) have(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.by = n
}

// What its processes have of a device is its peak, whatever others take of it;
// what they have is not reserved a second time.
func TestMeter(t *testing.T) {
	probe, rec := &meter{}, &recorder{}
	probe.set(100)
	m := manager(t, func(o *sidecar.Options) { o.Probe, o.Recorder = probe, rec })
	s := spec("late", sidecar.Session)
	s.Env["GATE"], s.Reserve = filepath.Join(t.TempDir(), "gate"), map[string]int64{"gpu0": 60}
	s.Predicted = []sidecar.Figure{{Name: "weights", Bytes: 40}, {Name: "kv_cache", Bytes: 15, High: 20}}
	st, err := m.Launch(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "its process", func() bool { now, err := m.Get(st.ID); return err == nil && now.PID != 0 })
	probe.have(20)
	probe.set(70) // 10 are another's
	if free, err := m.Free(t.Context()); err != nil || free[0].Free != 30 {
		t.Errorf("%v: %+v; 60 are promised, of which 20 are taken", err, free)
	}
	probe.have(55)
	touch(t, s.Env["GATE"])
	if st = settle(t, m, st.ID); st.State != sidecar.Ready {
		t.Fatalf("%+v", st.Failure)
	}
	started := st.PID
	probe.have(0)
	probe.set(100)
	if st, err = m.Stop(t.Context(), st.ID); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(probe.asked, started) {
		t.Errorf("of %v was asked, not of %d", probe.asked, started)
	}
	exit := rec.last(t, "exit")
	asked := exit["exit_code"] == 0 || runtime.GOOS == "windows" && exit["signal"] == "killed" // without a console it cannot be asked
	if exit["peak_device_bytes"] != int64(55) || exit["reason"] != "stopped by request" || !asked || exit["pid"] != started {
		t.Errorf("%v", exit)
	}
	if p := rec.last(t, "launch"); p["lifetime"] != "session" || p["argv"] == nil || p["pid"] != started {
		t.Errorf("%v", p)
	}
}
