package calc

import (
	"fmt"
	"maps"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// Suggestion is a change that was itself planned.
type Suggestion struct {
	Change    string
	Arguments map[string]any // of plan_memory
	Required  Bytes
	Fits      bool
}

// Suggest returns changes that make a request fit of which res is the plan;
// none when it fits.
func Suggest(req Request, res *Result) []Suggestion {
	if res.Verdict == Fits {
		return nil
	}
	return suggest(req, res)
}

// suggest returns changes that make the request fit, each planned, the least
// costly to quality first.
func suggest(req Request, res *Result) []Suggestion {
	if len(req.Hardware.Devices) == 0 {
		return nil
	}
	req.Engine, req.Load = res.Engine, res.Load
	s := search{req: req}
	var adv engine.Advisor
	for _, e := range engines {
		if e.Name() == res.Engine {
			adv, _ = e.(engine.Advisor)
		}
	}
	if adv != nil {
		weights, cache := adv.Alternatives(req.Model)
		s.first("store the cache as %s", "kv_cache_dtype", cache, func(l *engine.Load, v string) { l.KVCacheType = v })
		s.first("use %s weights", "weights", weights, func(l *engine.Load, v string) { l.Weights = v })
	}
	s.most("shorten the context to %d tokens", "context_tokens", req.Load.ContextTokens, 256, func(l *engine.Load, n int64) {
		l.ContextTokens = n
		if l.MaxModelLen > n {
			l.MaxModelLen = n
		}
	})
	s.most("serve %d sequences at once", "sequences", req.Load.Sequences, 1, func(l *engine.Load, n int64) { l.Sequences = n })
	if adv != nil && adv.Offloads() {
		n := int64(len(req.Model.Layers))
		if hasExperts(req.Model) {
			s.least("keep the experts of %d layers in system memory", "cpu_moe_layers", n, func(l *engine.Load, n int64) { l.CPUMoELayers = n })
		}
		s.most("put %d layers on the device and the rest in system memory", "gpu_layers", n+1, 1, func(l *engine.Load, n int64) { l.GPULayers = &n })
	}
	s.moreDevices()
	return s.found
}

func hasExperts(m *model.Model) bool {
	for i := range m.Layers {
		if m.Layers[i].FFN.MoE() {
			return true
		}
	}
	return false
}

type search struct {
	req   Request
	found []Suggestion
}

// try plans the request with a change and returns the result when it fits.
func (s *search) try(change func(*Request)) *Result {
	req := s.req
	req.Load.Flags = maps.Clone(req.Load.Flags)
	change(&req)
	res, err := Size(req)
	if err != nil || res.Verdict != Fits {
		return nil
	}
	return res
}

func (s *search) keep(change string, args map[string]any, r *Result) {
	s.found = append(s.found, Suggestion{Change: change, Arguments: args, Required: r.Totals.Required, Fits: true})
}

// first keeps the first of values that fits.
func (s *search) first(text, field string, values []string, set func(*engine.Load, string)) {
	for _, v := range values {
		if r := s.try(func(q *Request) { set(&q.Load, v) }); r != nil {
			s.keep(fmt.Sprintf(text, v), map[string]any{field: v}, r)
			return
		}
	}
}

// most keeps the largest multiple of step below now that fits, by bisection:
// memory never falls when a load grows.
func (s *search) most(text, field string, now, step int64, set func(*engine.Load, int64)) {
	var best *Result
	var at int64
	lo, hi := int64(1), (now-1)/step
	for lo <= hi {
		mid := (lo + hi) / 2
		if r := s.try(func(q *Request) { set(&q.Load, mid*step) }); r != nil {
			best, at, lo = r, mid*step, mid+1
		} else {
			hi = mid - 1
		}
	}
	if best != nil {
		s.keep(fmt.Sprintf(text, at), map[string]any{field: at}, best)
	}
}

// least keeps the smallest number up to limit that fits, by bisection.
func (s *search) least(text, field string, limit int64, set func(*engine.Load, int64)) {
	var best *Result
	var at int64
	lo, hi := int64(1), limit
	for lo <= hi {
		mid := (lo + hi) / 2
		if r := s.try(func(q *Request) { set(&q.Load, mid) }); r != nil {
			best, at, hi = r, mid, mid-1
		} else {
			lo = mid + 1
		}
	}
	if best != nil {
		s.keep(fmt.Sprintf(text, at), map[string]any{field: at}, best)
	}
}

// moreDevices keeps the smallest power-of-two number of the same device, up
// to eight, on which the request fits.
func (s *search) moreDevices() {
	have := s.req.Hardware.Devices
	for _, d := range have[1:] {
		if d != have[0] {
			return
		}
	}
	if have[0].Kind == engine.Unified {
		return
	}
	for n := 2; n <= 8; n *= 2 {
		if n <= len(have) {
			continue
		}
		devices := make([]engine.Device, n)
		for i := range devices {
			devices[i] = have[0]
		}
		r := s.try(func(q *Request) {
			q.Hardware.Devices = devices
			q.Load.TensorParallel = 0
		})
		if r == nil {
			continue
		}
		args := map[string]any{"hardware": fmt.Sprintf("%dx %s", n, have[0].Name)}
		if r.Load.TensorParallel > 1 {
			args["tensor_parallel"] = r.Load.TensorParallel
		}
		s.keep(fmt.Sprintf("use %d devices", n), args, r)
		return
	}
}
