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

// Free returns the pools with what starting sidecars will still take left out.
func (m *Manager) Free(ctx context.Context) ([]Pool, error) {
	m.adoptAll()
	pools, err := m.opts.Probe.Pools(ctx)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lessReserved(pools), nil
}

// lessReserved subtracts what starting sidecars have been promised and not
// taken: until it is taken, it still looks free. The caller holds mu.
func (m *Manager) lessReserved(pools []Pool) []Pool {
	out := slices.Clone(pools)
	for _, s := range m.sidecars {
		if s.state() != Starting {
			continue
		}
		for i := range out {
			if n := s.spec.Reserve[out[i].ID]; n > 0 {
				if out[i].ID == HostPool {
					n = max(0, n-s.resident())
				}
				out[i].Free = max(0, out[i].Free-n)
			}
		}
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
