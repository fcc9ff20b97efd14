package sidecar_test

import (
	"strings"
	"testing"
	"time"

	"hwledger/sidecar"
)

// A helper that cannot do its work says why; one that says nothing is given
// up.
func TestHelperFailures(t *testing.T) {
	for _, c := range []struct{ mode, model, kind, cause string }{
		{"helper", "bad", sidecar.BadModel, "it is no model"},
		{"helper", "large", sidecar.OutOfMemory, "8 GiB"},
		{"helper", "die", sidecar.Crashed, "exit code 5"},
		{"old-helper", "x", sidecar.Unknown, "version"},
		{"mute-helper", "x", sidecar.Stalled, "no progress"},
		{"crash", "x", sidecar.Crashed, "exit code 3"},
	} {
		t.Run(c.mode+" "+c.model, func(t *testing.T) {
			t.Parallel()
			m := manager(t, nil)
			s := spec(c.mode, sidecar.Session)
			s.Engine, s.Model, s.Stall = "fake-helper", c.model, 10*time.Second
			if c.mode == "mute-helper" {
				s.Stall = 100 * time.Millisecond
			}
			st := launch(t, m, s)
			if f := st.Failure; st.State != sidecar.Failed || f == nil || f.Kind != c.kind || !strings.Contains(f.Cause, c.cause) {
				t.Errorf("%s: %+v", st.State, f)
			}
			gone(t, st)
		})
	}
}

// What a helper says that it holds is measured, and its noise is in the log.
func TestHelperMemory(t *testing.T) {
	m := manager(t, nil)
	s := spec("helper", sidecar.Session)
	s.Engine = "fake-helper"
	st := launch(t, m, s)
	if figure(st.Measured, "weights") != 1000 || figure(st.Measured, "kv_cache") != 50 {
		t.Errorf("%+v", st.Measured)
	}
	log, err := m.LogText(st.ID)
	for _, want := range []string{"noise on standard output", "helper fake 1 speaks protocol 1", "layers 1/2"} {
		if err != nil || !strings.Contains(log, want) {
			t.Errorf("%v: the log lacks %q: %s", err, want, log)
		}
	}
}
