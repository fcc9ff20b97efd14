package sidecar

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"hwledger/calc/model"
)

// hostProbe knows the memory of a Linux system only.
type hostProbe struct{}

// Pools returns the host's memory; none where it cannot be read.
func (hostProbe) Pools(context.Context) ([]Pool, error) {
	if runtime.GOOS != "linux" {
		return nil, nil
	}
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return nil, fmt.Errorf("reading the host's memory: %w", err)
	}
	defer f.Close()
	p := Pool{ID: HostPool}
	for s := bufio.NewScanner(f); s.Scan(); {
		for name, to := range map[string]*int64{"MemTotal:": &p.Total, "MemAvailable:": &p.Free} {
			if rest, ok := strings.CutPrefix(s.Text(), name); ok {
				if kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
					*to = kb << 10
				}
			}
		}
	}
	if p.Total == 0 {
		return nil, nil
	}
	return []Pool{p}, nil
}

// Free returns the pools with what sidecars will still take left out.
func (m *Manager) Free(ctx context.Context) ([]Pool, error) {
	m.adoptAll()
	pools, claims, err := m.look(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lessClaimed(pools, claims), nil
}

// look returns the pools, and the claims on them by sidecar from before: one
// that becomes ready while the pools are read has taken its part in neither or
// both, and both is the safe side.
func (m *Manager) look(ctx context.Context) ([]Pool, map[string]map[string]int64, error) {
	m.mu.Lock()
	all := slices.Collect(maps.Values(m.sidecars))
	m.mu.Unlock()
	claims := map[string]map[string]int64{}
	for _, s := range all {
		claims[s.id] = s.claims(ctx)
	}
	pools, err := m.opts.Probe.Pools(ctx)
	return pools, claims, err
}

// lessClaimed subtracts the claims. Sidecars that came after the look claim all
// that they were promised. The caller holds mu.
func (m *Manager) lessClaimed(pools []Pool, claims map[string]map[string]int64) []Pool {
	out := slices.Clone(pools)
	for id, s := range m.sidecars {
		claim, seen := claims[id]
		if !seen && s.state() == Starting {
			claim = s.spec.Reserve
		}
		for i := range out {
			out[i].Free = max(0, out[i].Free-max(0, claim[out[i].ID]))
		}
	}
	return out
}

// probeAge is how old what a probe says of free memory may be.
const probeAge = time.Second

// claims is what the sidecar has of what still looks free: while it starts, and
// as long as the probe may not have seen all of it, what it was promised and has
// not taken; after that the pages of files that it
// has mapped, which the system counts as available.
func (s *sidecar) claims(ctx context.Context) map[string]int64 {
	state := s.state()
	if state.Over() {
		return nil
	}
	anonymous, files := s.pages()
	s.mu.Lock()
	settled := state != Starting && time.Since(s.readyAt) > probeAge
	s.mu.Unlock()
	if settled {
		return map[string]int64{HostPool: min(files, s.spec.Reserve[HostPool])}
	}
	out := maps.Clone(s.spec.Reserve)
	if probe, ok := s.m.opts.Probe.(Meter); ok && s.onDevices() {
		if held, err := probe.Held(ctx, s.pids()); err == nil {
			for id, n := range held {
				out[id] -= n
			}
		}
	}
	if _, ok := out[HostPool]; ok {
		out[HostPool] -= anonymous
	}
	return out
}

// fits returns WouldNotFit when a pool has less than is needed of it. Pools
// that are not known are not held against it.
func fits(need map[string]int64, pools []Pool) error {
	for _, id := range slices.Sorted(maps.Keys(need)) {
		for _, p := range pools {
			if p.ID == id && need[id] > p.Free {
				e := model.Errorf(model.WouldNotFit, "", "it needs %s of %s memory, and %s are free and not promised to starting sidecars", gib(need[id]), id, gib(p.Free))
				return e.WithHint("stop another sidecar, plan with less (context_tokens, sequences, weights, kv_cache_dtype), or set force and confirm")
			}
		}
	}
	return nil
}

func gib(n int64) string { return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30)) }
