// Package engine defines how an inference engine turns a model and a load
// into bytes on devices. Each engine lives in a package of its own below this
// one and is registered in package calc.
package engine

import "hwledger/calc/model"

// Category groups terms into the totals of a plan.
type Category uint8

// The categories.
const (
	Weights   Category = iota
	KVCache            // grows with tokens
	State              // fixed for each sequence
	Workspace          // activations, compute and output buffers
	Runtime            // contexts, graphs, communicators, allocator slack
)

var categoryNames = [...]string{"weights", "kv_cache", "state", "workspace", "runtime"}

// String returns the category's name as it appears in answers.
func (c Category) String() string { return categoryNames[c] }

// Confidence says how sure a term is.
type Confidence string

// The confidences, surest first.
const (
	Exact     Confidence = "exact"     // follows from headers and the engine's allocation rule
	Derived   Confidence = "derived"   // formula read from source, not checked against an engine
	Measured  Confidence = "measured"  // from recorded engine logs, with their spread
	Estimated Confidence = "estimated" // a bound or a rule of thumb
)

// Input is one number that a term was computed from, and where it was read.
type Input struct {
	Name  string
	Value int64
	From  string // "config.json", "gguf header", "argument", "default", …
}

// Term is one summand of a plan. A plan is its terms: totals are sums over
// them and nothing is added outside them.
type Term struct {
	Name     string
	Category Category
	// Bytes is the size on each device in On.
	Bytes Bytes
	// Low and High bound Bytes; both 0 for a term without a range.
	Low, High Bytes
	// On are the device indices that hold the term; empty for the host.
	On []int
	// Outside marks what the engine takes beside its own budget, such as CUDA
	// graphs captured after the pool was sized (vLLM before v0.21).
	Outside    bool
	Formula    string
	Inputs     []Input
	Confidence Confidence
	// Source names the rule: an engine file, a paper, a log set.
	Source string
}

// Range returns the term's bounds on one device.
func (t *Term) Range() (low, high Bytes) {
	if t.Low == 0 && t.High == 0 {
		return t.Bytes, t.Bytes
	}
	return t.Low, t.High
}

// Assumption is a setting the caller left open and what was taken for it.
type Assumption struct {
	Field string `json:"field"`
	Value string `json:"value"`
	Why   string `json:"why"`
}

// Cache summarises what the engine keeps for sequences. Amounts are for one
// device (rank), the fullest one when they differ.
type Cache struct {
	// MarginalPerToken is what one more token of one sequence takes at the
	// load's context length; capped layers no longer grow there.
	MarginalPerToken Bytes
	// FixedPerSequence is what a sequence takes before its first token.
	FixedPerSequence Bytes
	// PerSequence is what one sequence of the load's length takes.
	PerSequence Bytes
	// Pool is what a preallocating engine takes for its cache on the given
	// hardware; 0 when unknown or when the engine does not preallocate.
	Pool Bytes
	// CapacityTokens and MaxConcurrency are what the engine would log on
	// that hardware at that version; 0 when unknown.
	CapacityTokens int64
	MaxConcurrency float64
}

// Usage is an engine's answer: what goes where.
type Usage struct {
	Engine, Version string
	// Devices is how many devices take part.
	Devices int
	Terms   []Term
	Cache   Cache
	// Budgets is what the engine may take of each device when the hardware is
	// known: utilization × total, or what is free.
	Budgets []Bytes
	Assumed []Assumption
	// LayerWeights and LayerCache are bytes for each decoder layer over all
	// devices and the host, the load's tokens and sequences included.
	LayerWeights, LayerCache []Bytes
	// Stored is the size of each of the model's tensors as planned, nil from
	// an engine that does not say; how fast a plan runs follows from it.
	Stored []model.Stored
	// Notes are warnings in plain words.
	Notes []string
}

// Assume records an open setting.
func (u *Usage) Assume(field, value, why string) {
	u.Assumed = append(u.Assumed, Assumption{Field: field, Value: value, Why: why})
}

// Engine is one engine's rules.
type Engine interface {
	// Name is the engine's name on the public surface ("vllm").
	Name() string
	// Plan returns what the load takes. Load's numbers are resolved: context,
	// sequences and parallel sizes are at least 1. It returns *model.Error
	// when the engine would refuse the model or a setting.
	Plan(m *model.Model, load Load, hw Hardware) (*Usage, error)
	// Flags lists the switches that the engine understands in Load.Flags.
	Flags() []string
	// Preallocates reports whether the engine takes a whole pool up front.
	Preallocates() bool
}

// Advisor is an engine that knows what else it could be started with.
type Advisor interface {
	// Alternatives lists, best first, the weight schemes and cache types that
	// the engine can run the model with.
	Alternatives(m *model.Model) (weights, cacheTypes []string)
	// Offloads reports whether the engine can leave layers, or the experts of
	// layers, on the host.
	Offloads() bool
}
