package enginelog

import (
	"fmt"
	"slices"
	"strings"

	"hwledger/calc"
	"hwledger/calc/engine"
)

// Difference is one figure beside the plan's. A figure that the plan does not
// know stays without prediction.
type Difference struct {
	Name      string
	Actual    engine.Bytes
	Predicted engine.Bytes
	Low, High engine.Bytes
	Known     bool
	// Line is where the log has it, the last line of a sum.
	Line int
}

// Within reports whether the figure is in the plan's range, give or take half
// a percent and what two decimals of a GiB, or of a MiB, round away: small
// tables are left out of formulas, and allocators round.
func (d *Difference) Within() bool {
	slack := max(d.Actual/200, min(engine.GiB/200, d.Actual/50), engine.MiB/200+1)
	return d.Known && d.Actual >= d.Low-slack && d.Actual <= d.High+slack
}

// Error is how far the plan is from the log, as a share of the log's figure;
// 0 when either is unknown or nothing.
func (d *Difference) Error() float64 {
	if !d.Known || d.Actual == 0 {
		return 0
	}
	return float64(d.Predicted-d.Actual) / float64(d.Actual)
}

// String says the same in a sentence.
func (d *Difference) String() string {
	if !d.Known {
		return fmt.Sprintf("%s: %s in the log, for which the plan has no figure", d.Name, d.Actual)
	}
	s := fmt.Sprintf("%s: %s in the log, %s planned (%+.1f %%)", d.Name, d.Actual, d.Predicted, 100*d.Error())
	switch {
	case d.Within() && d.Low < d.High:
		return s + ", inside the range"
	case !d.Within() && d.Low < d.High:
		return s + fmt.Sprintf(", outside the range of %s to %s", d.Low, d.High)
	case !d.Within():
		return s + ", which the plan has without a range"
	}
	return s
}

// Load is the load that the log's settings ask for; what the log does not say
// is left to the planner, and what is given wins.
func (r *Report) Load(given engine.Load) engine.Load {
	l := given
	fill := func(to *int64, from int64) {
		if *to == 0 {
			*to = from
		}
	}
	fill(&l.ContextTokens, r.ContextTokens)
	fill(&l.Sequences, r.Sequences)
	fill(&l.TensorParallel, r.TensorParallel)
	fill(&l.PipelineParallel, r.Pipeline)
	fill(&l.BatchTokens, r.BatchTokens)
	if l.Version == "" {
		l.Version = r.Version
	}
	if l.KVCacheType == "" || l.KVCacheType == "auto" {
		l.KVCacheType = r.KVCacheType
	}
	if l.MemoryUtilization == 0 && r.Utilization <= 1 {
		l.MemoryUtilization = r.Utilization
	}
	if l.GPULayers == nil {
		l.GPULayers = r.layersOnDevices()
	}
	known := calc.EngineFlags(r.Engine)
	flags := engine.Flags{}
	for k, v := range r.Flags {
		if slices.Contains(known, k) {
			flags[k] = v
		}
	}
	// llama.cpp's whole context follows from that of a sequence; where it does
	// not, sequences share it.
	if flags["n_ctx"] == l.ContextTokens*max(1, l.Sequences) || given.ContextTokens > 0 {
		delete(flags, "n_ctx")
	}
	for k, v := range given.Flags {
		flags[k] = v
	}
	l.Flags = flags
	return l
}

// layersOnDevices is what the log says, or none when every buffer is on the
// host.
func (r *Report) layersOnDevices() *int64 {
	if r.GPULayers != nil || !r.byBuffer() || len(r.Actual) == 0 {
		return r.GPULayers
	}
	for i := range r.Actual {
		if !r.Actual[i].Host {
			return nil
		}
	}
	return new(int64)
}

// byBuffer reports whether the engine prints each buffer of each device; others
// print one rank.
func (r *Report) byBuffer() bool { return r.Engine == "llama.cpp" || r.Engine == "ollama" }

// Compare puts the log's figures beside a plan's: sums over devices and host
// for an engine that prints each buffer, else those of the first rank.
func (r *Report) Compare(p *calc.Result) []Difference {
	var out []Difference
	for i := range r.Actual {
		a := &r.Actual[i]
		at := slices.IndexFunc(out, func(d Difference) bool { return d.Name == a.Name })
		if at < 0 {
			d := Difference{Name: a.Name}
			d.Predicted, d.Low, d.High, d.Known = r.predicted(a, p)
			out = append(out, d)
			at = len(out) - 1
		}
		out[at].Actual += a.Bytes
		out[at].Line = a.Line
	}
	return append(out, total(out)...)
}

// total sums what both the log and the plan have; none for a single figure. A
// pool takes what the rest leaves, so that the rest alone has a range.
func total(rows []Difference) []Difference {
	t := Difference{Name: "total", Known: true}
	n := 0
	for i := range rows {
		if d := rows[i]; d.Known {
			if strings.HasSuffix(d.Name, "pool") {
				d.Low, d.High = d.Predicted, d.Predicted
			}
			t.Actual, t.Predicted, t.Low, t.High = t.Actual+d.Actual, t.Predicted+d.Predicted, t.Low+d.Low, t.High+d.High
			t.Line = max(t.Line, d.Line)
			n++
		}
	}
	if n < 2 {
		return nil
	}
	return []Difference{t}
}

// predicted is the plan's figure for what the log calls a.
func (r *Report) predicted(a *Actual, p *calc.Result) (expected, low, high engine.Bytes, known bool) {
	switch {
	case strings.HasPrefix(a.Name, "draft "): // the plan is of the main model
		return 0, 0, 0, false
	case a.Category == engine.KVCache && p.Cache.Pool > 0 && len(p.Devices) > 0:
		d := &p.Devices[0] // the pool takes what the rest leaves
		return p.Cache.Pool, p.Cache.Pool - (d.High - d.Required), p.Cache.Pool + d.Required - d.Low, true
	case strings.HasSuffix(a.Name, "pool"): // unknown without the device
		return 0, 0, 0, false
	}
	for i := range p.Terms {
		t := &p.Terms[i]
		if !r.has(a, t) {
			continue
		}
		n := engine.Bytes(1)
		switch {
		case r.byBuffer(), a.Name == peak:
			n = engine.Bytes(max(1, len(t.On)))
		case !slices.Contains(t.On, 0):
			continue
		}
		l, h := t.Range()
		expected, low, high, known = expected+n*t.Bytes, low+n*l, high+n*h, true
	}
	return expected, low, high, known
}

// peak is the figure of all buffers together, the process beside them not
// counted.
const peak = "peak"

// has reports whether the log's figure has the term in it.
func (r *Report) has(a *Actual, t *engine.Term) bool {
	switch {
	case a.Name == peak:
		return t.Category != engine.Runtime
	case t.Category != a.Category:
		return false
	case a.Category == engine.Runtime:
		return counts(a.Name, t.Name)
	case r.byBuffer() && a.Category == engine.Workspace:
		return strings.EqualFold(a.Name, t.Name) // a start that failed has some of the buffers
	}
	return true
}

// counts reports whether an engine counts a term in a figure of its runtime:
// what vLLM finds outside PyTorch has the buffers of its communicators in it.
func counts(figure, term string) bool {
	return figure == term || figure == "memory outside PyTorch" && term == "communicators"
}
