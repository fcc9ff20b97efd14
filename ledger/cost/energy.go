package cost

import "time"

// Used is energy over a time. Known is false when nothing of it is known;
// Unknown is the time that MilliJoules does not cover.
type Used struct {
	MilliJoules int64
	Known       bool
	Unknown     time.Duration
}

// Reading is a cumulative energy counter at a time, such as NVML's total
// energy consumption, or RAPL's energy_uj in millijoules.
type Reading struct {
	At          time.Time
	MilliJoules int64
}

// FromCounter returns the energy between readings in the order of their times.
// wraps is the value at which the counter begins anew, 0 when it does not.
// Where a counter that does not wrap goes back, its driver was loaded anew and
// the energy between the two readings is not known.
func FromCounter(readings []Reading, wraps int64) Used {
	var u Used
	for i := 1; i < len(readings); i++ {
		a, b := readings[i-1], readings[i]
		d := b.MilliJoules - a.MilliJoules
		if d < 0 && wraps > 0 && a.MilliJoules <= wraps {
			d += wraps
		}
		if d < 0 || b.At.Before(a.At) {
			u.Unknown += max(0, b.At.Sub(a.At))
			continue
		}
		u.MilliJoules, u.Known = u.MilliJoules+d, true
	}
	return u
}

// Sample is power at a time.
type Sample struct {
	At         time.Time
	MilliWatts int64
}

// mostGap is how many intervals may pass between two samples before the power
// between them is unknown rather than between theirs.
const mostGap = 3

// FromPower integrates power by trapezoids over samples that are taken every
// interval. A gap of more than three intervals is time whose energy is not
// known, and not one of no energy.
func FromPower(samples []Sample, interval time.Duration) Used {
	var u Used
	var twice int64 // mW × µs, of two trapezoids
	for i := 1; i < len(samples); i++ {
		a, b := samples[i-1], samples[i]
		d := b.At.Sub(a.At)
		if d < 0 || d > mostGap*interval || a.MilliWatts < 0 || b.MilliWatts < 0 {
			u.Unknown += max(0, d)
			continue
		}
		twice += (a.MilliWatts + b.MilliWatts) * d.Microseconds()
		if whole := twice / 2e6; whole > 0 { // mJ, so that the rest stays small
			u.MilliJoules += whole
			twice -= whole * 2e6
		}
		u.Known = true
	}
	if twice >= 1e6 {
		u.MilliJoules++
	}
	return u
}
