package sidecar

import (
	"context"
	"maps"
	"time"

	"hwledger/sidecar/proc"
)

// Meter is a Probe that knows what each process has of the devices.
type Meter interface {
	Probe
	// Held returns what the processes have of each pool together, in bytes. Pools
	// of which the driver does not say it for each process are left out.
	Held(ctx context.Context, pids []int) (map[string]int64, error)
}

// probeWithin bounds a look at the devices.
const probeWithin = 2 * time.Second

// meter follows what one attempt takes of the devices that it was promised a
// part of. It belongs to the sidecar's goroutine.
type meter struct {
	s     *sidecar
	began time.Time
	// peak is the most that was seen of each pool.
	peak map[string]int64
}

func newMeter(s *sidecar, adopted bool) *meter {
	m := &meter{s: s, began: time.Now(), peak: map[string]int64{}}
	if adopted {
		m.began = s.st.Created
	}
	return m
}

// look takes a sample of what is held.
func (m *meter) look() {
	for id, n := range m.s.held() {
		m.peak[id] = max(m.peak[id], n)
	}
}

// most is the sum of the peaks, 0 when none was seen.
func (m *meter) most() int64 {
	n := int64(0)
	for _, bytes := range m.peak {
		n += bytes
	}
	return n
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
	maps.Copy(out, s.heldByDriver())
	return out
}

// heldByDriver is what the driver says that the sidecar's processes have of each
// device; none of devices whose driver does not.
func (s *sidecar) heldByDriver() map[string]int64 {
	probe, ok := s.m.opts.Probe.(Meter)
	if !ok || !s.onDevices() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeWithin)
	defer cancel()
	by, err := probe.Held(ctx, s.pids())
	if err != nil {
		return nil
	}
	maps.DeleteFunc(by, func(id string, _ int64) bool { return id == HostPool || s.spec.Reserve[id] <= 0 })
	return by
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
