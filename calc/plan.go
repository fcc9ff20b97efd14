// Package calc plans: what a model needs under an engine and a load, and
// whether given hardware has it. It does no input or output.
package calc

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
	"hwledger/calc/quant"
	"hwledger/calc/throughput"
)

// Bytes is a count of bytes.
type Bytes = engine.Bytes

// Term is one summand of a plan.
type Term = engine.Term

// Request asks for a plan. Zero values in Load are filled with defaults, each
// of which the result lists.
type Request struct {
	Model    *model.Model
	Engine   string // "" chooses by format and hardware
	Load     engine.Load
	Hardware engine.Hardware
}

// Verdict says whether a plan fits.
type Verdict string

// The verdicts.
const (
	Fits       Verdict = "fits"         // even the high end of the range is within what is usable
	Tight      Verdict = "tight"        // the expected size is, the high end is not
	DoesNotFit Verdict = "does_not_fit" // the expected size is not
	NoVerdict  Verdict = "unknown"      // no hardware was given
)

// Result is a plan. Everything in it is a sum over Terms.
type Result struct {
	Verdict Verdict
	// Engine, Version and Load are what was planned, defaults filled in.
	Engine, Version string
	Load            engine.Load
	Assumed         []engine.Assumption
	Totals          Totals
	Cache           engine.Cache
	Devices         []DeviceUse
	Host            *DeviceUse // nil when the engine leaves nothing there
	Terms           []Term
	// LayerWeights and LayerCache are bytes for each decoder layer.
	LayerWeights, LayerCache []Bytes
	Suggestions              []Suggestion
	// Throughput is how fast it can run, nil when that cannot be said.
	Throughput *throughput.Estimate
	stored     []quant.Stored // nil when the engine does not say
	Notes      []string
}

// Plan sizes the request. Errors are *model.Error: an unknown engine, a
// setting the engine would refuse, a model it cannot run.
func Plan(req Request) (*Result, error) {
	res, err := Size(req)
	if err != nil {
		return nil, err
	}
	if res.Verdict == DoesNotFit || res.Verdict == Tight {
		res.Suggestions = suggest(req, res)
	}
	if res.Verdict != DoesNotFit {
		if res.Throughput = Speed(req, res); res.Throughput == nil && len(req.Hardware.Devices) > 0 && req.Hardware.Devices[0].Bandwidth <= 0 {
			res.Notes = append(res.Notes, "no speed is given: the memory bandwidth of "+req.Hardware.Devices[0].Name+" is not known")
		}
	}
	return res, nil
}

// Size is Plan without suggestions, for callers that plan many models.
func Size(req Request) (*Result, error) {
	if req.Model == nil {
		return nil, model.Errorf(model.InvalidArgument, "model", "no model given")
	}
	if err := check(req.Load); err != nil {
		return nil, err
	}
	var assumed []engine.Assumption
	e, why, err := choose(req)
	if err != nil {
		return nil, err
	}
	if why != "" {
		assumed = append(assumed, engine.Assumption{Field: "engine", Value: e.Name(), Why: why})
	}
	if err := runnable(req.Model, e); err != nil {
		return nil, err
	}
	load, more := defaults(req, e)
	assumed = append(assumed, more...)
	u, err := planned(e, req, &load)
	if err != nil {
		return nil, err
	}
	res := &Result{
		Engine: e.Name(), Version: u.Version, Load: load, Assumed: append(assumed, u.Assumed...),
		Cache: u.Cache, Terms: u.Terms, LayerWeights: u.LayerWeights, LayerCache: u.LayerCache, Notes: u.Notes,
		stored: u.Stored,
	}
	if req.Model.Role == "" && !req.Model.Causal && !req.Model.EncDec {
		res.Notes = append([]string{"no KV cache: the model sees its whole input at once and keeps nothing between steps"}, res.Notes...)
	}
	if names := corrected(u.Terms); len(names) > 0 {
		res.Notes = append(res.Notes, "as starts on this machine took, and not by the rules alone: "+strings.Join(names, ", "))
	}
	res.Totals, res.Devices, res.Host = add(u, req.Hardware)
	res.Verdict = judge(res, req.Hardware)
	return res, nil
}

// planned is the engine's answer. On hardware with a history a release that was
// left open is the one that started there last, when it can run the model.
func planned(e engine.Engine, req Request, load *engine.Load) (*engine.Usage, error) {
	hw := req.Hardware
	if len(hw.History.Took) == 0 {
		return e.Plan(req.Model, *load, hw)
	}
	last := hw.History.Release(e.Name())
	if load.Version != "" || last == "" {
		hw.History.Start = StartName(req.Model, load)
		return e.Plan(req.Model, *load, hw)
	}
	load.Version = last
	hw.History.Start = StartName(req.Model, load)
	u, err := e.Plan(req.Model, *load, hw)
	if err == nil {
		u.Assume("engine_version", last, "what last started on this machine")
		return u, nil
	}
	load.Version = ""
	why := err
	if u, err = e.Plan(req.Model, *load, hw); err == nil {
		u.Notes = append(u.Notes, fmt.Sprintf("%s %s, which last started on this machine, does not run it: %v", e.Name(), last, why))
	}
	return u, err
}

// StartName names a model with its load as engine.History does: a short digest
// that whatever changes what a start takes changes.
func StartName(m *model.Model, l *engine.Load) string {
	var elems, bytes int64
	for i := range m.Tensors {
		elems, bytes = elems+m.Tensors[i].Elems(), bytes+m.Tensors[i].Bytes
	}
	h := sha256.New()
	fmt.Fprintln(h, m.Type, m.Architecture, m.Arch, len(m.Layers), m.Hidden, m.Vocab, len(m.Tensors), elems, bytes)
	_ = json.NewEncoder(h).Encode(l) // of numbers and texts alone, maps in the order of their keys
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// corrected names the terms that are as the hardware's history says.
func corrected(terms []Term) []string {
	var out []string
	for i := range terms {
		if t := &terms[i]; t.Source == engine.FromHistory && !slices.Contains(out, t.Name) {
			out = append(out, t.Name)
		}
	}
	return out
}

// maxTokens bounds counts that a caller gives, so that products stay far from
// the end of int64.
const maxTokens = 1 << 34

// maxDevices bounds the devices of a plan, each of which is listed.
const maxDevices = 4096

func check(l engine.Load) error {
	for _, f := range []struct {
		name string
		v    int64
		max  int64
	}{
		{"context_tokens", l.ContextTokens, maxTokens},
		{"sequences", l.Sequences, 1 << 20},
		{"max_model_len", l.MaxModelLen, maxTokens},
		{"batch_tokens", l.BatchTokens, maxTokens},
		{"tensor_parallel", l.TensorParallel, 1024},
		{"pipeline_parallel", l.PipelineParallel, 1024},
		{"data_parallel", l.DataParallel, 4096},
		{"cpu_moe_layers", l.CPUMoELayers, 1 << 16},
	} {
		if f.v < 0 || f.v > f.max {
			return model.Errorf(model.InvalidArgument, f.name, "%d is not between 1 and %d", f.v, f.max)
		}
	}
	if n := max(1, l.TensorParallel) * max(1, l.PipelineParallel) * max(1, l.DataParallel); n > maxDevices {
		return model.Errorf(model.InvalidArgument, "data_parallel", "tensor × pipeline × data parallel are %d devices, more than the %d that can be planned", n, maxDevices)
	}
	if l.MemoryUtilization < 0 || l.MemoryUtilization > 1 {
		return model.Errorf(model.InvalidArgument, "gpu_memory_utilization", "%g is not between 0 and 1", l.MemoryUtilization)
	}
	return nil
}

// defaultContext is what is planned for when the caller names no context: the
// model's maximum is often far more than a request ever uses.
const defaultContext = 8192

// defaults fills the load's open numbers and says why.
func defaults(req Request, e engine.Engine) (engine.Load, []engine.Assumption) {
	l, m := req.Load, req.Model
	var out []engine.Assumption
	assume := func(field string, v int64, why string) int64 {
		out = append(out, engine.Assumption{Field: field, Value: strconv.FormatInt(v, 10), Why: why})
		return v
	}
	if l.ContextTokens == 0 {
		switch {
		case m.Role == model.RolePipeline: // nothing in it is counted in tokens
			l.ContextTokens = 1
		case l.MaxModelLen > 0:
			l.ContextTokens = l.MaxModelLen
		case m.Context > 0 && m.Context <= defaultContext:
			l.ContextTokens = assume("context_tokens", m.Context, "the model's maximum")
		case m.Context > 0:
			l.ContextTokens = assume("context_tokens", defaultContext, fmt.Sprintf("not given; the model's maximum is %d", m.Context))
		default:
			l.ContextTokens = assume("context_tokens", defaultContext, "not given, and the model does not say its maximum")
		}
	}
	if l.Sequences == 0 {
		l.Sequences = assume("sequences", 1, "not given")
	}
	l.PipelineParallel, l.DataParallel = max(1, l.PipelineParallel), max(1, l.DataParallel)
	if l.TensorParallel == 0 {
		l.TensorParallel = 1
		n := int64(len(req.Hardware.Devices)) / (l.PipelineParallel * l.DataParallel)
		if n > 1 && !splitsLayers(e) && m.Role != model.RolePipeline {
			l.TensorParallel = assume("tensor_parallel", tensorRanks(m, n), fmt.Sprintf("%d devices given", len(req.Hardware.Devices)))
		}
	}
	return l, out
}

// tensorRanks returns the most ranks up to n that divide the attention heads.
func tensorRanks(m *model.Model, n int64) int64 {
	for ; n > 1; n-- {
		ok := true
		for i := range m.Layers {
			for _, x := range m.Layers[i].Mixers {
				switch x := x.(type) {
				case *model.Attention:
					ok = ok && x.Heads%n == 0 && (x.KVHeads%n == 0 || n%x.KVHeads == 0)
				case *model.MLA:
					ok = ok && x.Heads%n == 0
				}
			}
		}
		if ok {
			return n
		}
	}
	return 1
}
