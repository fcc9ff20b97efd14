package ledger

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"hwledger/ledger/event"
)

// Of a device without a counter the energy is what its power adds up to, with
// the time that no sample covers; of one with a counter it is that.
func TestPower(t *testing.T) {
	for name, c := range map[string]struct {
		power     func(after time.Duration) (int64, error)
		mj        int64
		unknownMS int64
		known     bool
	}{
		"steady":      {func(time.Duration) (int64, error) { return 100_000, nil }, 6_000_000, 0, true},
		"rising":      {func(d time.Duration) (int64, error) { return d.Milliseconds() * 10, nil }, 18_000_000, 0, true}, // 0 to 600 W
		"a short gap": {func(d time.Duration) (int64, error) { return 100_000, fails(d, 10, 14) }, 6_000_000, 0, true},
		"a long gap":  {func(d time.Duration) (int64, error) { return 100_000, fails(d, 10, 30) }, 4_000_000, 20_000, true},
		"silent":      {func(time.Duration) (int64, error) { return 0, errors.New("no sensor") }, 0, 60_000, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				m := &metered{began: began, start: map[string]int64{"counts": 1000}, devices: []string{"counts", "draws"}}
				m.sample(func(context.Context) (map[string]int64, error) {
					mw, err := c.power(time.Since(began))
					return map[string]int64{"draws": mw, "other": 5}, err
				})
				<-time.After(time.Minute)
				synctest.Wait()
				got := m.energy(time.Now(), map[string]int64{"counts": 1500, "other": 7})
				m.stop()
				synctest.Wait() // nothing goes on
				if !c.known {
					if got != (event.Energy{UnknownMS: c.unknownMS}) {
						t.Errorf("%+v", got)
					}
					return
				}
				if got.MilliJoules == nil || *got.MilliJoules != c.mj+500 || got.UnknownMS != c.unknownMS || got.Source != "samples" {
					t.Errorf("%v, want %d mJ", energyOf(got), c.mj+500)
				}
			})
		})
	}
}

// fails is an error between two times, in seconds.
func fails(d time.Duration, from, to float64) error {
	if s := d.Seconds(); s > from && s < to {
		return errors.New("busy")
	}
	return nil
}

func energyOf(e event.Energy) []any {
	if e.MilliJoules == nil {
		return []any{nil, e.Source, e.UnknownMS}
	}
	return []any{*e.MilliJoules, e.Source, e.UnknownMS}
}
