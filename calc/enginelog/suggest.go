package enginelog

import (
	"fmt"
	"math"
	"slices"

	"hwledger/calc"
	"hwledger/calc/engine"
)

// Suggest returns changes that were planned and fit, for the failure of the
// log: first what the engine says itself, then the share of the device that its
// pool may have, then those of the plan. A plan that fits where the engine failed is asked again with as much
// less memory as makes it lack what the log shows to be missing.
func (r *Report) Suggest(req calc.Request, res *calc.Result) []calc.Suggestion {
	f := r.Failure
	if f == nil || f.Kind != OutOfMemory || f.Host || len(req.Hardware.Devices) == 0 {
		return res.Suggestions
	}
	out := append(r.suggestContext(req), r.suggestShare(req, res)...)
	more := res.Suggestions
	if res.Verdict == calc.Fits && f.Stage != "start" {
		more = r.suggestWithLess(req, res)
	}
	return append(out, more...)
}

// suggestContext returns the context that the engine itself says would fit,
// unless the plan is sure that it does not.
func (r *Report) suggestContext(req calc.Request) []calc.Suggestion {
	n := r.Failure.Fits
	if n <= 0 || n >= req.Load.ContextTokens {
		return nil
	}
	req.Load.ContextTokens = n
	p, err := calc.Size(req)
	if err != nil || p.Verdict == calc.DoesNotFit {
		return nil
	}
	return []calc.Suggestion{{Change: fmt.Sprintf("shorten the context to %d tokens, as the engine itself says", n),
		Arguments: map[string]any{"context_tokens": n}, Required: p.Totals.Required, Fits: true}}
}

// highest is the largest share that is suggested: drivers and contexts take
// some of every device.
const highest = 0.97

// suggestShare returns the share of the device that fits: what was free when
// another process held memory, a larger one when weights and cache did not fit
// in it, a smaller one when the rest of the device was too little.
func (r *Report) suggestShare(req calc.Request, res *calc.Result) []calc.Suggestion {
	name, now, total := shares[r.Engine], res.Load.MemoryUtilization, req.Hardware.Devices[0].Total
	if now == 0 {
		now = r.Utilization
	}
	if name == "" || now == 0 || total == 0 {
		return nil
	}
	short := float64(r.Failure.Short) / float64(total)
	first, last, step, verb := 0.0, 0.0, -0.01, "lower"
	switch r.Failure.Stage {
	case "start":
		first = float64(r.FreeBytes) / float64(total)
		last = first - 0.01
	case "cache":
		first, last, step, verb = math.Ceil((now+max(short, 0.01))*100)/100, highest, 0.01, "raise"
	case "run":
		first, last = now-max(short, 0.01), now-0.15
	}
	for v := math.Floor(first*100+1e-6) / 100; v > 0 && (v-last)*step <= 1e-9; v += step {
		try := req
		try.Load.MemoryUtilization = math.Round(v*100) / 100
		if p, err := calc.Size(try); err == nil && p.Verdict == calc.Fits {
			v = try.Load.MemoryUtilization
			return []calc.Suggestion{{Change: fmt.Sprintf("%s %s to %.2f", verb, name, v),
				Arguments: map[string]any{"gpu_memory_utilization": v}, Required: p.Totals.Required, Fits: true}}
		}
	}
	return nil
}

// suggestWithLess asks the planner with less memory on each device; it returns
// none when that would leave nothing, or the plan does not depend on it.
func (r *Report) suggestWithLess(req calc.Request, res *calc.Result) []calc.Suggestion {
	less := engine.Bytes(math.MaxInt64)
	for i := range res.Devices {
		if d := &res.Devices[i]; d.Known {
			less = min(less, d.Usable-d.High+d.OutsideHigh)
		}
	}
	if less == math.MaxInt64 {
		return nil
	}
	less += max(r.Failure.Short, 1)
	if share := max(res.Load.MemoryUtilization, r.Utilization); share > 0 && share < 1 {
		less = engine.Bytes(float64(less) / share)
	}
	req.Hardware.Devices = slices.Clone(req.Hardware.Devices)
	for i := range req.Hardware.Devices {
		d := &req.Hardware.Devices[i]
		if less <= 0 || less >= d.Free {
			return nil
		}
		d.Total, d.Free, d.Usable = d.Total-less, d.Free-less, d.Usable-less
	}
	p, err := calc.Size(req)
	if err != nil {
		return nil
	}
	return calc.Suggest(req, p)
}
