package probe

import "testing"

// A device tells processes apart, and does not take an unknown list for an empty
// one.
func TestOf(t *testing.T) {
	a, b, c := gpu("GPU-1", 10<<30), gpu("GPU-2", 10<<30), gpu("GPU-3", 10<<30)
	a.Processes = known("t", []Process{{PID: 7, Used: known("t", int64(3<<30))}, {PID: 8, Used: missing[int64]("t", Unsupported, "not told")}})
	b.Processes = missing[[]Process]("t", Denied, "not yours")
	for _, want := range []struct {
		device *Device
		pid    int64
		state  State
		bytes  int64
	}{{&a, 7, OK, 3 << 30}, {&a, 8, Unsupported, 0}, {&a, 9, OK, 0}, {&b, 7, Denied, 0}, {&c, 7, Absent, 0}} {
		if f := want.device.Of(want.pid); f.State != want.state || f.Value != want.bytes || f.State != OK && f.Reason == "" {
			t.Errorf("%s, process %d: %+v", want.device.UUID, want.pid, f)
		}
	}
}
