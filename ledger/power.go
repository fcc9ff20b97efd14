package ledger

import (
	"context"
	"slices"
	"sync"
	"time"

	"hwledger/ledger/cost"
)

// powerEvery is the time between two samples of power.
const powerEvery = 2 * time.Second

// powerMeter adds up the power of devices, from samples.
type powerMeter struct {
	mu   sync.Mutex
	last map[string]cost.Sample
	sums map[string]cost.Used
}

// sample begins to sample the power of the run's devices that have no counter;
// stop has to be called.
func (m *metered) sample(power func(context.Context) (map[string]int64, error)) {
	m.stop = func() {}
	if power == nil || !slices.ContainsFunc(m.devices, func(id string) bool { _, counts := m.start[id]; return !counts }) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.power, m.stop = &powerMeter{last: map[string]cost.Sample{}, sums: map[string]cost.Used{}}, cancel
	go m.power.run(ctx, power)
}

func (p *powerMeter) run(ctx context.Context, power func(context.Context) (map[string]int64, error)) {
	tick := time.NewTicker(powerEvery)
	defer tick.Stop()
	for {
		if readings, err := power(ctx); err == nil { // else there is a gap
			p.add(time.Now(), readings)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// add takes what devices draw at a time, in milliwatts.
func (p *powerMeter) add(at time.Time, readings map[string]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, mw := range readings {
		now := cost.Sample{At: at, MilliWatts: mw}
		if before, ok := p.last[id]; ok {
			p.sums[id] = plus(p.sums[id], cost.FromPower([]cost.Sample{before, now}, powerEvery))
		}
		p.last[id] = now
	}
}

// used is what a device used until now. What came after the last sample is taken
// to be as that.
func (p *powerMeter) used(id string, now time.Time) cost.Used {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, ok := p.last[id]
	if !ok {
		return cost.Used{}
	}
	return plus(p.sums[id], cost.FromPower([]cost.Sample{last, {At: now, MilliWatts: last.MilliWatts}}, powerEvery))
}

func plus(a, b cost.Used) cost.Used {
	return cost.Used{MilliJoules: a.MilliJoules + b.MilliJoules, Known: a.Known || b.Known, Unknown: a.Unknown + b.Unknown}
}
