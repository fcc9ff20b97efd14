// Package enginelog reads what an inference engine printed while it started:
// which engine and model, with which settings, what it took of memory, and why
// it failed. It does no input or output; a log is text that somebody pasted,
// of which nothing is believed beyond the lines that are understood.
package enginelog

import (
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/model"
)

// MaxLog is the longest log that is read, in bytes, and maxLine the longest
// line; the rest of a longer line is left out.
const (
	MaxLog  = 8 << 20
	maxLine = 16 << 10
)

// Report is what a log says. Zero values were not in it.
type Report struct {
	Engine, Version string
	// Model is the name or path that the engine was given, Name what the model
	// file calls itself.
	Model, Name string
	// Quantization and KVCacheType are by the engine's own names, "" when the
	// log names none.
	Quantization, KVCacheType string
	ContextTokens, Sequences  int64
	TensorParallel, Pipeline  int64
	BatchTokens               int64
	Utilization               float64
	GPULayers                 *int64
	// Flags are further settings by the engine's own names.
	Flags engine.Flags
	// Devices are those that the log lists, by the engine's own names.
	Devices []Device
	// DeviceBytes is the memory of one device, the smallest when they differ.
	DeviceBytes engine.Bytes
	// Actual is what the engine took.
	Actual         []Actual
	CapacityTokens int64
	Concurrency    float64
	Failure        *Failure
}

// Device is one device that an engine lists.
type Device struct{ ID, Name string }

// Actual is one figure of memory.
type Actual struct {
	Name     string
	Category engine.Category
	// On is the device as the engine calls it, "" for each rank alike; Host
	// marks system memory.
	On    string
	Host  bool
	Bytes engine.Bytes
	Line  int
}

// Failure is why a start failed.
type Failure struct {
	// Kind is out_of_memory, port_in_use, bad_model or failed.
	Kind string
	// Stage is what it was doing: load, profile, cache, run, start.
	Stage string
	Cause string
	// Short is how much memory was missing, 0 when the log does not say.
	Short engine.Bytes
	// Fits is the longest context that the engine itself says would fit.
	Fits int64
	Line int
}

// reading is the work of one Parse.
type reading struct {
	*Report
	line int
}

// format is how one engine logs.
type format struct {
	engine string
	// marks are texts that only this engine prints.
	marks []string
	rules []rule
}

// formats are all engines whose logs are read: a new one is one line here.
var formats = []*format{&vllmLog, &sglangLog, &llamaLog, &tgiLog, &trtLog, &mistralLog, &mlxLog}

// Parse reads a log. It returns InvalidArgument for one that is too long, or
// that no engine is recognised in.
func Parse(log string) (*Report, error) {
	if len(log) > MaxLog {
		return nil, model.Errorf(model.InvalidArgument, "log", "%d bytes, at most %d are read", len(log), MaxLog).
			WithHint("give the part from the start of the engine to its failure or to its first request")
	}
	f := detect(log)
	if f == nil {
		return nil, model.Errorf(model.InvalidArgument, "log", "no engine is recognised in it").
			WithHint("paste the engine's own start-up log: vLLM, SGLang, llama.cpp, Ollama, TGI, TensorRT-LLM, mistral.rs or MLX")
	}
	r := &reading{Report: &Report{Engine: f.engine, Flags: engine.Flags{}}}
	for line := range strings.Lines(log) {
		r.line++
		line = line[:min(len(line), maxLine)]
		if strings.Contains(line, "\x1b") {
			line = escape.re().ReplaceAllString(line, "")
		}
		line = strings.TrimRight(line, "\r\n")
		for _, set := range [][]rule{f.rules, failures} {
			for i := range set {
				if m := set[i].match(line); m != nil {
					set[i].do(r, m)
				}
			}
		}
	}
	if n, ok := r.Flags["n_ctx"].(int64); ok && r.ContextTokens == 0 {
		r.ContextTokens = n / max(1, r.Sequences)
	}
	return r.Report, nil
}

// detect returns the format whose marks are in the log most often.
func detect(log string) *format {
	var best *format
	most := 0
	for _, f := range formats {
		n := 0
		for _, m := range f.marks {
			n += strings.Count(log, m)
		}
		if n > most {
			best, most = f, n
		}
	}
	return best
}

// set keeps a figure, in the place of an earlier one of that name and device.
func (r *reading) set(name string, c engine.Category, on string, b engine.Bytes) {
	host := strings.HasPrefix(on, "CPU") || strings.HasSuffix(on, "_Host") || on == "host"
	for i := range r.Actual {
		if a := &r.Actual[i]; a.Name == name && a.On == on {
			a.Bytes, a.Line = b, r.line
			return
		}
	}
	r.Actual = append(r.Actual, Actual{Name: name, Category: c, On: on, Host: host, Bytes: b, Line: r.line})
}

// add is set for a figure that an engine prints in parts.
func (r *reading) add(name string, c engine.Category, on string, b engine.Bytes) {
	for i := range r.Actual {
		if a := &r.Actual[i]; a.Name == name && a.On == on {
			a.Bytes, a.Line = a.Bytes+b, r.line
			return
		}
	}
	r.set(name, c, on, b)
}

// fail keeps the first cause: what follows is mostly its consequence. A cause
// that says how much was missing takes the place of one that does not.
func (r *reading) fail(f Failure) {
	if r.Failure != nil && (r.Failure.Short > 0 || f.Short <= 0) {
		return
	}
	f.Line = r.line
	r.Failure = &f
}

// number reads "388,000" and "15.27"; 0 when it is none.
func number(s string) float64 {
	v, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
	if err != nil || v < 0 || v > 1e15 {
		return 0
	}
	return v
}

func count(s string) int64 { return int64(number(s)) }

func gib(s string) engine.Bytes { return engine.Bytes(number(s) * float64(engine.GiB)) }
func mib(s string) engine.Bytes { return engine.Bytes(number(s) * float64(engine.MiB)) }

// sized reads a figure with its unit. Engines that print GB mean 2³⁰ bytes,
// but for MLX.
func sized(s, unit string) engine.Bytes {
	if strings.HasPrefix(strings.ToUpper(unit), "M") {
		return mib(s)
	}
	if strings.HasPrefix(strings.ToUpper(unit), "K") {
		return mib(s) / 1024
	}
	return gib(s)
}
