package engine

import (
	"encoding/json"
	"sort"
	"strconv"

	"hwledger/calc/model"
)

// Load is what the engine is asked to serve and how it is started. Zero
// values mean "the engine's own default"; the engine lists what it assumed.
type Load struct {
	Version string // engine version, "" for the newest known
	// Weights is a quantization scheme by name, "" or "auto" for what the
	// model stores.
	Weights string
	// ContextTokens is the length of each sequence; Sequences how many are
	// live at once. Both are at least 1 when an engine sees them.
	ContextTokens, Sequences int64
	// MaxModelLen is the longest sequence the engine is told to accept
	// (vLLM max_model_len); 0 for ContextTokens.
	MaxModelLen int64
	KVCacheType string // "" or "auto", "bf16", "fp8", "q8_0" …

	TensorParallel, PipelineParallel, DataParallel int64 // at least 1
	ExpertParallel                                 bool
	// BatchTokens is the most prompt tokens in one step:
	// max_num_batched_tokens, chunked_prefill_size, n_ubatch.
	BatchTokens int64
	// GPULayers is how many layers are on devices, counted as llama.cpp does
	// (the output is one more layer); nil for all.
	GPULayers *int64
	// CPUMoELayers keeps the experts of that many first layers on the host.
	CPUMoELayers int64
	// MemoryUtilization is the share of each device the engine may take;
	// 0 for its default.
	MemoryUtilization float64
	// Flags are engine switches by the engine's own names.
	Flags Flags
}

// Flags are engine switches by the engine's own names.
type Flags map[string]any

// Bool returns the switch name, or def when it is absent.
func (f Flags) Bool(name string, def bool) (bool, error) {
	switch v := f[name].(type) {
	case nil:
		return def, nil
	case bool:
		return v, nil
	case string:
		switch v {
		case "1", "true", "on", "yes":
			return true, nil
		case "0", "false", "off", "no":
			return false, nil
		}
	case float64:
		return v != 0, nil
	case int64:
		return v != 0, nil
	case int:
		return v != 0, nil
	}
	return def, f.bad(name, "a boolean")
}

// Int returns the integer name, or def when it is absent.
func (f Flags) Int(name string, def int64) (int64, error) {
	switch v := f[name].(type) {
	case nil:
		return def, nil
	case int64:
		return v, nil
	case int:
		return int64(v), nil
	case float64:
		if v == float64(int64(v)) {
			return int64(v), nil
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n, nil
		}
	}
	return def, f.bad(name, "an integer")
}

// Float returns the number name, or def when it is absent.
func (f Flags) Float(name string, def float64) (float64, error) {
	switch v := f[name].(type) {
	case nil:
		return def, nil
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	case int:
		return float64(v), nil
	case string:
		if x, err := strconv.ParseFloat(v, 64); err == nil {
			return x, nil
		}
	}
	return def, f.bad(name, "a number")
}

// String returns the text name, or def when it is absent.
func (f Flags) String(name, def string) (string, error) {
	switch v := f[name].(type) {
	case nil:
		return def, nil
	case string:
		return v, nil
	}
	return def, f.bad(name, "a string")
}

func (f Flags) bad(name, want string) error {
	return model.Errorf(model.InvalidArgument, "flags."+name, "must be %s, not %v", want, f[name])
}

// Check returns an error naming the first flag that is not in known.
func (f Flags) Check(engine string, known []string) error {
	var unknown []string
next:
	for name := range f {
		for _, k := range known {
			if k == name {
				continue next
			}
		}
		unknown = append(unknown, name)
	}
	if len(unknown) == 0 {
		return nil
	}
	sort.Strings(unknown)
	e := model.Errorf(model.InvalidArgument, "flags."+unknown[0], "%s has no such switch that changes memory", engine)
	e.Candidates = known
	return e.WithHint("leave it out, or use one of the candidates")
}

// MemoryKind is how a device's memory relates to the system's.
type MemoryKind string

// The memory kinds.
const (
	Dedicated MemoryKind = "dedicated" // its own memory
	Unified   MemoryKind = "unified"   // one memory for CPU and GPU
	Shared    MemoryKind = "shared"    // a window into system memory
	Unknown   MemoryKind = "unknown"
)

// Device is one accelerator, or the processor when there is none.
type Device struct {
	Name   string
	Vendor string // "nvidia", "amd", "apple", "intel", "" unknown
	Kind   MemoryKind
	// Total is what the driver reports; Free is what is not in use, equal to
	// Total for a device from the catalogue; Usable is what one process can
	// have of Free under the system's limits.
	Total, Free, Usable Bytes
	// Bandwidth in bytes/s and dense 16-bit FLOP/s, 0 when unknown.
	Bandwidth, Flops float64
	FlopsFP8         float64 // dense fp8 FLOP/s, 0 when unknown or not supported
	// Arch is the compute capability ("9.0") or architecture name.
	Arch string
}

// Hardware is what a plan is made against. No devices means none was given.
type Hardware struct {
	Devices []Device
	Host    *Device // system memory, nil when unknown
	// History is what was measured on it; none for hardware that is only named.
	History History
}

// Vendor is whose accelerators they are: that of the first one, "nvidia", for
// which the engines' images are built, when that is not known or none was given.
func (h Hardware) Vendor() string {
	if len(h.Devices) == 0 || h.Devices[0].Vendor == "" {
		return "nvidia"
	}
	return h.Devices[0].Vendor
}
