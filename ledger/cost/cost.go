// Package cost turns what was used into money: energy by its price,
// hardware by its life, a machine by the hour. Arithmetic is exact, and is
// rounded once, at the end, to whole micro-USD.
package cost

import (
	"math"
	"math/big"
	"time"
)

// milliJoulesPerKWh is 3.6 MJ.
const milliJoulesPerKWh = 3_600_000_000

// Energy returns the price in micro-USD of energy in millijoules, at micro-USD
// per kWh. pue is the facility's power usage effectiveness in thousandths:
// 1000 is none. ok is false when the result has more than 63 bits.
func Energy(milliJoules, perKWh, pue int64) (microUSD int64, ok bool) {
	return ratio(1000*milliJoulesPerKWh, milliJoules, perKWh, pue)
}

// Rental returns the price in micro-USD of a time at micro-USD per hour.
func Rental(d time.Duration, perHour int64) (microUSD int64, ok bool) {
	return ratio(int64(time.Hour), int64(d), perHour)
}

// PerHour returns what an hour of use of hardware costs, in micro-USD: its
// price over the hours of its life in which it is used.
func PerHour(price, lifeHours, utilizationPercent int64) (microUSD int64, ok bool) {
	if lifeHours <= 0 || utilizationPercent <= 0 {
		return 0, false
	}
	hours, ok := ratio(1, lifeHours, utilizationPercent)
	if !ok {
		return 0, false
	}
	return ratio(hours, price, 100)
}

// Quantity returns the price of an amount of something at micro-USD per unit.
func Quantity(amount float64, perUnit int64) (microUSD int64, ok bool) {
	r := new(big.Rat).SetFloat64(amount)
	if r == nil {
		return 0, false
	}
	return round(r.Mul(r, new(big.Rat).SetInt64(perUnit)))
}

// ratio returns the product of factors over a divisor, rounded.
func ratio(divisor int64, factors ...int64) (int64, bool) {
	r := new(big.Rat).SetFrac64(1, divisor)
	for _, f := range factors {
		r.Mul(r, new(big.Rat).SetInt64(f))
	}
	return round(r)
}

// round returns the nearest integer, halves away from zero.
func round(r *big.Rat) (int64, bool) {
	half := big.NewRat(1, 2)
	if r.Sign() < 0 {
		half.Neg(half)
	}
	r.Add(r, half)
	q := new(big.Int).Quo(r.Num(), r.Denom())
	return q.Int64(), q.IsInt64() && q.Int64() != math.MinInt64
}
