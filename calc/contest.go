package calc

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// Contender is a model that may be the best for some hardware.
type Contender struct {
	Ref string
	// Params is its parameter count when that is known without loading it.
	Params int64
	// Load returns the model; it is called for those that may win only.
	Load func() (*model.Model, error)
}

// Contest is a search for the best model for given hardware.
type Contest struct {
	// Request is the load, engine and hardware; its model is not used.
	Request Request
	// Schemes are the weight schemes to choose from, best first; without any,
	// what the request's engine can run each model with.
	Schemes []string
	Accept  Accept
	// Wanted is how many models to find.
	Wanted int
}

// goodBits is the width below which a smaller model at more bits is the
// better choice: the smallest of the four-bit schemes.
const goodBits = 4.125

// Run judges contenders, most parameters first, several at once, and returns those that fit,
// best first, then those that do not, with reasons. Each has the best scheme
// that fits. What fits at less than goodBits ranks after everything else.
// Contenders of one shape are judged once. Those after the last wanted one are
// passed over and counted in skipped.
func (c Contest) Run(contenders []Contender) (options []Option, skipped int) {
	contenders = slices.Clone(contenders)
	slices.SortStableFunc(contenders, func(a, b Contender) int { return int(min(max(b.Params-a.Params, -1), 1)) })
	schemes := schemesOf(c.Schemes)
	least := leastBits(schemes)
	room := c.room()
	var good, poor, refused []Option
	seen := map[string]bool{}
	entries := make([]entry, 0, len(contenders))
	for _, x := range contenders {
		entries = append(entries, entry{Contender: x})
	}
	// Several are judged at once, in their order: what is wanted may be found
	// before the last of them.
	for size := 4 * runtime.GOMAXPROCS(0); len(entries) > 0 && len(good) < c.Wanted; {
		batch := entries[:min(size, len(entries))]
		entries = entries[len(batch):]
		each(batch, func(e *entry) { e.load(least, room) })
		for i := range batch {
			if e := &batch[i]; e.model != nil {
				same := shape(e.model)
				e.again = seen[same]
				seen[same] = true
			}
		}
		each(batch, func(e *entry) {
			if e.model != nil && !e.again {
				e.option, e.bits = c.judge(e.Ref, e.model, schemes)
				e.option.Parameters = e.model.Count().Total
			}
		})
		for i := range batch {
			switch e := &batch[i]; {
			case len(good) == c.Wanted, e.again:
				skipped++
			case !e.option.Fits:
				refused = append(refused, e.option)
			case e.bits < goodBits:
				poor = append(poor, e.option)
			default:
				good = append(good, e.option)
			}
		}
	}
	skipped += len(entries)
	return append(append(good, poor...), refused...), skipped
}

// entry is a contender on its way through the contest.
type entry struct {
	Contender
	model *model.Model // nil when it was refused before it was judged
	again bool         // another one of its shape was judged
	// option is the judgement, bits its scheme's width.
	option Option
	bits   float64
}

// load loads the model, unless it is too large for sure.
func (e *entry) load(least float64, room Bytes) {
	o, over := tooLarge(e.Ref, e.Params, least, room)
	if !over {
		m, err := e.Load()
		if err != nil {
			e.option = Option{Name: e.Ref, Arguments: map[string]any{"model": e.Ref}, Reason: reason(err), Binding: Binding{Kind: "engine", Text: reason(err)}}
			return
		}
		if e.Params == 0 {
			o, over = tooLarge(e.Ref, m.Count().Total, least, room)
		}
		if !over {
			e.model = m
			return
		}
	}
	e.option = o
}

// each calls f with every entry, on all processors. A panic is the caller's,
// as it would be without the others.
func each(entries []entry, f func(*entry)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	var once sync.Once
	var fault any
	for range min(runtime.GOMAXPROCS(0), len(entries)) {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					once.Do(func() { fault = p })
				}
			}()
			for i := int(next.Add(1)) - 1; i < len(entries); i = int(next.Add(1)) - 1 {
				f(&entries[i])
			}
		})
	}
	wg.Wait()
	if fault != nil {
		panic(fault)
	}
}

// tooLarge refuses a model whose weights alone are more than there is room
// for, at the least width of a parameter.
func tooLarge(ref string, params int64, bits float64, room Bytes) (Option, bool) {
	floor := Bytes(float64(params) * bits / 8)
	return Option{
		Name: ref, Arguments: map[string]any{"model": ref}, Parameters: params,
		Reason:  fmt.Sprintf("weights of at least %s, devices of %s", floor, room),
		Binding: Binding{Kind: "memory", Category: "weights", Short: floor - room},
	}, floor > room
}

// scheme is a weight scheme and its nominal width.
type scheme struct {
	name string
	bits float64 // 0 for what the model stores
}

func schemesOf(names []string) []scheme {
	out := make([]scheme, 0, len(names))
	for _, n := range names {
		x := scheme{name: n}
		if s, err := quant.Parse(n); err == nil {
			x.bits = s.Bits()
		}
		out = append(out, x)
	}
	return out
}

// leastBits is a width that no scheme goes below for a whole model: some are
// stored in four bits whatever is asked for, and an engine may offer two.
func leastBits(schemes []scheme) float64 {
	low := 4.0
	if len(schemes) == 0 {
		low = 2
	}
	for _, s := range schemes {
		if s.bits > 0 {
			low = min(low, s.bits)
		}
	}
	return low * belowNominal
}

// belowNominal bounds how far a whole model's width is below the nominal one
// of its scheme, which large experts pull down.
const belowNominal = 0.85

// room is all the memory there is.
func (c Contest) room() (n Bytes) {
	for _, d := range c.Request.Hardware.Devices {
		n += d.Usable
	}
	if h := c.Request.Hardware.Host; h != nil {
		n += h.Usable
	}
	return n
}

// shape identifies models whose memory is the same.
func shape(m *model.Model) string {
	n := m.Count()
	stored := ""
	if m.Quant != nil {
		stored = m.Quant.Method
	}
	return fmt.Sprint(m.Type, m.Hidden, m.Vocab, len(m.Layers), n.Total, n.Active, m.Context, m.Tied, stored)
}

// judge returns the best scheme of one model that fits, and its bits. The
// smallest is tried first: when that does not fit, nothing does.
func (c Contest) judge(ref string, m *model.Model, schemes []scheme) (Option, float64) {
	refuse := func(why string) (Option, float64) {
		return Option{Name: ref, Arguments: map[string]any{"model": ref}, Reason: why, Binding: Binding{Kind: "model_context", Text: why}}, 0
	}
	req := c.Request
	req.Model = m
	want := max(req.Load.ContextTokens, req.Load.MaxModelLen)
	switch {
	case !m.Causal || len(m.Layers) == 0:
		return refuse("it does not generate text")
	case want > 0 && m.Context > 0 && m.Context < want:
		return refuse(fmt.Sprintf("its longest context is %d tokens", m.Context))
	}
	if len(schemes) == 0 {
		changes, err := QuantizationChanges(req, nil)
		if err != nil {
			return refuse(reason(err))
		}
		for _, x := range changes {
			schemes = append(schemes, schemesOf([]string{x.Name})...)
		}
	}
	stored := storedBits(m)
	schemes = slices.DeleteFunc(slices.Clone(schemes), func(s scheme) bool { return s.bits > stored })
	// The smallest that the engine runs.
	var least Option
	n := len(schemes)
	for ; n > 0; n-- {
		if least = c.try(req, ref, schemes[n-1].name); least.Binding.Kind != "engine" {
			break
		}
	}
	if !least.Fits {
		return least, 0
	}
	for _, s := range schemes[:n-1] {
		if leastWeights(req, s.least(stored)) > c.room() {
			continue // no plan is needed to know
		}
		if o := c.try(req, ref, s.name); o.Fits {
			return o, s.width(stored)
		}
	}
	return least, schemes[n-1].width(stored)
}

// width is the scheme's, or the stored one of a scheme that keeps it.
func (s scheme) width(stored float64) float64 {
	if s.bits > 0 {
		return s.bits
	}
	return stored
}

// least is a nominal width that the scheme's is not below; 0 for a name that
// only its engine knows. Engines cast the wider floats of some checkpoints to
// 16 bits.
func (s scheme) least(stored float64) float64 {
	if s.bits > 0 || s.name != "auto" {
		return s.bits
	}
	return min(stored, 16)
}

// leastWeights is a size that the weights of the model's layers are not below
// on devices, at a nominal width: 0 where that cannot be said of a whole model,
// of which parts are stored in a width of their own or left on the host.
// Embeddings are not in it: engines may leave them there unasked.
func leastWeights(req Request, bits float64) Bytes {
	m, l := req.Model, req.Load
	if l.GPULayers != nil || l.CPUMoELayers > 0 || len(l.Flags) > 0 || m.Quant != nil && (m.Quant.Experts != "" || len(m.Quant.Overrides) > 0) {
		return 0
	}
	var params int64
	for i := range m.Tensors {
		if t := &m.Tensors[i]; t.Layer >= 0 && t.Group == model.Text {
			params += t.Elems()
		}
	}
	return Bytes(float64(params) * bits * belowNominal / 8)
}

// storedBits is the nominal width of what the model stores.
func storedBits(m *model.Model) float64 {
	if s, err := quant.AsStored(m); err == nil {
		return s.Bits()
	}
	return 16
}

func (c Contest) try(req Request, ref, weights string) Option {
	return Try(req, Change{Name: ref + " " + weights, Arguments: map[string]any{"model": ref, "weights": weights},
		Apply: func(r *Request) { r.Load.Weights = weights }}, c.Accept)
}
