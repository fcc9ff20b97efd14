package enginelog

import (
	"strconv"
	"strings"

	"hwledger/calc/engine"
)

// reading is the work of one Parse.
type reading struct {
	*Report
	line int
	// rank is of the process that printed the line, 0 when it does not say.
	rank int
	// stage is what the engine is doing, "" when the log began later.
	stage string
	// draft is whether the lines are of a draft model beside the main one.
	draft bool
	// wanted is the allocation that failed last.
	wanted allocation
	// before is what was free before weights were loaded, after what was left
	// then, for engines that print both.
	before, after engine.Bytes
	// open is the key of a value that comes on the next line.
	open string
}

// allocation is a buffer that an engine could not have.
type allocation struct {
	on    string
	bytes engine.Bytes
}

func newReading(name string) *reading {
	return &reading{Report: &Report{Engine: name, Flags: engine.Flags{}, Lines: map[string]int{}}}
}

// read applies rules to a line and notes which settings it changed.
func (r *reading) read(line string, sets ...[]rule) {
	ranked := false
	for _, set := range sets {
		for i := range set {
			m := set[i].match(line)
			if m == nil {
				continue
			}
			if !ranked {
				r.rank, ranked = rankOf(line), true
			}
			was := r.Settings
			set[i].do(r, m)
			r.note(&was)
		}
	}
}

// note records the line of settings that are not what they were.
func (r *reading) note(was *Settings) {
	s := &r.Settings
	for _, c := range []struct {
		name    string
		changed bool
	}{
		{"engine_version", s.Version != was.Version}, {"model", s.Model != was.Model || s.Name != was.Name},
		{"quantization", s.Quantization != was.Quantization}, {"kv_cache_dtype", s.KVCacheType != was.KVCacheType},
		{"context_tokens", s.ContextTokens != was.ContextTokens}, {"sequences", s.Sequences != was.Sequences},
		{"tensor_parallel", s.TensorParallel != was.TensorParallel}, {"pipeline_parallel", s.Pipeline != was.Pipeline},
		{"batch_tokens", s.BatchTokens != was.BatchTokens}, {"gpu_memory_utilization", s.Utilization != was.Utilization},
		{"gpu_layers", s.GPULayers != was.GPULayers}, {"device_bytes", s.DeviceBytes != was.DeviceBytes},
		{"free_bytes", s.FreeBytes != was.FreeBytes},
	} {
		if c.changed {
			r.Lines[c.name] = r.line
		}
	}
}

// flag keeps a setting by the engine's own name.
func (r *reading) flag(name string, v any) {
	r.Flags[name] = v
	r.Lines[name] = r.line
}

// ranks are the prefixes by which processes of one start tell themselves
// apart: vLLM's workers and SGLang's schedulers.
var ranks = on(`(?:PP(\d+)[ _])?TP(\d+)[ _\])]|rank=(\d+)`, nil)

// rankOf returns the rank whose process printed a line, 0 for the first one
// and for lines that do not say.
func rankOf(line string) int {
	m := ranks.match(line[:min(len(line), 120)])
	if m == nil {
		return 0
	}
	n := func(s string) int { v, _ := strconv.Atoi(s); return min(v, 1<<15) }
	return n(m[1])<<16 + n(m[2]) + n(m[3])
}

// restart forgets what an earlier process, or an earlier pass over the same
// model, printed.
func (r *reading) restart() {
	r.Actual, r.Failure, r.Started = nil, nil, false
	r.stage, r.draft, r.wanted = "load", false, allocation{}
	r.before, r.after = 0, 0
	r.CapacityTokens, r.Concurrency = 0, 0
}

// begin notes what the engine starts to do.
func begin(stage string) func(*reading, []string) {
	return func(r *reading, _ []string) { r.stage = stage }
}

// started notes that the engine is ready: what failed before was tried again.
func started(r *reading, _ []string) {
	r.Started, r.stage = true, "run"
	if r.Failure != nil && r.Failure.Stage != "run" {
		r.Failure = nil
	}
}

// named is the name of a figure: those of a draft model are kept apart.
func (r *reading) named(name string) string {
	if r.draft {
		return "draft " + name
	}
	return name
}

// set keeps a figure, in the place of an earlier one of that name and device.
// The first rank speaks for all.
func (r *reading) set(name string, c engine.Category, on string, b engine.Bytes) {
	name = r.named(name)
	a := r.find(name, on)
	switch {
	case a == nil:
		r.Actual = append(r.Actual, Actual{Name: name, Category: c, On: on, Host: engine.HostBuffer(on), Bytes: b, Line: r.line, rank: r.rank})
	case r.rank <= a.rank:
		a.Bytes, a.Line, a.rank = b, r.line, r.rank
	}
}

// add is set for a figure that an engine prints in parts.
func (r *reading) add(name string, c engine.Category, on string, b engine.Bytes) {
	if a := r.find(r.named(name), on); a != nil && a.rank == r.rank {
		a.Bytes, a.Line = a.Bytes+b, r.line
		return
	}
	r.set(name, c, on, b)
}

// setNew is set for a figure that a better line may have given already.
func (r *reading) setNew(name string, c engine.Category, b engine.Bytes) {
	if r.find(r.named(name), "") == nil {
		r.set(name, c, "", b)
	}
}

func (r *reading) find(name, on string) *Actual {
	for i := range r.Actual {
		if a := &r.Actual[i]; a.Name == name && a.On == on {
			return a
		}
	}
	return nil
}

// forget drops the figures of some categories: what held them is made anew.
func (r *reading) forget(cs ...engine.Category) {
	kept := r.Actual[:0]
	for _, a := range r.Actual {
		drop := false
		for _, c := range cs {
			drop = drop || a.Category == c
		}
		if !drop {
			kept = append(kept, a)
		}
	}
	r.Actual = kept
}

// device keeps a device that the log lists, and the least free memory of all.
func (r *reading) device(id, name string, free engine.Bytes) {
	name = strings.TrimSpace(name)
	for i := range r.Devices {
		if d := &r.Devices[i]; d.ID == id && (id != "" || d.Name == name) {
			d.Name, d.Free = name, max(d.Free, free)
			return
		}
	}
	if len(r.Devices) < maxDevices {
		r.Devices = append(r.Devices, Device{id, name, free})
	}
	if free > 0 && (r.DeviceBytes == 0 || free < r.DeviceBytes) {
		r.DeviceBytes, r.FreeBytes = free, free
	}
}

// maxDevices bounds the devices of one log.
const maxDevices = 64

// number reads "388,000" and "15.27"; 0 when it is none.
func number(s string) float64 {
	v, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
	if err != nil || v < 0 || v > 1e15 {
		return 0
	}
	return v
}

func count(s string) int64 { return int64(number(s)) }

func gib(s string) engine.Bytes { return bounded(number(s) * float64(engine.GiB)) }
func mib(s string) engine.Bytes { return bounded(number(s) * float64(engine.MiB)) }

// bounded keeps sums of what a log claims far from the end of int64.
func bounded(b float64) engine.Bytes { return engine.Bytes(min(b, 1<<50)) }

// sized reads a figure with its unit. Engines that print GB mean 2³⁰ bytes,
// but for MLX.
func sized(s, unit string) engine.Bytes {
	switch strings.ToUpper(unit + " ")[0] {
	case 'T':
		return bounded(number(s) * float64(engine.TiB))
	case 'M':
		return mib(s)
	case 'K':
		return mib(s) / 1024
	case 'B':
		return bounded(number(s))
	}
	return gib(s)
}
