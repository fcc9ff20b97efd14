package scoring

import (
	"encoding/json"
	"maps"
	"math"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/llamacpp"
	"hwledger/calc/model"
	"hwledger/calc/quant"
)

// planLog plans one start that a user's log shows.
func planLog(l *line, ms *models) entry {
	e := entry{ID: l.id()}
	var r logRow
	if err := json.Unmarshal(l.raw, &r); err != nil {
		e.Skipped = "not a row: " + err.Error()
		return e
	}
	if r.ID != "" {
		e.ID = r.ID
	}
	e.Model = r.Model
	p := logPlanner{logRow: &r, entry: &e}
	switch strings.ToLower(r.Engine) {
	case "llama.cpp":
		p.engine = llamacpp.New()
	case "ollama":
		p.engine = llamacpp.Ollama()
		if _, dated := r.release(); dated && r.before(ollamaPinned) {
			p.engine = llamacpp.New() // what it vendored that day
		}
	case "ik_llama.cpp":
		e.Skipped = "ik_llama.cpp, an engine with rules of its own"
		return e
	default:
		if p.engine = logEngine(&r); p.engine == nil {
			e.Skipped = "no engine for " + r.Engine
			return e
		}
	}
	if strings.Contains(r.Version, "ipex-llm") {
		e.Skipped = "a fork of llama.cpp with rules of its own"
		return e
	}
	if _, idle := r.Observed.number("idle_current_gb"); strings.Contains(r.Evidence, "estimate") && !idle {
		e.Skipped = "an engine's estimate, not a measurement"
		return e
	}
	f, why := matchLog(&r, ms)
	if f == nil {
		e.Skipped = why
		return e
	}
	p.m, e.Matched = f.m, f.name
	if p.engine.Name() == "mlx" {
		p.runMLX()
	} else {
		p.run()
	}
	return e
}

// logPlanner plans a log's row and compares.
type logPlanner struct {
	*logRow
	*entry
	engine engine.Engine
	m      *model.Model
}

func (p *logPlanner) load() (engine.Load, engine.Hardware) {
	seqs := int64(1)
	if p.NSeqMax != nil {
		seqs = max(1, *p.NSeqMax)
	}
	f := engine.Flags{"n_parallel": seqs}
	l := engine.Load{
		ContextTokens: 4096, Sequences: seqs, TensorParallel: 1, PipelineParallel: 1, DataParallel: 1,
		GPULayers: p.GPULayers, Flags: f, Weights: p.weights(),
	}
	if p.Ctx != nil && *p.Ctx > 0 {
		f["n_ctx"] = *p.Ctx
		l.ContextTokens = max(1, *p.Ctx/seqs)
	}
	version, guessed := p.release()
	if p.engine.Name() == "ollama" {
		version, guessed = "", false
		if m := releaseHint.FindStringSubmatch(p.Version); m != nil {
			version = m[1]
		}
	}
	l.Version = version
	if guessed && version != "" {
		p.remark("build %s guessed from the date", version)
	} else if guessed {
		p.remark("build not in the log: the newest")
	}
	number := func(name string, n *int64) {
		if n != nil && *n > 0 {
			f[name] = *n
		}
	}
	number("n_batch", p.NBatch)
	number("n_ubatch", p.NUBatch)
	switch {
	case p.Flash != nil:
		f["flash_attn"] = *p.Flash
	case p.before(flashDefault):
		f["flash_attn"] = false
	}
	for name, t := range map[string]string{"cache_type_k": p.TypeK, "cache_type_v": p.TypeV} {
		if t != "" {
			f[name] = t
		}
	}
	if n := p.rollback(); n > 0 {
		f["n_rs_seq"] = n
	}
	for name, flag := range map[string]string{"kv_unified": "kv_unified", "swa_full": "swa_full"} {
		if v, ok := p.Observed.bool(name); ok {
			f[flag] = v
		}
	}
	if _, given := f["kv_unified"]; !given && seqs == autoSlots && !p.before(autoSlotsSince) {
		f["kv_unified"] = true
		p.remark("4 slots are llama-server's own choice, which shares one cache")
	}
	return l, p.hardware()
}

// autoSlots is how many slots llama-server takes when not told, since builds
// of the end of 2025; they share one cache.
const (
	autoSlots      = 4
	autoSlotsSince = 7400
)

// ollamaPinned is the build since which Ollama starts a llama.cpp of its own
// choice and no longer one that it vendored.
const ollamaPinned = 9900

// before reports a build older than n.
func (r *logRow) before(n int) bool {
	version, _ := r.release()
	m := buildHint.FindStringSubmatch(version)
	return m != nil && atoi(m[1]) < n
}

func atoi(s string) int {
	n := 0
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// hardware is as many devices as the log names, of equal size: rows do not say
// how layers were split, and sums over devices do not depend on it.
func (p *logPlanner) hardware() engine.Hardware {
	hw := engine.Hardware{Host: &engine.Device{Name: "host"}}
	for range p.devices() {
		hw.Devices = append(hw.Devices, engine.Device{Name: p.GPU, Vendor: engine.BufferVendor(p.Backend), Free: 64 * engine.GiB, Usable: 64 * engine.GiB})
	}
	return hw
}

func (p *logPlanner) run() {
	l, hw := p.load()
	u, err := p.engine.Plan(p.m, l, hw)
	if err != nil {
		p.agree(figStart, false)
		p.remark("the plan refuses: %v", err)
		return
	}
	u = p.unlogged(u, l, hw)
	before := len(p.Measures)
	p.compareCaches(u)
	p.compareWeights(u, l.Weights)
	p.compareCompute(u, len(hw.Devices))
	p.compareTotal(u, l.Weights)
	if len(p.Measures) == before {
		p.Skipped = "no figure of it can be compared: the context or the file type is not in the log"
	}
}

// unlogged tries the switches that rows seldom name, when the cache misses and
// one of them explains it; the row says so.
func (p *logPlanner) unlogged(u *engine.Usage, l engine.Load, hw engine.Hardware) *engine.Usage {
	want, ok := p.kv()
	off := func(u *engine.Usage) float64 { return math.Abs(termsOf(u, engine.KVCache, "", every) - want) }
	if !ok || off(u) <= printMiB {
		return u
	}
	for _, flags := range []engine.Flags{{"kv_unified": true}, {"swa_full": true}} {
		x := l
		x.Flags = maps.Clone(l.Flags)
		known := false
		for name, v := range flags {
			_, known = x.Flags[name]
			x.Flags[name] = v
		}
		if v, err := p.engine.Plan(p.m, x, hw); err == nil && !known && off(v) <= printMiB {
			p.remark("planned with %v, which its cache shows", flags)
			return v
		}
	}
	if p.m.Arch == "deepseek2" {
		x := l
		x.Version = expandedBuild
		if v, err := p.engine.Plan(p.m, x, hw); err == nil && off(v) <= printMiB {
			p.remark("planned with keys and values by head, as older files keep them, which its cache shows")
			return v
		}
	}
	return u
}

// expandedBuild is the last build that knew no other latent attention.
const expandedBuild = "b5129"

// printMiB is what two decimals of a printed MiB hide, over a few buffers.
const printMiB = 0.02

// kv returns the size of all attention caches; not when the log shows a part
// or its context is unknown.
func (p *logPlanner) kv() (float64, bool) {
	if p.Ctx == nil || strings.Contains(p.Completeness, "partial") {
		return 0, false
	}
	if x, ok := p.Observed.number("kv_total_mib"); ok {
		return x, true
	}
	devices, host, any := sums(p.Observed.buffers("kv_buffer_mib"))
	return devices + host, any
}

func every(bool) bool { return true }

// termsOf sums terms in MiB: of a category, or of a name when it is given, on
// devices or the host as keep says.
func termsOf(u *engine.Usage, c engine.Category, name string, keep func(host bool) bool) float64 {
	n := 0.0
	for i := range u.Terms {
		t := &u.Terms[i]
		if t.Category == c && (name == "" || t.Name == name) && keep(len(t.On) == 0) {
			n += float64(t.Bytes) * float64(max(1, len(t.On))) / mib
		}
	}
	return n
}

func (p *logPlanner) compareCaches(u *engine.Usage) {
	if want, ok := p.kv(); ok && want > 0 {
		p.add(figKV, "", want, termsOf(u, engine.KVCache, "", every), printMiB)
	}
	if want, ok := p.Observed.number("kv_swa_mib"); ok && want > 0 && p.Ctx != nil && !strings.Contains(p.Completeness, "partial") {
		p.add("KV cache, sliding window", "", want, termsOf(u, engine.KVCache, "KV cache, sliding window", every), printMiB)
	}
	if want, ok := p.Observed.number("recurrent_mib"); ok && want > 0 {
		p.add(figState, "", want, termsOf(u, engine.State, "", every), printMiB)
	}
	if want, ok := p.Observed.number("output_buffer_mib"); ok && want > 0 {
		p.add(figOutput, "", want, termsOf(u, engine.Workspace, "Output buffer", every), printMiB)
	}
}

func onHost(host bool) bool   { return host }
func onDevice(host bool) bool { return !host }

func (p *logPlanner) compareWeights(u *engine.Usage, weights string) {
	stored := p.m.Quant != nil && p.m.Quant.Method == "mxfp4" && strings.Contains(strings.ToUpper(p.Quant+p.logRow.Model), "MXFP4")
	if weights == "" && !stored {
		return
	}
	if p.FileGiB != nil {
		if s, err := quant.ForGGUF(p.m, weights); err == nil {
			if st, err := s.Assign(p.m); err == nil {
				p.add("weights in the file", "", *p.FileGiB*1024, float64(quant.Sum(st))/mib, 0.005*1024)
			}
		}
	}
	devices, host, any := sums(p.Observed.buffers("model_buffer_mib"))
	switch {
	case !any || strings.EqualFold(p.Backend, "hexagon"):
	case p.hostExperts() || p.GPULayers == nil && devices > 0 && host > devices:
		p.add("weights, devices and host", "", devices+host, termsOf(u, engine.Weights, "", every), printMiB)
	case p.devices() == 0:
		p.add("weights on the host", "", devices+host, termsOf(u, engine.Weights, "", every), printMiB)
	default:
		p.add("weights on devices", "", devices, termsOf(u, engine.Weights, "", onDevice), printMiB)
		p.add("weights on the host", "", host, termsOf(u, engine.Weights, "", onHost), printMiB)
	}
}

// compareCompute compares compute buffers by what they depend on: flash
// attention, several devices, experts on the host.
func (p *logPlanner) compareCompute(u *engine.Usage, n int) {
	buffers := p.Observed.buffers("compute_buffer_mib")
	devices, host, any := sums(buffers)
	switch _, several := buffers["all GPUs"]; {
	case !any || p.Ctx == nil || several:
		return // no context, or a sum over devices that the log does not count
	case p.vague():
		p.remark("compute buffers are not compared: a year does not say the build")
		return
	case strings.EqualFold(p.Backend, "hexagon"):
		p.remark("compute buffers are not compared: the Hexagon backend runs a part of the graph")
		return
	}
	figure := "compute, one device"
	switch {
	case n == 0:
		figure = "compute, processor"
		devices, host = devices+host, 0
	case p.hostExperts():
		figure = "compute, experts on the host"
	case n > 1:
		figure = "compute, several devices"
	}
	if p.Flash != nil && !*p.Flash || p.Flash == nil && p.before(flashDefault) {
		figure += ", no flash attention"
	}
	if devices > 0 {
		p.add(figure, "", devices, termsOf(u, engine.Workspace, "Compute buffer", onDevice), printMiB)
	}
	if host > 0 {
		p.add("compute on the host", "", host, termsOf(u, engine.Workspace, "Compute buffer", onHost), printMiB)
	}
}

// compareTotal compares what devices hold in all: weights, caches, states and
// compute buffers, where the log prints each of them and the file type has one
// known mix.
func (p *logPlanner) compareTotal(u *engine.Usage, weights string) {
	model, _, any1 := sums(p.Observed.buffers("model_buffer_mib"))
	cache, _, any2 := sums(p.Observed.buffers("kv_buffer_mib"))
	compute, _, any3 := sums(p.Observed.buffers("compute_buffer_mib"))
	if total, ok := p.kv(); ok && !any2 {
		cache, any2 = total, true
	}
	offloaded := p.GPULayers != nil && *p.GPULayers > int64(len(p.m.Layers))
	if !any1 || !any2 || !any3 || model == 0 || compute == 0 || weights == "" || !offloaded || p.Ctx == nil || p.hostExperts() || p.vague() ||
		strings.Contains(p.Completeness, "partial") || strings.EqualFold(p.Backend, "hexagon") {
		return
	}
	state, _ := p.Observed.number("recurrent_mib")
	var mid, low, high float64
	for i := range u.Terms {
		t := &u.Terms[i]
		if len(t.On) == 0 || t.Category == engine.Runtime || t.Category == engine.Workspace && t.Name != "Compute buffer" {
			continue
		}
		l, h := t.Range()
		n := float64(len(t.On)) / mib
		mid, low, high = mid+n*float64(t.Bytes), low+n*float64(l), high+n*float64(h)
	}
	p.add("total on devices", "", model+cache+state+compute, mid, printMiB)
	m := &p.Measures[len(p.Measures)-1]
	m.Low, m.High, m.Ranged = low, high, true
}
