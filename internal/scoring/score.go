package scoring

import (
	"maps"
	"math"

	"hwledger/calc/engine"
	"hwledger/calc/engine/vllm"
	"hwledger/calc/model"
)

// figure is one number that a log printed, beside ours.
type figure struct {
	Observed float64 `json:"observed"`
	Planned  float64 `json:"planned"`
	// Error is planned ÷ observed − 1; Rounding what the print can hide.
	Error    float64 `json:"error"`
	Rounding float64 `json:"rounding"`
	// Low and High are the plan's range, when it has one.
	Low  float64 `json:"low,omitempty"`
	High float64 `json:"high,omitempty"`
}

func compare(observed, planned, rounding float64) *figure {
	f := &figure{Observed: observed, Planned: planned, Rounding: math.Abs(rounding)}
	if observed != 0 {
		f.Error = planned/observed - 1
	}
	return f
}

// beyond returns how far the error is beyond what rounding explains.
func (f *figure) beyond() float64 { return max(0, math.Abs(f.Error)-f.Rounding) }

// inside reports whether the log's figure is in the plan's range.
func (f *figure) inside() bool {
	slack := f.Rounding * math.Abs(f.Observed)
	return f.Observed >= f.Low-slack && f.Observed <= f.High+slack
}

// result is one row, planned.
type result struct {
	ID      string `json:"id"`
	Model   string `json:"model"`
	Matched string `json:"matched,omitempty"`
	Version string `json:"version"`
	Tier    string `json:"tier"`
	TP      int64  `json:"tp"`
	PP      int64  `json:"pp"`
	// Skipped is why the row was not planned.
	Skipped string `json:"skipped,omitempty"`
	// Remarks are facts of the row that explain a difference.
	Remarks []string `json:"remarks,omitempty"`
	// Unscored is why the total cannot be compared.
	Unscored string `json:"total_unscored,omitempty"`

	Weights     *figure `json:"weights,omitempty"`             // GiB
	PerToken    *figure `json:"kv_bytes_per_token,omitempty"`  // bytes of a logged token on a rank
	Capacity    *figure `json:"capacity_tokens,omitempty"`     // given the logged pool
	Concurrency *figure `json:"max_concurrency,omitempty"`     // given the logged pool
	Request     *figure `json:"request,omitempty"`             // GiB of one request of max_model_len
	Activation  *figure `json:"activation,omitempty"`          // GiB
	NonTorch    *figure `json:"outside_pytorch,omitempty"`     // GiB
	Graphs      *figure `json:"cuda_graphs,omitempty"`         // GiB
	Total       *figure `json:"total_without_cache,omitempty"` // GiB inside the budget
	Pool        *figure `json:"pool,omitempty"`                // GiB, predicted from the hardware
}

const gib = float64(engine.GiB)

// score plans one row.
func score(r *row, ms *models) result {
	if r.parseFailure == nil && r.Engine == "sglang" {
		return scoreSGLang(r, ms)
	}
	out, _ := scoreWith(r, ms, vllm.New())
	return out
}

// scoreWith plans one row with the given engine, and returns the plan beside
// the scores; nil for a row that is skipped.
func scoreWith(r *row, ms *models, e engine.Engine) (result, *planner) {
	out := result{ID: r.ID, Model: r.Model, Version: r.Version, Tier: r.Tier, PP: one(r.PP)}
	switch {
	case r.parseFailure != nil:
		out.Skipped = "not a row: " + r.parseFailure.Error()
	case r.Engine != "vllm":
		out.Skipped = "engine " + r.Engine
	case r.Tier == "C":
		out.Skipped = "tier C: model or configuration uncertain"
	case r.TP == nil:
		out.Skipped = "tensor parallel size not in the log"
	}
	if out.Skipped != "" {
		return out, nil
	}
	out.TP = one(*r.TP)
	f := ms.find(r.Model)
	if f.err != nil {
		out.Skipped = f.err.Error()
		return out, nil
	}
	out.Matched = f.name
	p := &planner{row: r, hints: r.hints(), found: f, out: &out, engine: e}
	if err := p.run(); err != nil {
		out.Skipped = err.Error()
		return out, nil
	}
	return out, p
}

// planner plans one row in the ways that its figures need.
type planner struct {
	*row
	hints hints
	found *found
	out   *result

	engine engine.Engine
	usage  *engine.Usage // as started
	hw     engine.Hardware
}

func (p *planner) load() engine.Load {
	l := engine.Load{
		Version: p.release(), Weights: schemeOf(p.WeightsDType, p.found), KVCacheType: p.cacheType(p.hints),
		ContextTokens: p.MaxModelLen, Sequences: 1, TensorParallel: p.out.TP, PipelineParallel: p.out.PP, DataParallel: one(p.DP),
		BatchTokens: p.BatchTokens, MemoryUtilization: p.Utilization, Flags: engine.Flags{},
	}
	if l.ContextTokens == 0 {
		l.ContextTokens = max(p.found.m.Context, 1)
	}
	if n := p.MaxNumSeqs; n > 0 {
		l.Flags["max_num_seqs"] = n
	}
	if p.Eager {
		l.Flags["enforce_eager"] = true
	}
	// Odd block sizes are an outcome of the alignment, not a setting.
	if b := p.BlockSize; b > 0 && b&(b-1) == 0 {
		l.Flags["block_size"] = b
	}
	if p.hints.draft > 0 {
		l.Flags["num_speculative_tokens"] = p.hints.draft
	}
	if p.hints.dcp > 1 {
		l.Flags["decode_context_parallel_size"] = p.hints.dcp
	}
	if p.hints.hybridOff {
		l.Flags["disable_hybrid_kv_cache_manager"] = true
	}
	return l
}

func (p *planner) plan(l engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	return p.engine.Plan(p.found.m, l, hw)
}

func (p *planner) run() error {
	if len(p.found.m.Layers) == 0 {
		return model.Errorf(model.UnsupportedArchitecture, "model", "%s has no layers", p.found.name)
	}
	ranks := int(p.out.TP * p.out.PP * one(p.DP))
	hw := p.hardwareOf(p.hints, ranks)
	l := p.load()
	u, err := p.plan(l, hw)
	if err != nil {
		return err
	}
	if p.out.PP > 1 {
		p.out.Remarks = append(p.out.Remarks, "pipeline stages differ; the log prints one rank's figures and the smallest rank's blocks")
	}
	if unequalRanks(p.Notes) {
		p.out.Remarks = append(p.out.Remarks, "ranks had different pools; tokens follow the smallest")
	}
	if u, err = p.unlogged(u, l, hw); err != nil {
		return err
	}
	p.usage, p.hw = u, hw
	p.fixed(u)
	p.budget(u)
	if o := p.Observed; o.OneRequest != nil {
		p.out.Request = compare(*o.OneRequest, float64(u.Cache.PerSequence)/gib, 0.005 / *o.OneRequest)
	}
	return p.pool(l, hw)
}

// unlogged tries the switches that a row has no field for, when the plan
// misses and the switch explains it: the plan is then made with the switch,
// and the row says so.
func (p *planner) unlogged(u *engine.Usage, l engine.Load, hw engine.Hardware) (*engine.Usage, error) {
	o := &p.Observed
	off := func(u *engine.Usage) float64 {
		w, _, _ := sum(u, p.rank(u), isWeight)
		return math.Abs(w / *o.Weights - 1)
	}
	if o.Weights != nil && p.found.m.Multimodal && off(u) > 0.01 {
		l.Flags["language_model_only"] = true
		v, err := p.plan(l, hw)
		if err != nil {
			return nil, err
		}
		if off(v) < 0.003 {
			p.out.Remarks = append(p.out.Remarks, "weights are those without towers: planned with language_model_only")
			u = v
		} else {
			delete(l.Flags, "language_model_only")
		}
	}
	if o.KV == nil || o.Concurrency == nil || *o.KV <= 0 || p.MaxModelLen == 0 || u.Cache.FixedPerSequence == 0 {
		return u, nil
	}
	miss := func(flags engine.Flags) (float64, error) {
		x := l
		x.Flags = maps.Clone(flags)
		x.Flags["kv_cache_memory_bytes"] = int64(*o.KV * gib)
		v, err := p.plan(x, hw)
		if err != nil {
			return 0, err
		}
		return math.Abs(v.Cache.MaxConcurrency / *o.Concurrency - 1), nil
	}
	asIs, err := miss(l.Flags)
	if err != nil || asIs <= 0.01 {
		return u, err
	}
	for _, mode := range []string{"none", "align"} {
		flags := maps.Clone(l.Flags)
		flags["mamba_cache_mode"] = mode
		if m, err := miss(flags); err == nil && m < 0.005 {
			l.Flags["mamba_cache_mode"] = mode
			p.out.Remarks = append(p.out.Remarks, "concurrency is that of mamba_cache_mode "+mode+", not this release's default")
			return p.plan(l, hw)
		}
	}
	return u, nil
}

func isWeight(t *engine.Term) bool { return t.Category == engine.Weights }

// sum adds the terms of one category on a device that keep accepts.
func sum(u *engine.Usage, device int, keep func(*engine.Term) bool) (mid, low, high float64) {
	for i := range u.Terms {
		t := &u.Terms[i]
		if !keep(t) {
			continue
		}
		for _, d := range t.On {
			if d == device {
				lo, hi := t.Range()
				mid, low, high = mid+float64(t.Bytes)/gib, low+float64(lo)/gib, high+float64(hi)/gib
			}
		}
	}
	return mid, low, high
}

// fixed compares what is loaded and what the profile run adds.
func (p *planner) fixed(u *engine.Usage) {
	o := &p.Observed
	ranged := func(observed *float64, keep func(*engine.Term) bool) *figure {
		if observed == nil || *observed <= 0 {
			return nil
		}
		mid, low, high := sum(u, p.rank(u), keep)
		f := compare(*observed, mid, 0.005 / *observed)
		f.Low, f.High = low, high
		return f
	}
	p.out.Weights = ranged(o.Weights, isWeight)
	p.out.Activation = ranged(o.Activation, func(t *engine.Term) bool { return t.Category == engine.Workspace && !t.Outside })
	p.out.NonTorch = ranged(o.NonTorch, func(t *engine.Term) bool {
		return t.Category == engine.Runtime && !t.Outside && t.Name != "CUDA graphs"
	})
	p.out.Graphs = ranged(o.Graphs, func(t *engine.Term) bool { return t.Name == "CUDA graphs" })
}

// rank is the device whose weights are nearest to what the log printed:
// pipeline stages differ and logs print one of them.
func (p *planner) rank(u *engine.Usage) int {
	best, near := 0, math.Inf(1)
	if p.out.PP == 1 || p.Observed.Weights == nil {
		return 0
	}
	for d := range u.Devices {
		w, _, _ := sum(u, d, isWeight)
		if diff := math.Abs(w - *p.Observed.Weights); diff < near-0.01*w {
			best, near = d, diff
		}
	}
	return best
}

// total returns what the log says of everything inside the budget but the
// cache. Where it prints weights, activation and memory outside PyTorch that is
// their sum, which is what vLLM subtracts; else the sum that it prints, else
// utilization × total memory − pool. Which rows have no such total is decided
// by what the log says, never by the plan.
func (p *planner) total() (gibs float64, why string) {
	o := &p.Observed
	switch {
	case o.Weights != nil && o.Activation != nil && o.NonTorch != nil:
		return *o.Weights + *o.Activation + *o.NonTorch, ""
	case o.NonKV != nil:
		gibs = *o.NonKV
	case o.KV == nil || *o.KV <= 0:
		return 0, "no pool in the log"
	case len(p.usage.Budgets) == 0:
		return 0, "the log names no device"
	default:
		gibs = float64(p.usage.Budgets[0])/gib - *o.KV
	}
	switch {
	case gibs <= 0 || o.Weights != nil && gibs < *o.Weights:
		return 0, "the log contradicts itself: the budget less the pool is less than the weights"
	case o.Weights == nil && p.WeightsDType == "" && !p.found.exact:
		return 0, "the log does not say how weights are stored"
	}
	return gibs, ""
}

// budget compares everything inside the budget but the cache, and the pool
// that follows from it.
func (p *planner) budget(u *engine.Usage) {
	o := &p.Observed
	total, why := p.total()
	if p.out.Unscored = why; why != "" {
		return
	}
	mid, low, high := sum(u, p.rank(u), inBudget)
	p.out.Total = compare(total, mid, 0.01/total)
	p.out.Total.Low, p.out.Total.High = low, high
	if o.KV != nil && *o.KV > 0 && len(u.Budgets) > 0 && u.Cache.Pool > 0 {
		p.out.Pool = compare(*o.KV, float64(u.Cache.Pool)/gib, 0.005 / *o.KV)
	}
}

// inBudget reports what shares a device's budget with the cache.
func inBudget(t *engine.Term) bool {
	return !t.Outside && t.Category != engine.KVCache && t.Category != engine.State
}

// pool compares capacity and concurrency given the pool that the log printed.
func (p *planner) pool(l engine.Load, hw engine.Hardware) error {
	o := &p.Observed
	if o.KV == nil || *o.KV <= 0 || o.Tokens == nil && o.Concurrency == nil {
		return nil
	}
	l.Flags["kv_cache_memory_bytes"] = int64(*o.KV * gib)
	if o.Blocks != nil && p.out.PP > 1 {
		l.Flags["num_gpu_blocks_override"] = *o.Blocks
	}
	u, err := p.plan(l, hw)
	if err != nil {
		return err
	}
	round := 0.005 / *o.KV
	if o.Tokens != nil && *o.Tokens > 0 && u.Cache.CapacityTokens > 0 {
		n := float64(*o.Tokens)
		p.out.Capacity = compare(n, float64(u.Cache.CapacityTokens), round)
	}
	if o.Concurrency != nil && *o.Concurrency > 0 && p.MaxModelLen > 0 {
		p.out.Concurrency = compare(*o.Concurrency, u.Cache.MaxConcurrency, round + 0.005 / *o.Concurrency)
	}
	if o.Tokens == nil || *o.Tokens <= 0 || o.Blocks != nil && p.out.PP > 1 {
		return nil
	}
	// A large pool, so that whole blocks do not hide the rate.
	delete(l.Flags, "num_gpu_blocks_override")
	l.Flags["kv_cache_memory_bytes"] = int64(1) << 49
	if u, err = p.plan(l, hw); err != nil || u.Cache.CapacityTokens == 0 {
		return err
	}
	n := float64(*o.Tokens)
	block := float64(max(p.BlockSize, 16))
	p.out.PerToken = compare(*o.KV*gib/n, float64(u.Cache.Pool)/float64(u.Cache.CapacityTokens), round+block/n)
	return nil
}
