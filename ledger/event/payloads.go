package event

import (
	"crypto/sha256"
	"encoding/hex"

	"hwledger/internal/fault"
)

// Labels say what an event is about; queries and reports go by them.
type Labels struct {
	Model         string `json:"model,omitempty" doc:"Model reference."`
	Engine        string `json:"engine,omitempty" doc:"Inference engine."`
	EngineVersion string `json:"engine_version,omitempty"`
	Device        string `json:"device,omitempty" doc:"Device or kind of device."`
}

// Memory is what a model takes, predicted or measured, in bytes over all
// devices. Parts that are not known are absent, never 0.
type Memory struct {
	Required  *int64 `json:"required_bytes,omitempty" min:"0" doc:"In all."`
	Weights   *int64 `json:"weights_bytes,omitempty" min:"0"`
	KVCache   *int64 `json:"kv_cache_bytes,omitempty" min:"0"`
	State     *int64 `json:"state_bytes,omitempty" min:"0"`
	Workspace *int64 `json:"workspace_bytes,omitempty" min:"0"`
	Runtime   *int64 `json:"runtime_bytes,omitempty" min:"0"`
}

// Load is what an engine was asked to serve.
type Load struct {
	WeightsType   string `json:"weights,omitempty" doc:"Weight quantization."`
	ContextTokens int64  `json:"context_tokens,omitempty" min:"1"`
	Sequences     int64  `json:"sequences,omitempty" min:"1"`
}

// Energy is what was used, in millijoules. When the counter or the samples
// have gaps the energy is not known, and unknown_ms says for how long.
type Energy struct {
	MilliJoules *int64 `json:"energy_mj,omitempty" min:"0" doc:"Millijoules."`
	Source      string `json:"energy_source,omitempty" enum:"counter,samples,meter,estimate"`
	UnknownMS   int64  `json:"energy_unknown_ms,omitempty" min:"0" doc:"Time that energy_mj does not cover."`
}

// Note is an observation in words.
type Note struct {
	Labels
	Text string         `json:"text" doc:"The observation."`
	Data map[string]any `json:"data,omitempty" doc:"Figures that belong to it."`
}

// Figure is one part of what a model takes, in bytes over all devices.
type Figure struct {
	Name  string `json:"name" doc:"What it is for: weights, kv_cache, ..."`
	Bytes int64  `json:"bytes" min:"0"`
	// Predicted is what the plan said of the same, in a measurement.
	Predicted *int64 `json:"predicted_bytes,omitempty" min:"0"`
	Low       *int64 `json:"low_bytes,omitempty" min:"0" doc:"The plan's range."`
	High      *int64 `json:"high_bytes,omitempty" min:"0"`
}

// Term is what a start took of one term of its plan that rules say no more of
// than a range, in bytes on one device.
type Term struct {
	Name    string `json:"name"`
	Device  string `json:"device" doc:"Its name, or host."`
	Ranks   string `json:"ranks" doc:"Tensor x pipeline parallel."`
	Planned int64  `json:"planned_bytes" min:"0" doc:"By the rules alone."`
	Bytes   int64  `json:"bytes" min:"0"`
}

// Prediction is what a plan said.
type Prediction struct {
	Labels
	Load
	Memory
	Figures []Figure         `json:"figures,omitempty" doc:"Its parts."`
	Reserve map[string]int64 `json:"reserve_bytes,omitempty" doc:"Needed of each pool of memory."`
	Forced  bool             `json:"forced,omitempty" doc:"Started though it might not fit."`
	Low     *int64           `json:"low_bytes,omitempty" min:"0"`
	High    *int64           `json:"high_bytes,omitempty" min:"0"`
	Verdict string           `json:"verdict,omitempty" enum:"fits,tight,does_not_fit,unknown"`
}

// Measurement is what was seen.
type Measurement struct {
	Labels
	Load
	Memory
	Energy
	Figures            []Figure         `json:"figures,omitempty" doc:"Its parts, each beside its prediction."`
	Start              string           `json:"start,omitempty" doc:"What was started: the model with its load."`
	Terms              []Term           `json:"terms,omitempty" doc:"What later plans here go by."`
	Resident           *int64           `json:"resident_bytes,omitempty" min:"0" doc:"System memory of all processes."`
	PoolDelta          map[string]int64 `json:"pool_delta_bytes,omitempty" doc:"What each device has less since before."`
	Peak               *int64           `json:"peak_bytes,omitempty" min:"0" doc:"Most memory of devices."`
	Prediction         int64            `json:"prediction,omitempty" min:"1" doc:"seq of the prediction that it measures; the subject's last by default."`
	DurationMS         int64            `json:"duration_ms,omitempty" min:"0"`
	DecodeTokensPerSec float64          `json:"decode_tokens_per_second,omitempty" min:"0"`
	Source             string           `json:"source,omitempty" doc:"How it was measured: nvml, log, ..."`
}

// Price is what something costs, and who said so when.
type Price struct {
	Provider string `json:"provider"`
	Resource string `json:"resource" doc:"What it is the price of."`
	Unit     string `json:"unit" doc:"hour, kWh, GB, million tokens."`
	Amount   int64  `json:"amount_micro_usd" min:"0" doc:"Micro-USD for one unit."`
	Region   string `json:"region,omitempty"`
	Source   string `json:"source" doc:"Where it was read."`
	Time     string `json:"price_time" doc:"When, RFC 3339."`
}

func (p *Price) complete() (map[string]int64, error) { return nil, checkTime("price_time", p.Time) }

// Adjustment corrects a cost line by an amount.
type Adjustment struct {
	Adjusts int64  `json:"adjusts" min:"1" doc:"seq of the cost."`
	Amount  int64  `json:"amount_micro_usd" doc:"Micro-USD to add; negative for a credit."`
	Reason  string `json:"reason"`
	Invoice string `json:"invoice,omitempty"`
}

// Device is hardware, with what its use costs beside energy.
type Device struct {
	Device   string `json:"device" doc:"Name."`
	Vendor   string `json:"vendor,omitempty"`
	Memory   *int64 `json:"memory_bytes,omitempty" min:"0"`
	Driver   string `json:"driver,omitempty"`
	Price    int64  `json:"price_micro_usd,omitempty" min:"0" doc:"What it cost."`
	Life     int64  `json:"life_hours,omitempty" min:"1"`
	Use      int64  `json:"utilization_percent,omitempty" min:"1" max:"100" doc:"Share of its life in use."`
	Location string `json:"location,omitempty"`
}

// Launch is the start of an engine under hwLedger.
type Launch struct {
	Labels
	Load
	Memory
	Reservation *int64 `json:"reservation_bytes,omitempty" min:"0"`
	PID         int64  `json:"pid,omitempty" min:"1"`
	Program     string `json:"program,omitempty" doc:"Its file."`
	// Argv is of the arguments with a zero byte after each, as the kernel
	// keeps them: sha256sum /proc/PID/cmdline. They may have secrets in them.
	Argv      string `json:"argv_sha256,omitempty" doc:"SHA-256 of the command line, hexadecimal."`
	Arguments int64  `json:"arguments,omitempty" min:"0" doc:"How many the command line has."`
	Lifetime  string `json:"lifetime,omitempty" enum:"session,detached"`
	Daemon    string `json:"daemon,omitempty" doc:"Address of the daemon that loads the model."`
}

// Exit is its end.
type Exit struct {
	Labels
	Energy
	Code       *int64 `json:"code,omitempty" doc:"Exit status."`
	Signal     string `json:"signal,omitempty"`
	Reason     string `json:"reason,omitempty"`
	How        string `json:"how,omitempty" doc:"How it was ended."`
	Failure    string `json:"failure,omitempty" doc:"Kind of failure."`
	PID        int64  `json:"pid,omitempty" min:"1"`
	Peak       *int64 `json:"peak_bytes,omitempty" min:"0" doc:"Most memory of devices."`
	Resident   *int64 `json:"peak_resident_bytes,omitempty" min:"0" doc:"Most system memory."`
	DurationMS int64  `json:"duration_ms,omitempty" min:"0"`
	CPUMS      *int64 `json:"cpu_ms,omitempty" min:"0"`
	// Log is of the lines that say why it failed, with a newline after each;
	// they may have parts of prompts in them.
	Log      string `json:"log_sha256,omitempty" doc:"SHA-256 of the lines that say why, hexadecimal."`
	LogLines int64  `json:"log_lines,omitempty" min:"0"`
}

// Timing is how long a part of an engine's work took.
type Timing struct {
	Labels
	What             string  `json:"what" enum:"start,call"`
	DurationMS       int64   `json:"duration_ms" min:"0"`
	FirstTokenMS     int64   `json:"first_token_ms,omitempty" min:"0"`
	PromptTokens     int64   `json:"prompt_tokens,omitempty" min:"0"`
	CompletionTokens int64   `json:"completion_tokens,omitempty" min:"0"`
	TokensPerSecond  float64 `json:"tokens_per_second,omitempty" min:"0"`
}

// Call is one request to an engine. What was asked is not in it.
type Call struct {
	Labels
	PromptSHA256     string `json:"prompt_sha256" doc:"Hexadecimal."`
	PromptBytes      int64  `json:"prompt_bytes" min:"0"`
	PromptTokens     int64  `json:"prompt_tokens,omitempty" min:"0"`
	CompletionTokens int64  `json:"completion_tokens,omitempty" min:"0"`
	DurationMS       int64  `json:"duration_ms,omitempty" min:"0"`
}

func (c *Call) complete() (map[string]int64, error) {
	if b, err := hex.DecodeString(c.PromptSHA256); err != nil || len(b) != sha256.Size {
		return nil, fault.New(fault.InvalidArgument, "payload.prompt_sha256", "the hash is not 64 hexadecimal digits").WithHint("prompts themselves are never stored")
	}
	return nil, nil
}

// Erasure says that an event's payload was removed, and why.
type Erasure struct {
	Erases int64  `json:"erases" min:"1" doc:"seq of the event."`
	Reason string `json:"reason"`
}

// Checkpoint says that a signed checkpoint was given out.
type Checkpoint struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size" min:"0"`
	Root   string `json:"root" doc:"Base64."`
}

// PromptDigest returns what a ledger keeps of a prompt.
func PromptDigest(prompt string) (sha256Hex string, bytes int64) {
	sum := sha256.Sum256([]byte(prompt))
	return hex.EncodeToString(sum[:]), int64(len(prompt))
}
