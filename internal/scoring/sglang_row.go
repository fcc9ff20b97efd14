package scoring

import (
	"regexp"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/sglang"
)

var (
	pageNote  = regexp.MustCompile(`page_size=(\d{1,5})`)
	chunkNote = regexp.MustCompile(`chunked_prefill_size=(-?\d{1,7})`)
)

// sglangTier is the tier that a report lists SGLang's rows under: their logs
// print other figures, and there are few.
const sglangTier = "SGLang"

// scoreSGLang plans a start of SGLang with as many tokens as its log says that
// the pools hold: bytes of a token, weights (a difference of free memory) and
// the sum of weights and pools.
func scoreSGLang(r *row, ms *models) result {
	out := result{ID: r.ID, Model: r.Model, Version: r.Version, Tier: sglangTier, PP: one(r.PP)}
	o := &r.Observed
	tokens, pool, why := r.sglangPool()
	switch {
	case r.TP == nil:
		why = "tensor parallel size not in the log"
	case r.Tier == "C":
		why = "tier C: model or configuration uncertain"
	case strings.Contains(strings.ToLower(r.WeightsDType), "w4a8"):
		why = "modelslim weights of 4 and 8 bits, whose layout is not known"
	}
	if out.Skipped = why; why != "" {
		return out
	}
	out.TP = one(*r.TP)
	f := ms.find(r.Model)
	if f.err != nil {
		out.Skipped = f.err.Error()
		return out
	}
	out.Matched = f.name
	page := int64(1)
	if m := pageNote.FindStringSubmatch(r.Notes); m != nil {
		page, _ = strconv.ParseInt(m[1], 10, 64)
	}
	l := engine.Load{
		Version: r.Version, Weights: schemeOf(r.WeightsDType, f), KVCacheType: sglangCache(r.KVDType), ContextTokens: 1024, Sequences: 1,
		TensorParallel: out.TP, PipelineParallel: out.PP, DataParallel: 1,
		Flags: engine.Flags{"page_size": max(page, 1), "max_total_tokens": tokens},
	}
	if m := chunkNote.FindStringSubmatch(r.Notes); m != nil {
		l.Flags["chunked_prefill_size"], _ = strconv.ParseInt(m[1], 10, 64)
	}
	if one(r.DP) > 1 {
		l.DataParallel, l.Flags["enable_dp_attention"] = r.DP, true
	}
	hw := engine.Hardware{}
	if strings.Contains(r.GPU, "Ascend") {
		hw.Devices = []engine.Device{{Name: "Ascend", Vendor: "huawei", Kind: engine.Dedicated}}
	} else {
		hw = r.hardwareOf(r.hints(), 1)
	}
	u, err := sglang.New().Plan(f.m, l, hw)
	if err != nil {
		out.Skipped = err.Error()
		return out
	}
	const rounded = 0.01 // of two pools of two decimals each
	// One page of padding is in the pool and not in the count.
	out.PerToken = compare(pool*gib/float64(tokens+page), float64(u.Cache.MarginalPerToken), rounded/pool)
	mid, low, high := sum(u, 0, isWeight)
	if o.Weights == nil {
		out.Unscored = "no weights in the log"
		return out
	}
	out.Weights = compare(*o.Weights, mid, 0.005 / *o.Weights)
	out.Weights.Low, out.Weights.High = low, high
	planned := float64(u.Cache.MarginalPerToken) * float64(tokens+page) / gib
	out.Total = compare(*o.Weights+pool, mid+planned, (rounded+0.005)/(*o.Weights+pool))
	out.Total.Low, out.Total.High = low+planned, high+planned
	return out
}

// sglangPool is what the log says of the token pool: how many tokens, and GiB
// of keys and values together.
func (r *row) sglangPool() (tokens int64, gibs float64, why string) {
	o := &r.Observed
	switch {
	case o.K != nil && o.V != nil:
		gibs = *o.K + *o.V
	case o.KeysValues != nil:
		gibs = *o.KeysValues
	}
	switch {
	case o.Tokens == nil || *o.Tokens <= 0 || gibs <= 0:
		return 0, 0, "no pool of one size in the log"
	case strings.Contains(strings.ToLower(r.KVDType), "fp4"):
		return 0, 0, "data of the cache is printed without its scales"
	}
	return *o.Tokens, gibs, ""
}

// sglangCache is a cache type as the planner names it.
func sglangCache(s string) string {
	if s = strings.ToLower(s); strings.HasPrefix(s, "fp8") {
		return "fp8"
	}
	return s
}
