package ledger

import (
	"context"
	"strings"
	"time"

	"hwledger/ledger/cost"
	"hwledger/ledger/event"
)

// metered is a run between its launch and its exit.
type metered struct {
	began   time.Time
	start   map[string]int64 // the counters then
	devices []string
	shared  bool // with another run, at some time
	// power adds up the power of devices without a counter, nil where all have
	// one; stop ends it.
	power *powerMeter
	stop  context.CancelFunc
}

// meter reads the counters at a run's launch, and gives its exit the energy
// between: that of its devices, whoever used them. Of devices without a counter
// the power is sampled meanwhile. Where two runs shared a device, or neither was
// there or the counter began anew, the energy is not known, and the exit says for
// how long.
func (r *Runs) meter(ctx context.Context, e RunEvent, t *told, device string) {
	if r.Meter == nil || device == "" || device == hostPool {
		return
	}
	switch event.Type(e.Type) {
	case event.TypeLaunch:
		run := &metered{began: e.Time, start: r.counters(ctx), devices: strings.Split(device, deviceSeparator)}
		run.sample(r.Power)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.metered == nil {
			r.metered = map[string]*metered{}
		}
		for _, other := range r.metered {
			if run.overlaps(other) {
				run.shared, other.shared = true, true
			}
		}
		if before := r.metered[e.Sidecar]; before != nil {
			before.stop()
		}
		r.metered[e.Sidecar] = run
	case event.TypeExit:
		r.mu.Lock()
		run := r.metered[e.Sidecar]
		delete(r.metered, e.Sidecar)
		r.mu.Unlock()
		if run == nil {
			return
		}
		run.stop()
		if t.Energy == (event.Energy{}) { // else it was told
			t.Energy = run.energy(e.Time, r.counters(ctx))
		}
	}
}

// counters are what can be read of them.
func (r *Runs) counters(ctx context.Context) map[string]int64 {
	readings, err := r.Meter(ctx)
	if err != nil {
		return nil // the exit says that the energy is not known
	}
	return readings
}

func (m *metered) overlaps(other *metered) bool {
	for _, a := range m.devices {
		for _, b := range other.devices {
			if a == b {
				return true
			}
		}
	}
	return false
}

// energy is what the devices used until now.
func (m *metered) energy(now time.Time, counters map[string]int64) event.Energy {
	unknown := event.Energy{UnknownMS: max(0, now.Sub(m.began).Milliseconds())}
	if m.shared {
		return unknown
	}
	sum, gaps, source := int64(0), time.Duration(0), "counter"
	for _, id := range m.devices {
		var used cost.Used
		from, had := m.start[id]
		if to, has := counters[id]; had && has {
			used = cost.FromCounter([]cost.Reading{{At: m.began, MilliJoules: from}, {At: now, MilliJoules: to}}, 0)
		} else if m.power != nil {
			used, source = m.power.used(id, now), "samples"
		}
		if !used.Known {
			return unknown
		}
		sum, gaps = sum+used.MilliJoules, max(gaps, used.Unknown)
	}
	return event.Energy{MilliJoules: &sum, Source: source, UnknownMS: gaps.Milliseconds()}
}
