package cost

import (
	"math"
	"testing"
	"time"
)

func TestMoney(t *testing.T) {
	for name, c := range map[string]struct {
		got  func() (int64, bool)
		want int64
		ok   bool
	}{
		// 350 W for an hour at 0.30 $/kWh is 10.5 cents.
		"energy":       {func() (int64, bool) { return Energy(350*3600*1000, 300_000, 1000) }, 105_000, true},
		"energy, PUE":  {func() (int64, bool) { return Energy(350*3600*1000, 300_000, 1200) }, 126_000, true},
		"no energy":    {func() (int64, bool) { return Energy(0, 300_000, 1000) }, 0, true},
		"a century":    {func() (int64, bool) { return Energy(math.MaxInt64, 300_000, 1000) }, 768_614_336_404_565, true},
		"too much":     {func() (int64, bool) { return Energy(math.MaxInt64, math.MaxInt64, 1000) }, 0, false},
		"half a micro": {func() (int64, bool) { return Energy(1800, 1_000_000, 1000) }, 1, true},
		"less":         {func() (int64, bool) { return Energy(1799, 1_000_000, 1000) }, 0, true},
		"rental":       {func() (int64, bool) { return Rental(90*time.Minute, 3_990_000) }, 5_985_000, true},
		"hardware":     {func() (int64, bool) { return PerHour(1_599_000_000, 4*8766, 50) }, 91_205, true}, // $1599 over 17,532 h
		"no life":      {func() (int64, bool) { return PerHour(1, 0, 50) }, 0, false},
		"tokens":       {func() (int64, bool) { return Quantity(1.25, 600_000) }, 750_000, true},
		"credit":       {func() (int64, bool) { return Quantity(-0.5, 1) }, -1, true},
		"not a number": {func() (int64, bool) { return Quantity(math.NaN(), 1) }, 0, false},
		"infinite":     {func() (int64, bool) { return Quantity(math.Inf(1), 1) }, 0, false},
		"too many":     {func() (int64, bool) { return Quantity(1e300, 1) }, 0, false},
	} {
		if got, ok := c.got(); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %d %v, want %d %v", name, got, ok, c.want, c.ok)
		}
	}
}

func at(seconds float64) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func TestCounter(t *testing.T) {
	for name, c := range map[string]struct {
		readings []Reading
		wraps    int64
		want     Used
	}{
		"none":   {nil, 0, Used{}},
		"one":    {[]Reading{{at(0), 5}}, 0, Used{}},
		"rising": {[]Reading{{at(0), 1000}, {at(10), 4500}, {at(20), 4500}}, 0, Used{MilliJoules: 3500, Known: true}},
		"reset":  {[]Reading{{at(0), 1000}, {at(10), 2000}, {at(13), 50}, {at(20), 250}}, 0, Used{MilliJoules: 1200, Known: true, Unknown: 3 * time.Second}},
		"wraps":  {[]Reading{{at(0), 262_143_000}, {at(1), 500}}, 262_143_328, Used{MilliJoules: 828, Known: true}},
		"lost":   {[]Reading{{at(0), 9}, {at(60), 3}}, 0, Used{Unknown: time.Minute}},
	} {
		if got := FromCounter(c.readings, c.wraps); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestPower(t *testing.T) {
	for name, c := range map[string]struct {
		samples []Sample
		want    Used
	}{
		"none":             {nil, Used{}},
		"steady":           {[]Sample{{at(0), 350_000}, {at(1), 350_000}, {at(2), 350_000}}, Used{MilliJoules: 700_000, Known: true}},
		"rising":           {[]Sample{{at(0), 0}, {at(1), 100_000}}, Used{MilliJoules: 50_000, Known: true}},
		"a gap is unknown": {[]Sample{{at(0), 100_000}, {at(1), 100_000}, {at(9), 100_000}, {at(10), 100_000}}, Used{MilliJoules: 200_000, Known: true, Unknown: 8 * time.Second}},
		"three intervals":  {[]Sample{{at(0), 100_000}, {at(3), 100_000}}, Used{MilliJoules: 300_000, Known: true}},
		"only a gap":       {[]Sample{{at(0), 100_000}, {at(60), 100_000}}, Used{Unknown: time.Minute}},
		"small steps add":  {[]Sample{{at(0), 1}, {at(0.5), 1}, {at(1), 1}, {at(1.5), 1}, {at(2), 1}}, Used{MilliJoules: 2, Known: true}},
	} {
		if got := FromPower(c.samples, time.Second); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
