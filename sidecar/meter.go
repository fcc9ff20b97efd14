package sidecar

import (
	"context"
	"math"
	"time"

	"hwledger/sidecar/proc"
)

// Meter is a Probe that knows more of the devices than what is free.
type Meter interface {
	Probe
	// Held returns what the processes have of each pool, in bytes. Pools of
	// which the driver does not say it for each process are left out.
	Held(ctx context.Context, pids []int) (map[string]int64, error)
	// Energy returns the counters of the pools' devices in joules, and leaves
	// out those without.
	Energy(ctx context.Context) (map[string]float64, error)
}

// probeWithin bounds a look at the devices.
const probeWithin = 2 * time.Second

// meter follows what one attempt takes of the devices that it was promised a
// part of. It belongs to the sidecar's goroutine.
type meter struct {
	s     *sidecar
	began time.Time
	// energy are the counters at the start, nil when there are none; missed says
	// that the start was not seen.
	energy map[string]float64
	missed bool
	// peak is the most that was seen of each pool.
	peak map[string]int64
}

func newMeter(s *sidecar, adopted bool) *meter {
	m := &meter{s: s, began: time.Now(), peak: map[string]int64{}, missed: adopted}
	if m.energy = m.counters(); adopted {
		m.began = s.st.Created
	}
	return m
}

// counters are the energy counters of the devices, nil when one has none: the
// sum would be of something else.
func (m *meter) counters() map[string]float64 {
	probe, ok := m.s.m.opts.Probe.(Meter)
	if !ok || !m.s.onDevices() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeWithin)
	defer cancel()
	all, err := probe.Energy(ctx)
	if err != nil {
		return nil
	}
	out := map[string]float64{}
	for id, n := range m.s.spec.Reserve {
		if id == HostPool || n <= 0 {
			continue
		}
		v, ok := all[id]
		if !ok {
			return nil
		}
		out[id] = v
	}
	return out
}

// look takes a sample of what is held.
func (m *meter) look() {
	for id, n := range m.s.held() {
		m.peak[id] = max(m.peak[id], n)
	}
}

// result adds the peak and the energy to a payload. The energy is all that the
// devices used in the time, whoever used them.
func (m *meter) result(p map[string]any) {
	took := time.Since(m.began)
	p["duration_ms"] = took.Milliseconds()
	if len(m.peak) > 0 {
		n := int64(0)
		for _, bytes := range m.peak {
			n += bytes
		}
		p["peak_bytes"] = n
	}
	if m.energy == nil {
		return
	}
	now, joules := m.counters(), 0.0
	for id, before := range m.energy {
		after, ok := now[id]
		if !ok || after < before || m.missed { // a counter that went back was reset
			p["energy_unknown_ms"] = took.Milliseconds()
			return
		}
		joules += after - before
	}
	p["energy_mj"], p["energy_source"] = int64(math.Round(joules*1000)), "counter"
}

// onDevices reports whether the sidecar was promised memory of a device.
func (s *sidecar) onDevices() bool {
	for id, n := range s.spec.Reserve {
		if id != HostPool && n > 0 {
			return true
		}
	}
	return false
}

// held is what the sidecar's processes have of each device now: as the driver
// says for each process, else by how much less is free than before its launch.
func (s *sidecar) held() map[string]int64 {
	if !s.onDevices() {
		return nil
	}
	out := taken(s.before, s.devicePools())
	if probe, ok := s.m.opts.Probe.(Meter); ok {
		ctx, cancel := context.WithTimeout(context.Background(), probeWithin)
		defer cancel()
		by, err := probe.Held(ctx, s.pids())
		for id := range by {
			if err == nil && s.spec.Reserve[id] > 0 && id != HostPool {
				out[id] = by[id]
			}
		}
	}
	for id, n := range out {
		if n <= 0 { // nothing of it is known to be the sidecar's
			delete(out, id)
		}
	}
	return out
}

// pids are the sidecar's processes.
func (s *sidecar) pids() []int {
	s.mu.Lock()
	pid := s.st.PID
	s.mu.Unlock()
	if pid == 0 {
		return nil
	}
	pids, _ := proc.Members(pid) // those that can be seen
	return pids
}
