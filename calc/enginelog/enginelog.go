// Package enginelog reads what an inference engine printed while it started:
// which engine and model, with which settings, what it took of memory, and why
// it failed. It does no input or output; a log is text that somebody pasted,
// of which nothing is believed beyond the lines that are understood.
package enginelog

import (
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

// Settings are what an engine was asked for, as far as its log says. Zero
// values were not in it.
type Settings struct {
	Version string
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
	// DeviceBytes is the memory of one device, the smallest when they differ:
	// all of it, or what was free where the engine prints no more. FreeBytes is
	// what was free of it before the start, 0 when the log does not say.
	DeviceBytes, FreeBytes engine.Bytes
}

// Report is what a log says.
type Report struct {
	Engine string
	Settings
	// Flags are further settings by the engine's own names.
	Flags engine.Flags
	// Lines are the lines that settings and flags were read on, by their names
	// on the public surface.
	Lines map[string]int
	// Devices are those that the log lists, by the engine's own names.
	Devices []Device
	// Actual is what the engine took.
	Actual         []Actual
	CapacityTokens int64
	Concurrency    float64
	// Started is whether the engine says that it was ready.
	Started bool
	Failure *Failure
}

// Device is one device that an engine or a driver lists.
type Device struct {
	// ID is the engine's name for it, "" when only its product name is known.
	ID, Name string
	// Free is what was free before the start, 0 when the log does not say.
	Free engine.Bytes
}

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
	rank  int
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
	return f.parse(log), nil
}

// parse reads a log as one of the format.
func (f *format) parse(log string) *Report {
	r := newReading(f.engine)
	for line := range strings.Lines(log) {
		r.line++
		r.read(plain(line), f.rules, common, failures)
	}
	return r.finish()
}

// plain is a line without its end and without a terminal's colours.
func plain(line string) string {
	line = line[:min(len(line), maxLine)]
	if strings.Contains(line, "\x1b") {
		line = escape.re().ReplaceAllString(line, "")
	}
	return strings.TrimRight(line, "\r\n")
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
