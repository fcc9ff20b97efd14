package sidecar

import (
	"math/rand/v2"
	"time"
)

// The rules of restarts: a pause that doubles, from the first again after a
// time of health, and an end of trying.
const (
	firstPause  = time.Second
	longestWait = time.Minute
	healthy     = 5 * time.Minute
	mostCrashes = 5
	crashWindow = 10 * time.Minute
)

// restarts decides whether a sidecar that crashed is started again.
type restarts struct {
	crashes []time.Time
	pause   time.Duration
	first   time.Duration // firstPause but in tests
}

// next returns how long to wait before another start, and false for no more.
// A sidecar is started again when it was ready once, and its failure does not
// come again by itself.
func (r *restarts) next(f *Failure, wasReady bool, readyFor time.Duration, now time.Time) (time.Duration, bool) {
	if f == nil || f.Permanent || !wasReady {
		return 0, false
	}
	if r.first == 0 {
		r.first = firstPause
	}
	if readyFor >= healthy || r.pause == 0 {
		r.pause = r.first
	} else {
		r.pause = min(2*r.pause, longestWait)
	}
	r.crashes = append(r.crashes, now)
	for len(r.crashes) > 0 && now.Sub(r.crashes[0]) > crashWindow {
		r.crashes = r.crashes[1:]
	}
	if len(r.crashes) >= mostCrashes {
		return 0, false
	}
	// Jitter keeps several that fell together from rising together.
	return r.pause + time.Duration(rand.Int64N(int64(r.pause)/4+1)), true
}
