package scoring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/engine/llamacpp"
	"hwledger/calc/model"
	reported "hwledger/internal/observed"
)

// Figures of what llama.cpp reported. Compute buffers are counted for each
// build, those of stand-in devices apart.
const (
	figStart     = "started or refused"
	figWeights   = "weights"
	figParams    = "parameters"
	figCaches    = "caches and states together"
	figKV        = "KV cache"
	figState     = "recurrent state"
	figOutput    = "output buffer"
	figPlacement = "placement on every device"
)

func figCompute(release, where string) string { return "compute buffer, " + release + where }

// engineRow plans one start that llama.cpp reported itself.
func (s *shapes) engineRow(l *line) entry {
	e := entry{ID: l.id()}
	var own struct{ Hyperparameters json.RawMessage }
	var r reported.EngineRow
	if err := errors.Join(json.Unmarshal(l.raw, &r), json.Unmarshal(l.raw, &own)); err != nil {
		e.Skipped = "not a row: " + err.Error()
		return e
	}
	e.ID, e.Model = fmt.Sprintf("%s %s %s", e.ID, r.Model, r.Weights), r.Model
	e.Setting = settingOf(l.raw)
	if unknown := unknownSettings(l.raw); unknown != "" {
		e.Skipped = "setting not understood: " + unknown
		return e
	}
	f := s.find(r.Model, own.Hyperparameters)
	if f.err != nil {
		e.Skipped = "no model: " + f.err.Error()
		return e
	}
	e.Matched = f.name
	load, hw := r.Load()
	if r.Weights != "F16" || f.m.Format != model.FormatGGUF {
		load.Weights = r.Weights
	}
	u, err := llamacpp.New().Plan(f.m, load, hw)
	e.agree(figStart, (err != nil) == r.Refused())
	if err != nil {
		e.remark("the plan refuses: %v", err)
		return e
	}
	if !r.Refused() {
		p := plannedRow{entry: &e, r: &r, u: u}
		p.compare(f.m)
	}
	return e
}

// settingOf prints a row's setting on one line.
func settingOf(raw []byte) string {
	var v struct{ Setting json.RawMessage }
	var out bytes.Buffer
	if json.Unmarshal(raw, &v) != nil || json.Compact(&out, v.Setting) != nil {
		return ""
	}
	return out.String()
}

// settings are the switches of a row that Load translates.
var settings = strings.Fields("n_ctx n_seq_max n_batch n_ubatch fa ctk ctv kv_unified swa_full n_outputs_max n_rs_seq ngl ts ot offload_kqv op_offload mmap real extra")

// unknownSettings names the switches of a row that are not among settings.
func unknownSettings(raw []byte) string {
	var v struct{ Setting map[string]json.RawMessage }
	if err := json.Unmarshal(raw, &v); err != nil {
		return err.Error()
	}
	var out []string
	for k := range v.Setting {
		if !slices.Contains(settings, k) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// plannedRow compares a plan with its row.
type plannedRow struct {
	*entry
	r *reported.EngineRow
	u *engine.Usage
}

// backends sums the plan's terms for each device and, last, the host.
func (p *plannedRow) backends(devices int) []reported.Buffers {
	out := make([]reported.Buffers, devices+1)
	for i := range p.u.Terms {
		t := &p.u.Terms[i]
		d := devices
		if devices > 0 && len(t.On) > 0 {
			d = t.On[0]
		}
		switch {
		case t.Category == engine.Weights:
			out[d].Model += int64(t.Bytes)
		case t.Category == engine.KVCache || t.Category == engine.State:
			out[d].Context += int64(t.Bytes)
		case t.Name == "Compute buffer":
			out[d].Compute += int64(t.Bytes)
		}
	}
	return out
}

// category sums the terms of a category over all devices and the host.
func (p *plannedRow) category(c engine.Category) float64 {
	n := 0.0
	for i := range p.u.Terms {
		if t := &p.u.Terms[i]; t.Category == c {
			n += float64(t.Bytes) * float64(max(1, len(t.On)))
		}
	}
	return n
}

func (p *plannedRow) compare(m *model.Model) {
	names := p.r.DeviceNames()
	got, want := p.backends(len(names)), p.r.Backends()
	if p.r.NParams > 0 && m.Exact {
		p.add(figParams, "", float64(p.r.NParams), float64(m.Count().Total), 0)
	}
	var a, b reported.Buffers
	same := true
	for d := range want {
		a.Model, a.Context, a.Compute = a.Model+got[d].Model, a.Context+got[d].Context, a.Compute+got[d].Compute
		b.Model, b.Context, b.Compute = b.Model+want[d].Model, b.Context+want[d].Context, b.Compute+want[d].Compute
		same = same && got[d].Context == want[d].Context && p.sameWeights(got[d].Model, want[d].Model)
	}
	slack := 0.0
	if p.sameWeights(a.Model, b.Model) {
		slack = mappedSlack
	}
	p.add(figWeights, "", float64(b.Model), float64(a.Model), slack)
	p.caches(b.Context, a.Context)
	release := reported.Release(p.r.Engine)
	if len(names) == 0 {
		p.add(figCompute(release, ""), "", float64(b.Compute), float64(a.Compute), computeSlack(b.Compute))
	} else {
		p.agree(figPlacement, same)
		for d := range want {
			where := "host"
			if d < len(names) {
				where = names[d]
			}
			if want[d].Compute != 0 || got[d].Compute != 0 {
				p.add(figCompute(release, ", with devices"), where, float64(want[d].Compute), float64(got[d].Compute), computeSlack(want[d].Compute))
			}
		}
	}
	p.output()
}

// mappedSlack bounds what a mapped file leaves out behind its last tensor,
// whose padding a buffer has: less than ggml's alignment.
const mappedSlack = 31

func (p *plannedRow) sameWeights(got, want int64) bool {
	if p.r.Setting.MMap != nil && *p.r.Setting.MMap != 0 {
		return got >= want && got-want <= mappedSlack
	}
	return got == want
}

// computeSlack is what counts as equal for a compute buffer: half a thousandth.
func computeSlack(n int64) float64 { return float64(n) / 2000 }

const mib = float64(engine.MiB)

// printSlack is what two decimals of a printed MiB hide.
const printSlack = 0.005*mib + 1

// caches compares attention caches and recurrent states. The bytes are known
// of their sum; each alone is printed rounded when a row has both.
func (p *plannedRow) caches(want, got int64) {
	p.add(figCaches, "", float64(want), float64(got), 0)
	sum := func(lines []reported.CacheLine) (total float64) {
		for i := range lines {
			total += lines[i].TotalMiB * mib
		}
		return total
	}
	kv, rs := sum(p.r.Parsed.KV), sum(p.r.Parsed.RS)
	kvSlack, rsSlack := printSlack*float64(len(p.r.Parsed.KV)), printSlack*float64(len(p.r.Parsed.RS))
	switch {
	case kv == 0 && rs == 0:
		return // nothing printed: only the sum is known
	case rs == 0:
		kv, kvSlack = float64(want), 0
	case kv == 0:
		rs, rsSlack = float64(want), 0
	}
	if kv > 0 {
		p.add(figKV, "", kv, p.category(engine.KVCache), kvSlack)
	}
	if rs > 0 {
		p.add(figState, "", rs, p.category(engine.State), rsSlack)
	}
}

// output compares the logits buffer with the log's.
func (p *plannedRow) output() {
	if len(p.r.Parsed.Output) == 0 {
		return
	}
	want, got := 0.0, 0.0
	for _, b := range p.r.Parsed.Output {
		want += b.MiB * mib
	}
	for i := range p.u.Terms {
		if t := &p.u.Terms[i]; t.Name == "Output buffer" {
			got += float64(t.Bytes)
		}
	}
	p.add(figOutput, "", want, got, printSlack)
}
