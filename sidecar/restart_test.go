package sidecar

import (
	"testing"
	"time"
)

// One that was ready is started again after pauses that double from a second
// to a minute, and begin again after five minutes of health; five crashes in
// ten minutes are too many, and what comes again by itself is not tried again.
func TestRestarts(t *testing.T) {
	crash := &Failure{Kind: Crashed}
	now := time.Unix(0, 0)
	within := func(got time.Duration, want time.Duration) bool { return got >= want && got <= want*5/4 }
	r := &restarts{}
	for i, want := range []time.Duration{1, 2, 4, 8} {
		if pause, more := r.next(crash, true, time.Second, now); !more || !within(pause, want*time.Second) {
			t.Errorf("crash %d: %s %v, want %d s", i+1, pause, more, want)
		}
		now = now.Add(time.Minute)
	}
	if _, more := r.next(crash, true, time.Second, now); more {
		t.Error("a fifth crash in ten minutes was not too many")
	}
	if pause, more := r.next(crash, true, 6*time.Minute, now.Add(11*time.Minute)); !more || !within(pause, time.Second) {
		t.Errorf("after a time of health: %s %v", pause, more)
	}
	r = &restarts{}
	for i := range 12 {
		pause, more := r.next(crash, true, time.Second, now.Add(time.Duration(i)*4*time.Minute))
		if !more || pause > longestWait*5/4 {
			t.Errorf("a crash now and then: %s %v", pause, more)
		}
	}
	for name, f := range map[string]*Failure{"out of memory": {Kind: OutOfMemory, Permanent: true}, "none": nil} {
		if _, more := (&restarts{}).next(f, true, time.Hour, now); more {
			t.Errorf("%s: it is tried again", name)
		}
	}
	if _, more := (&restarts{}).next(crash, false, 0, now); more {
		t.Error("one that never was ready is tried again")
	}
}
