package sidecar

import (
	"context"
	"time"
)

// devicePools are the pools beside the host's of which the sidecar was
// promised a part, as they are now; none when the probe fails.
func (s *sidecar) devicePools() []Pool {
	wanted := false
	for id := range s.spec.Reserve {
		wanted = wanted || id != HostPool
	}
	if !wanted {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	all, err := s.m.opts.Probe.Pools(ctx)
	if err != nil {
		return nil
	}
	var out []Pool
	for _, p := range all {
		if p.ID != HostPool && s.spec.Reserve[p.ID] > 0 {
			out = append(out, p)
		}
	}
	return out
}

// taken is how much less is free of each pool than before: all that is known
// of a device whose driver does not tell what each process has.
func taken(before, now []Pool) map[string]int64 {
	out := map[string]int64{}
	for _, b := range before {
		for _, n := range now {
			if n.ID == b.ID {
				out[n.ID] = b.Free - n.Free
			}
		}
	}
	return out
}

// A driver gives the memory of a process back some time after its end.
const (
	memoryWithin = 5 * time.Second
	memoryPoll   = 50 * time.Millisecond
)

// awaitMemory waits until the devices have back at least half of what was taken
// since the launch, so that the next plan sees it; not for ever: others take
// memory too.
func (s *sidecar) awaitMemory(held []Pool) {
	took := taken(s.before, held)
	for end := time.Now().Add(memoryWithin); len(held) > 0 && time.Now().Before(end); {
		back := true
		for id, n := range taken(held, s.devicePools()) {
			back = back && -n >= took[id]/2
		}
		if back {
			return
		}
		time.Sleep(memoryPoll) // a driver tells nobody
	}
}
