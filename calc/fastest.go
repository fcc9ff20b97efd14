package calc

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"hwledger/calc/throughput"
)

// Rated is an option with the speed that it reaches at its most sequences.
type Rated struct {
	Option
	Sequences int64
	Speed     *throughput.Estimate
}

// Fastest judges changes, each with the most sequences that fit, and returns
// them by the tokens per second that all sequences get at least, fastest
// first; then those that do not fit, or whose speed cannot be said.
func Fastest(req Request, changes []Change, accept Accept) []Rated {
	var out []Rated
	for _, c := range changes {
		q := req
		q.Load.Flags = maps.Clone(req.Load.Flags)
		c.Apply(&q)
		r := Rated{Option: Option{Name: c.Name, Arguments: maps.Clone(c.Arguments)}}
		most, err := MaxSequences(q, accept)
		switch {
		case err != nil:
			r.Reason = reason(err)
			r.Binding = Binding{Kind: "engine", Text: r.Reason}
		case most.Value == 0:
			r.Result, r.Binding, r.Reason = most.Result, most.Binding, most.Binding.Text
		default:
			r.Result, r.Sequences, r.Binding, r.Fits = most.Result, most.Value, most.Binding, true
			r.Arguments["sequences"] = most.Value
			q.Load.Sequences = most.Value
			r.Speed = Speed(q, most.Result)
			r.Reason = fmt.Sprintf("%d sequences", most.Value)
			if r.Speed == nil {
				r.Reason += "; its speed cannot be said: the bandwidth of the hardware is not known"
			} else {
				d := r.Speed.Decode
				r.Reason += fmt.Sprintf(" at %.3g to %.3g tokens/s in all, bound by %s", d.Low, d.High, d.Bound)
			}
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b Rated) int { return cmp.Compare(b.least(), a.least()) })
	return out
}

// least is the speed to rank by, -1 for what does not fit.
func (r *Rated) least() float64 {
	switch {
	case !r.Fits:
		return -1
	case r.Speed == nil:
		return 0
	}
	return r.Speed.Decode.Low
}
