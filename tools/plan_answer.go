package tools

import (
	"fmt"
	"math"
	"slices"

	"hwledger/calc"
	"hwledger/calc/engine"
	"hwledger/calc/lookup"
	"hwledger/calc/model"
	"hwledger/calc/throughput"
)

// Plan is the output of plan_memory. What is not known is left out: never 0.
type Plan struct {
	Verdict     string           `json:"verdict" enum:"fits,tight,does_not_fit,unknown"`
	Model       PlannedModel     `json:"model"`
	Engine      PlannedEngine    `json:"engine"`
	Totals      Totals           `json:"totals"`
	Cache       CacheInfo        `json:"cache"`
	Devices     []DeviceUse      `json:"devices"`
	Host        *DeviceUse       `json:"host,omitempty"`
	Throughput  *Throughput      `json:"throughput,omitempty"`
	Terms       []TermInfo       `json:"terms,omitempty"`
	Layers      []LayerUse       `json:"layers,omitempty"`
	Suggestions []SuggestionInfo `json:"suggestions"`
	Notes       []string         `json:"notes,omitempty"`

	// What it was made from: the picture and the planner need more of it.
	found *lookup.Result
	from  *calc.Result
	// picture is a PNG, nil when none was asked for.
	picture []byte
}

// PlannedModel is the model that was planned for.
type PlannedModel struct {
	Reference        string         `json:"reference"`
	ResolvedFrom     string         `json:"resolved_from"`
	Architecture     string         `json:"architecture"`
	ParametersTotal  int64          `json:"parameters_total"`
	ParametersActive int64          `json:"parameters_active"`
	Layers           map[string]int `json:"layers"`
}

// PlannedEngine is the engine and the load that were planned for.
type PlannedEngine struct {
	Name          string              `json:"name"`
	Version       string              `json:"version"`
	ContextTokens int64               `json:"context_tokens,omitempty"` // absent where nothing is counted in tokens
	Sequences     int64               `json:"sequences"`
	Assumed       []engine.Assumption `json:"assumed"`
}

// Sizes are bytes by what they are for.
type Sizes struct {
	Weights   int64 `json:"weights_bytes"`
	KVCache   int64 `json:"kv_cache_bytes"`
	State     int64 `json:"state_bytes"`
	Workspace int64 `json:"workspace_bytes"`
	Runtime   int64 `json:"runtime_bytes"`
	Required  int64 `json:"required_bytes"`
}

// Totals are sums over all devices.
type Totals struct {
	Sizes
	Low  int64 `json:"low_bytes"`
	High int64 `json:"high_bytes"`
}

// CacheInfo is what the engine keeps for sequences, on the fullest device.
type CacheInfo struct {
	MarginalPerToken int64   `json:"marginal_bytes_per_token"`
	FixedPerSequence int64   `json:"fixed_bytes_per_sequence"`
	PerSequence      int64   `json:"per_sequence_bytes"`
	Pool             int64   `json:"pool_bytes,omitempty"`
	CapacityTokens   int64   `json:"capacity_tokens,omitempty"`
	MaxConcurrency   float64 `json:"max_concurrency,omitempty"`
}

// DeviceUse is one device's part, or the host's.
type DeviceUse struct {
	Name       string `json:"name,omitempty"`
	MemoryKind string `json:"memory_kind,omitempty"`
	Total      *int64 `json:"total_bytes,omitempty"`
	Free       *int64 `json:"free_bytes,omitempty"`
	Usable     *int64 `json:"usable_bytes,omitempty"`
	Sizes
	// Outside is the part of Required that does not count against Usable: the
	// engine takes it beside its own budget.
	Outside  int64  `json:"outside_budget_bytes,omitempty"`
	Headroom *int64 `json:"headroom_bytes,omitempty"`
}

// TermInfo is one summand. Bytes is its size on each device in On.
type TermInfo struct {
	Name       string               `json:"name"`
	Category   string               `json:"category"`
	Bytes      int64                `json:"bytes"`
	Low        int64                `json:"low_bytes,omitempty"`
	High       int64                `json:"high_bytes,omitempty"`
	On         []int                `json:"on,omitempty"`
	Formula    string               `json:"formula"`
	Inputs     map[string]TermInput `json:"inputs"`
	Confidence string               `json:"confidence" enum:"exact,derived,measured,estimated"`
	Source     string               `json:"source"`
}

// TermInput is a number that a term was computed from.
type TermInput struct {
	Value int64  `json:"value"`
	From  string `json:"from"`
}

// LayerUse is one decoder layer, over all devices and the host.
type LayerUse struct {
	Index       int    `json:"index"`
	Mixer       string `json:"mixer"`
	FeedForward string `json:"feed_forward"`
	Weights     int64  `json:"weights_bytes"`
	Cache       int64  `json:"cache_bytes"`
}

// SuggestionInfo is a change that was planned.
type SuggestionInfo struct {
	Change    string         `json:"change"`
	Arguments map[string]any `json:"arguments"`
	Required  int64          `json:"required_bytes"`
	Fits      bool           `json:"fits"`
}

func newPlan(found *lookup.Result, r *calc.Result, detail string) *Plan {
	m, n := found.Model, found.Model.Count()
	p := &Plan{
		Verdict: string(r.Verdict),
		Model: PlannedModel{
			Reference: found.Reference, ResolvedFrom: found.ResolvedFrom, Architecture: m.Architecture,
			ParametersTotal: n.Total, ParametersActive: n.Active, Layers: layerKinds(m),
		},
		Engine: PlannedEngine{
			Name: r.Engine, Version: r.Version, ContextTokens: r.Load.ContextTokens, Sequences: r.Load.Sequences,
			Assumed: append([]engine.Assumption{}, r.Assumed...),
		},
		Totals: Totals{Sizes: sizes(&r.Totals), Low: int64(r.Totals.Low), High: int64(r.Totals.High)},
		Cache: CacheInfo{
			MarginalPerToken: int64(r.Cache.MarginalPerToken), FixedPerSequence: int64(r.Cache.FixedPerSequence), PerSequence: int64(r.Cache.PerSequence),
			Pool: int64(r.Cache.Pool), CapacityTokens: r.Cache.CapacityTokens, MaxConcurrency: r.Cache.MaxConcurrency,
		},
		Devices:     make([]DeviceUse, len(r.Devices)),
		Suggestions: make([]SuggestionInfo, len(r.Suggestions)),
		Notes:       append(slices.Clip(r.Notes), beside(found)...),
		found:       found, from: r,
	}
	if m.Role == model.RolePipeline {
		p.Engine.ContextTokens = 0
	}
	for i := range r.Devices {
		p.Devices[i] = deviceUse(&r.Devices[i])
	}
	if r.Host != nil {
		h := deviceUse(r.Host)
		p.Host = &h
	}
	for i, s := range r.Suggestions {
		p.Suggestions[i] = SuggestionInfo{Change: s.Change, Arguments: s.Arguments, Required: int64(s.Required), Fits: s.Fits}
	}
	p.Throughput = throughputInfo(r.Throughput)
	if detail != "summary" {
		p.Terms = terms(r.Terms)
	}
	if detail == "layers" {
		p.Layers = layerUse(found, r)
	}
	return p
}

// beside says what of the reference's components is not in the plan: a
// projector and an adapter are loaded beside the model when they are asked for.
func beside(found *lookup.Result) []string {
	var out []string
	for i := range found.Components {
		c := &found.Components[i]
		switch {
		case c.Kind == lookup.KindAdapter, c.Kind == lookup.KindProjector && c.Chosen:
			out = append(out, fmt.Sprintf("the %s %s is not in this plan; loaded beside the model it adds %s and its own buffers", c.Kind, lookup.Clean(c.Name, lookup.MaxText), engine.Bytes(c.Bytes)))
		}
	}
	return out
}

// Throughput is how fast the plan can run, always as a range.
type Throughput struct {
	Decode     Rate  `json:"decode_tokens_per_second"`
	PerUser    Rate  `json:"per_user_tokens_per_second"`
	Prefill    *Rate `json:"prefill_tokens_per_second,omitempty"`
	FirstToken *Rate `json:"time_to_first_token_ms,omitempty"`
}

// Rate is a range and what bounds it.
type Rate struct {
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	BoundBy string  `json:"bound_by"`
}

func throughputInfo(e *throughput.Estimate) *Throughput {
	if e == nil {
		return nil
	}
	rate := func(r throughput.Range) Rate { return Rate{round3(r.Low), round3(r.High), r.Bound} }
	t := &Throughput{Decode: rate(e.Decode), PerUser: rate(e.PerUser)}
	if e.Prefill.High > 0 {
		p, f := rate(e.Prefill), rate(e.FirstToken)
		t.Prefill, t.FirstToken = &p, &f
	}
	return t
}

// round3 keeps three digits: a range is not known better.
func round3(x float64) float64 {
	if x <= 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return 0
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(x)))
	return math.Round(x*scale) / scale
}

func sizes(t *calc.Totals) Sizes {
	return Sizes{
		Weights: int64(t.Weights), KVCache: int64(t.KVCache), State: int64(t.State),
		Workspace: int64(t.Workspace), Runtime: int64(t.Runtime), Required: int64(t.Required),
	}
}

func deviceUse(d *calc.DeviceUse) DeviceUse {
	u := DeviceUse{Name: d.Name, MemoryKind: string(d.Kind), Sizes: sizes(&d.Totals)}
	if d.Known {
		u.Outside = int64(d.Outside)
		ref := func(b calc.Bytes) *int64 { n := int64(b); return &n }
		u.Total, u.Free, u.Usable, u.Headroom = ref(d.Total), ref(d.Free), ref(d.Usable), ref(d.Headroom)
	}
	return u
}

func terms(ts []calc.Term) []TermInfo {
	out := make([]TermInfo, len(ts))
	for i := range ts {
		t := &ts[i]
		inputs := make(map[string]TermInput, len(t.Inputs))
		for _, in := range t.Inputs {
			inputs[in.Name] = TermInput{Value: in.Value, From: in.From}
		}
		out[i] = TermInfo{
			Name: t.Name, Category: t.Category.String(), Bytes: int64(t.Bytes), Low: int64(t.Low), High: int64(t.High), On: t.On,
			Formula: t.Formula, Inputs: inputs, Confidence: string(t.Confidence), Source: t.Source,
		}
	}
	return out
}

func layerUse(found *lookup.Result, r *calc.Result) []LayerUse {
	m := found.Model
	out := make([]LayerUse, len(m.Layers))
	for i := range m.Layers {
		out[i] = LayerUse{Index: i, Mixer: string(m.Layers[i].Kind()), FeedForward: feedForward(m.Layers[i].FFN)}
		if i < len(r.LayerWeights) {
			out[i].Weights = int64(r.LayerWeights[i])
		}
		if i < len(r.LayerCache) {
			out[i].Cache = int64(r.LayerCache[i])
		}
	}
	return out
}
