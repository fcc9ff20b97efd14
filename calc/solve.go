package calc

import (
	"fmt"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// Accept says which verdicts count as fitting.
type Accept bool

// The choices of Accept.
const (
	Safely   Accept = false // even the high end of the range is within what is usable
	Expected Accept = true  // the expected size is
)

// left returns what decides: the memory left under the choice.
func (a Accept) left(r *Result) margin {
	expected, high := r.margins()
	if a == Expected {
		return expected
	}
	return high
}

func (a Accept) ok(r *Result) bool {
	return r.Verdict == Fits || r.Verdict == Tight && a == Expected
}

// Binding is what keeps a solution from being larger.
type Binding struct {
	// Kind is memory, model_context, engine or limit: memory that is not
	// there, the longest context of the model, a setting that the engine
	// refuses, the most that can be asked for.
	Kind string
	// Device names what is full, "" for other kinds.
	Device string
	// Category is the largest part of what one more would add there.
	Category string
	// Short is how much is missing for one more.
	Short Bytes
	// Text says the same in words.
	Text string
}

// Maximum is the solution of a search for the largest number.
type Maximum struct {
	// Value is the largest number that fits: one more does not. 0 when even
	// the smallest does not fit.
	Value int64
	// Result is the plan at Value, at the smallest number when that is 0.
	Result  *Result
	Binding Binding
	// Plans is how many plans the search took.
	Plans int
}

// MaxContext returns the longest context, in tokens per sequence, with which
// the request fits its hardware: one token more does not. The model's own
// maximum bounds it.
func MaxContext(req Request, accept Accept) (*Maximum, error) {
	limit := int64(maxTokens)
	if req.Model != nil && req.Model.Context > 0 {
		limit = req.Model.Context
	}
	kind := "model_context"
	if req.Load.MaxModelLen > 0 && req.Load.MaxModelLen < limit {
		limit, kind = req.Load.MaxModelLen, "limit"
	}
	return maximise(req, accept, search1{what: "tokens of context", limit: limit, kind: kind, step: contextStep,
		set: func(l *engine.Load, n int64) { l.ContextTokens = n }})
}

// MaxSequences returns the most sequences of the request's context that fit
// its hardware at once: one more does not.
func MaxSequences(req Request, accept Accept) (*Maximum, error) {
	return maximise(req, accept, search1{what: "sequences", limit: 1 << 20, kind: "limit", step: 1,
		set: func(l *engine.Load, n int64) { l.Sequences = n }})
}

// contextStep is what engines round a context up to at most (llama.cpp: 256
// cells), so that the search looks at such steps first.
const contextStep = 256

// search1 is a search along one number of the load, in which memory never
// falls.
type search1 struct {
	what  string
	limit int64
	kind  string // of the binding at the limit
	step  int64
	set   func(*engine.Load, int64)
}

// solver plans one request at different numbers and keeps the last plans on
// both sides.
type solver struct {
	search1
	req    Request
	accept Accept
	plans  int

	lo, hi         int64 // fits, does not
	loPlan, hiPlan *Result
	loLeft, hiLeft Bytes
	hiErr          error
}

func maximise(req Request, accept Accept, along search1) (*Maximum, error) {
	if len(req.Hardware.Devices) == 0 {
		return nil, model.Errorf(model.InvalidArgument, "hardware", "the most that fits depends on the hardware").
			WithHint(`give hardware, such as "RTX 4090" or {"memory_bytes": 25757220864}`)
	}
	s := &solver{search1: along, req: req, accept: accept}
	if !s.at(1) {
		if s.hiPlan == nil {
			return nil, s.hiErr
		}
		return s.solution(0, s.hiPlan), nil
	}
	if s.at(s.limit) {
		m := s.solution(s.limit, s.loPlan)
		m.Binding = Binding{Kind: s.kind, Text: s.atLimit()}
		return m, nil
	}
	s.narrow()
	return s.solution(s.lo, s.loPlan), nil
}

func (s *solver) atLimit() string {
	if s.kind == "model_context" {
		return fmt.Sprintf("%d tokens are the model's own maximum", s.limit)
	}
	return fmt.Sprintf("%d %s are the most that was asked for", s.limit, s.what)
}

// at plans at n and moves the end of the bracket that n is on.
func (s *solver) at(n int64) bool {
	s.plans++
	req := s.req
	s.set(&req.Load, n)
	r, err := Size(req)
	if err == nil && s.accept.ok(r) {
		s.lo, s.loPlan, s.loLeft = n, r, s.accept.left(r).Bytes
		return true
	}
	s.hi, s.hiPlan, s.hiErr, s.hiLeft = n, r, err, 0
	if err == nil {
		s.hiLeft = s.accept.left(r).Bytes
	}
	return false
}

// narrow brings the ends together. Memory is nearly affine in the number, so
// that the line through both ends leads close to the answer; the step that
// engines round to is found first, and what is left within it after.
func (s *solver) narrow() {
	if s.step > 1 {
		s.within(s.step)
		if s.hi-s.lo > 1 && !s.at(s.lo+1) {
			return // rounded to whole steps, as most are
		}
		if s.hi-s.lo > 1 && s.at(s.hi-1) {
			return
		}
	}
	s.within(1)
}

// within brings the ends to within step of each other.
func (s *solver) within(step int64) {
	for try := 0; s.hi-s.lo > step; try++ {
		span := s.hi - s.lo
		next := s.lo + span/2
		// Every third probe halves, for sizes that are far from a line.
		if try%3 != 2 && s.hiErr == nil && s.loLeft > 0 && s.hiLeft < 0 {
			next = s.lo + int64(float64(span)*float64(s.loLeft)/(float64(s.loLeft)-float64(s.hiLeft)))
		}
		next = next / step * step
		if next <= s.lo {
			next = s.lo/step*step + step
		}
		if next >= s.hi {
			next = s.hi - 1
		}
		s.at(next)
	}
}

func (s *solver) solution(value int64, r *Result) *Maximum {
	return &Maximum{Value: value, Result: r, Binding: s.binding(), Plans: s.plans}
}

// binding says why the number after the solution does not fit.
func (s *solver) binding() Binding {
	if s.hiErr != nil {
		return Binding{Kind: "engine", Text: s.hiErr.Error()}
	}
	if s.hiPlan == nil {
		return Binding{}
	}
	return memoryBinding(s.hiPlan, s.loPlan, s.accept)
}

// memoryBinding says which device a plan is too large for, and what of it
// grew since the plan before, nil for none.
func memoryBinding(r, before *Result, accept Accept) Binding {
	b := Binding{Kind: "memory"}
	if len(r.Devices) > 0 && !r.Devices[len(r.Devices)-1].Known {
		b.Kind, b.Text = "limit", fmt.Sprintf("%d devices are needed and not all are given", len(r.Devices))
		return b
	}
	left := accept.left(r)
	var now, then Totals
	if left.Device < 0 {
		b.Device = "host"
		now = r.Host.Totals
		if before != nil && before.Host != nil {
			then = before.Host.Totals
		}
	} else {
		b.Device = r.Devices[left.Device].Name
		now = r.Devices[left.Device].Totals
		if before != nil {
			then = before.Devices[left.Device].Totals
		}
	}
	b.Short = -left.Bytes
	b.Category = grew(now, then).String()
	at := ""
	if accept == Safely && r.Verdict == Tight {
		at = " at the high end of the range"
	}
	b.Text = fmt.Sprintf("memory of %s: short by %s%s, where %s grows most", b.Device, b.Short, at, b.Category)
	if before == nil {
		b.Text = fmt.Sprintf("memory of %s: short by %s%s, most of what is needed is %s", b.Device, b.Short, at, b.Category)
	}
	return b
}

// grew returns the category that grew most.
func grew(now, then Totals) engine.Category {
	best, most := engine.Weights, Bytes(-1)
	for _, x := range []struct {
		c engine.Category
		n Bytes
	}{
		{engine.Weights, now.Weights - then.Weights}, {engine.KVCache, now.KVCache - then.KVCache}, {engine.State, now.State - then.State},
		{engine.Workspace, now.Workspace - then.Workspace}, {engine.Runtime, now.Runtime - then.Runtime},
	} {
		if x.n > most {
			best, most = x.c, x.n
		}
	}
	return best
}
