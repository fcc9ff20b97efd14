package calc

import (
	"errors"
	"fmt"
	"maps"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// Change is one way to alter a request.
type Change struct {
	// Name is what people call it: "Q4_K_M", "2x RTX 4090".
	Name string
	// Arguments are the same for plan_memory.
	Arguments map[string]any
	// Apply alters the request, whose maps it must not write to.
	Apply func(*Request)
}

// Option is a change that was judged.
type Option struct {
	Name      string
	Arguments map[string]any
	Fits      bool
	// Reason says why it does not fit, or what it has left when it does.
	Reason string
	// Result is the plan, nil for an option that was judged without one.
	Result *Result
	// Binding is what refuses it.
	Binding Binding
	// Passed marks an option that was not judged.
	Passed bool
	// Parameters are those of the model, when options are models.
	Parameters int64
}

// Try plans the request with a change.
func Try(req Request, c Change, accept Accept) Option {
	req.Load.Flags = maps.Clone(req.Load.Flags)
	c.Apply(&req)
	o := Option{Name: c.Name, Arguments: c.Arguments}
	r, err := Size(req)
	if err != nil {
		o.Reason = reason(err)
		o.Binding = Binding{Kind: "engine", Text: o.Reason}
		return o
	}
	o.Result, o.Fits = r, accept.ok(r)
	switch {
	case r.Verdict == NoVerdict:
		o.Reason = "no hardware to judge it by"
	case o.Fits:
		o.Reason = fmt.Sprintf("fits with %s to spare", max(0, accept.left(r).Bytes))
	default:
		o.Binding = memoryBinding(r, nil, accept)
		o.Reason = o.Binding.Text
	}
	return o
}

// reason is an error's message, with its field.
func reason(err error) string {
	var e *model.Error
	if errors.As(err, &e) && e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return err.Error()
}

// First judges changes in order, best first, until wanted of them fit. What
// comes after the last of those is passed over.
func First(req Request, changes []Change, accept Accept, wanted int) []Option {
	var out []Option
	found := 0
	for i, c := range changes {
		if found == wanted {
			for _, rest := range changes[i:] {
				out = append(out, Option{Name: rest.Name, Arguments: rest.Arguments, Reason: "not planned: better options fit", Passed: true})
			}
			return out
		}
		o := Try(req, c, accept)
		if o.Fits {
			found++
		}
		out = append(out, o)
	}
	return out
}

// Alternatives lists, best first, the weight schemes and the cache types that
// an engine can run a model with beside what it takes by default; nothing for
// an engine that is not known or does not say.
func Alternatives(engineName string, m *model.Model) (weights, cacheTypes []string) {
	for _, e := range engines {
		if a, ok := e.(engine.Advisor); ok && e.Name() == engineName {
			return a.Alternatives(m)
		}
	}
	return nil, nil
}

// QuantizationChanges lists the weight schemes that the request's engine can
// run the model with, best first: what is stored, then those with fewer bits.
// names replaces that list when it is not empty.
func QuantizationChanges(req Request, names []string) ([]Change, error) {
	e, _, err := choose(req)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		weights, _ := Alternatives(e.Name(), req.Model)
		names = append([]string{"auto"}, weights...)
	}
	out := make([]Change, len(names))
	for i, n := range names {
		out[i] = Change{Name: n, Arguments: map[string]any{"weights": n}, Apply: func(r *Request) {
			r.Load.Weights = n
			r.Engine = e.Name() // a name must not choose another engine
		}}
		if req.Engine == "" && ggufType(n) {
			out[i].Apply = func(r *Request) { r.Load.Weights = n }
		}
	}
	return out, nil
}
