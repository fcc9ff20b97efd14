package scoring

import (
	"regexp"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/llamacpp"
	"hwledger/calc/engine/lmstudio"
	"hwledger/calc/engine/mlx"
)

// mlxServers are the servers of MLX that logs name, and what the engine calls
// them. mlx-serve is one more server on mlx-lm's caches.
var mlxServers = map[string]string{"mlx-lm": "mlx-lm", "omlx": "omlx", "mlx-serve": "omlx"}

// logEngine returns the engine of a log's row by the name it has there, nil
// when there is none.
func logEngine(r *logRow) engine.Engine {
	name := strings.ToLower(r.Engine)
	if mlxServers[name] != "" {
		return mlx.New()
	}
	if strings.HasPrefix(name, "lm-studio") {
		return lmstudio.New(llamacpp.LMStudio(), mlx.LMStudio())
	}
	return nil
}

// latentCache is the day of mlx-lm's pull request 839, before which latent
// attention kept keys and values by head.
const latentCache = "0.30.5"

var bitsHint = regexp.MustCompile(`(?i)\b([2-8])-?bit\b`)

// mlxWeights returns MLX's scheme of a row, "" when it names none. Mixes of
// 4 bits with more for some tensors are taken as 4 bits.
func (r *logRow) mlxWeights() string {
	for _, text := range []string{r.Quant, r.Model} {
		if strings.Contains(text, "oQ4") || strings.Contains(text, "mixed-4-8bit") {
			return "mlx-4bit"
		}
		if m := bitsHint.FindStringSubmatch(text); m != nil {
			return "mlx-" + m[1] + "bit"
		}
	}
	return ""
}

// mlxRelease is the mlx-lm release of a row, from a date when it names none.
func (r *logRow) mlxRelease() string {
	if m := releaseHint.FindStringSubmatch(r.Version); m != nil && strings.EqualFold(r.Engine, "mlx-lm") {
		return m[1]
	}
	if m := dateHint.FindStringSubmatch(r.Version); m != nil && m[1] < "2025" {
		return "0.19.3"
	}
	return ""
}

// runMLX compares MLX's peak, which leaves out the server's own process and
// freed buffers.
func (p *logPlanner) runMLX() {
	l := engine.Load{
		ContextTokens: 4096, Sequences: 1, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1,
		Version: p.mlxRelease(), Weights: p.mlxWeights(), Flags: engine.Flags{"server": mlxServers[strings.ToLower(p.Engine)]},
	}
	if p.Ctx != nil && *p.Ctx > 0 {
		l.ContextTokens = *p.Ctx
	}
	if n, ok := p.Observed.number("gen_tokens"); ok {
		l.Flags["max_tokens"] = int64(n)
	}
	if strings.HasPrefix(p.TypeK, "q8") {
		l.Flags["kv_bits"] = 8
	}
	if p.Ctx == nil {
		p.idleMLX(l)
		return
	}
	total, ok := p.Observed.number("total_mib")
	if !ok {
		p.Skipped = "no peak in the log"
		return
	}
	p.peakMLX("MLX peak", total, l)
	if before, ok := p.Observed.number("peak_memory_gb_before_pr"); ok {
		l.Version = latentCache
		p.peakMLX("MLX peak, keys by head", before*1e9/mib, l)
	}
}

func (p *logPlanner) peakMLX(figure string, want float64, l engine.Load) {
	u, err := p.engine.Plan(p.m, l, engine.Hardware{})
	if err != nil {
		p.agree(figStart, false)
		p.remark("the plan refuses: %v", err)
		return
	}
	got := 0.0
	for i := range u.Terms {
		if u.Terms[i].Category != engine.Runtime {
			got += float64(u.Terms[i].Bytes) / mib
		}
	}
	p.add(figure, "", want, got, 0.05e9/mib)
}

// idleMLX compares the weights of a row that shows a loaded model at rest.
func (p *logPlanner) idleMLX(l engine.Load) {
	want, ok := p.Observed.number("idle_current_gb")
	if !ok {
		p.Skipped = "the context is not in the log"
		return
	}
	u, err := p.engine.Plan(p.m, l, engine.Hardware{})
	if err != nil {
		p.remark("the plan refuses: %v", err)
		return
	}
	p.add("MLX weights", "", want*1e9/mib, termsOf(u, engine.Weights, "", every), 0.05e9/mib)
}
