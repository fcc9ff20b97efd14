package scoring

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"hwledger/calc/engine"
	"hwledger/calc/hardware"
)

// row is one start of a server as its log printed it. Pointers are null where
// the log does not say. Sizes in GiB are as printed, rounded.
type row struct {
	ID           string   `json:"id"`
	Engine       string   `json:"engine"`
	Version      string   `json:"engine_version,omitempty"`
	Model        string   `json:"model"`
	WeightsDType string   `json:"weights_dtype,omitempty"`
	KVDType      string   `json:"kv_dtype,omitempty"`
	GPU          string   `json:"gpu,omitempty"`
	GPUCount     int64    `json:"gpu_count,omitempty"`
	TP           *int64   `json:"tp"`
	PP           int64    `json:"pp,omitempty"`
	DP           int64    `json:"dp,omitempty"`
	MaxModelLen  int64    `json:"max_model_len,omitempty"`
	MaxNumSeqs   int64    `json:"max_num_seqs,omitempty"`
	BatchTokens  int64    `json:"max_num_batched_tokens,omitempty"`
	Utilization  float64  `json:"gpu_memory_utilization,omitempty"`
	Eager        bool     `json:"enforce_eager,omitempty"`
	BlockSize    int64    `json:"block_size,omitempty"`
	Observed     observed `json:"observed"`
	Source       string   `json:"source,omitempty"`
	Notes        string   `json:"notes,omitempty"`
	Tier         string   `json:"tier,omitempty"`
	line         int
	file         string
	parseFailure error
}

// observed is what the log printed.
type observed struct {
	Weights     *float64 `json:"weights_gib,omitempty"`
	KV          *float64 `json:"kv_cache_gib,omitempty"`
	Tokens      *int64   `json:"kv_cache_tokens,omitempty"`
	Blocks      *int64   `json:"num_gpu_blocks,omitempty"`
	Concurrency *float64 `json:"max_concurrency_x,omitempty"`
	Graphs      *float64 `json:"cudagraph_gib,omitempty"`
	Activation  *float64 `json:"peak_activation_gib,omitempty"`
	NonTorch    *float64 `json:"non_torch_gib,omitempty"`
	NonKV       *float64 `json:"total_non_kv_gib,omitempty"`
	Estimate    *float64 `json:"cudagraph_estimate_gib,omitempty"` // vLLM's own, before it captures
	Before      *float64 `json:"before_gib,omitempty"`             // outside PyTorch at the first reading
	K           *float64 `json:"sglang_k_gb,omitempty"`            // SGLang prints GiB as GB
	V           *float64 `json:"sglang_v_gb,omitempty"`
	KeysValues  *float64 `json:"sglang_kv_gb,omitempty"`
	OneRequest  *float64 `json:"kv_needed_for_one_max_len_request_gib,omitempty"`
}

// readRows reads one JSON object per line. A line that is not one becomes a
// row with its failure, to be listed as skipped.
func readRows(r io.Reader, file string) ([]row, error) {
	var out []row
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), 16<<20)
	for n := 1; sc.Scan(); n++ {
		text := strings.TrimSpace(sc.Text())
		if text == "" {
			continue
		}
		var v row
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			v = row{ID: fmt.Sprintf("%s:%d", file, n), parseFailure: err}
		}
		v.line, v.file = n, file
		v.fromNotes()
		out = append(out, v)
	}
	return out, sc.Err()
}

var (
	estimateNote = regexp.MustCompile(`CUDA-graph estimate ([\d.]+) GiB`)
	beforeNote   = regexp.MustCompile(`snapshot at worker init:[^;]*non_torch_memory=([\d.]+)GiB`)
	githubSource = regexp.MustCompile(`^https://github\.com/([\w.-]+/[\w.-]+)`)
	issueID      = regexp.MustCompile(`^iss-vllm(\d{3,6})\b`)
)

// fromNotes moves figures that a record keeps in words to their fields, and
// shortens where it is from to the publisher.
func (r *row) fromNotes() {
	figure := func(to **float64, re *regexp.Regexp) {
		if m := re.FindStringSubmatch(r.Notes); m != nil && *to == nil {
			if f, err := strconv.ParseFloat(m[1], 64); err == nil {
				*to = &f
			}
		}
	}
	figure(&r.Observed.Estimate, estimateNote)
	figure(&r.Observed.Before, beforeNote)
	if m := githubSource.FindStringSubmatch(r.Source); m != nil {
		r.Source = m[1]
	}
}

// hints are settings that a log's notes name in words and the fields of a row
// have no place for.
type hints struct {
	draft, dcp  int64
	fp8KV       bool
	hybridOff   bool
	totalMemory engine.Bytes
}

var (
	draftHint = regexp.MustCompile(`(?i)num_speculative_tokens[=: ]+(\d+)|(\d+) draft tokens|MTP[ =:]+(\d+)`)
	mtpHint   = regexp.MustCompile(`(?i)\bMTP\b`)
	noMTPHint = regexp.MustCompile(`(?i)no spec|without MTP|no MTP`)
	dcpHint   = regexp.MustCompile(`(?i)\bDCP[= ]*(\d+)`)
	offHint   = regexp.MustCompile(`(?i)hybrid (KV )?(cache )?manager (is )?(apparently )?(off|disabled)`)
	fp8Hint   = regexp.MustCompile(`(?i)float8_e4m3fn|resolves to fp8|fp8[- ]by[- ]checkpoint`)
	totalHint = regexp.MustCompile(`(?i)total[_ ]memory(?: printed)?[=: ]+([\d.]+)`)
)

func (r *row) hints() hints {
	var h hints
	text := r.Notes
	if m := draftHint.FindStringSubmatch(text); m != nil {
		for _, s := range m[1:] {
			if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 && n < 64 {
				h.draft = n
			}
		}
	} else if mtpHint.MatchString(text+" "+r.Model) && !noMTPHint.MatchString(text) {
		h.draft = 1
	}
	if noMTPHint.MatchString(text) {
		h.draft = 0
	}
	if m := dcpHint.FindStringSubmatch(text); m != nil {
		h.dcp, _ = strconv.ParseInt(m[1], 10, 64)
	}
	h.hybridOff = offHint.MatchString(text)
	h.fp8KV = fp8Hint.MatchString(text)
	if m := totalHint.FindStringSubmatch(text); m != nil {
		if f, err := strconv.ParseFloat(m[1], 64); err == nil && f > 1 && f < 4096 {
			h.totalMemory = engine.Bytes(f * float64(engine.GiB))
		}
	}
	return h
}

// text writes the hints as notes from which they can be read again.
func (h hints) text(notes string) string {
	var out []string
	if h.draft > 0 {
		out = append(out, fmt.Sprintf("num_speculative_tokens=%d", h.draft))
	}
	if h.dcp > 1 {
		out = append(out, fmt.Sprintf("DCP=%d", h.dcp))
	}
	if h.hybridOff {
		out = append(out, "hybrid manager off")
	}
	if h.fp8KV {
		out = append(out, "float8_e4m3fn")
	}
	if h.totalMemory > 0 {
		out = append(out, fmt.Sprintf("total_memory=%.2f", float64(h.totalMemory)/float64(engine.GiB)))
	}
	if unequalRanks(notes) {
		out = append(out, "tokens are the minimum over ranks")
	}
	return strings.Join(out, "; ")
}

// unequalRanks reports notes of ranks whose pools differed.
func unequalRanks(notes string) bool {
	return strings.Contains(notes, "minimum over") || strings.Contains(notes, "per-rank available KV differ")
}

// hardwareOf returns the row's devices; none when the log does not name them.
func (r *row) hardwareOf(h hints, ranks int) engine.Hardware {
	name := strings.TrimPrefix(r.GPU, "NVIDIA ")
	if small := r.heldGiB(); strings.HasPrefix(name, "A100") && !strings.Contains(name, "80") && small > 0 && small < 39 {
		name = "A100 40GB" // the log names no size; this one holds it
	}
	if i := strings.IndexByte(name, '('); i > 0 {
		name = strings.TrimSpace(name[:i])
	}
	var d engine.Device
	if hw, err := hardware.Parse(name); err == nil && len(hw.Devices) > 0 && name != "" {
		d = hw.Devices[0]
	}
	if h.totalMemory > 0 {
		d.Total, d.Free, d.Usable = h.totalMemory, h.totalMemory, h.totalMemory
		if d.Name == "" {
			d.Name, d.Kind = "unnamed", engine.Dedicated
		}
	}
	if d.Total == 0 {
		return engine.Hardware{}
	}
	hw := engine.Hardware{Devices: make([]engine.Device, ranks)}
	for i := range hw.Devices {
		hw.Devices[i] = d
	}
	return hw
}

// heldGiB is what the log says of weights and pool together.
func (r *row) heldGiB() float64 {
	if r.Observed.Weights == nil || r.Observed.KV == nil {
		return 0
	}
	return *r.Observed.Weights + *r.Observed.KV
}

// issueReleases are the releases that were current when vLLM's issues and pull
// requests of these numbers were opened.
var issueReleases = []struct {
	number  int
	release string
}{
	{0, "0.2.7"}, {2500, "0.3.3"}, {3900, "0.4.2"}, {5300, "0.5.4"}, {8400, "0.6.3"}, {10400, "0.6.6"}, {12500, "0.7.3"}, {15000, "0.8.5"},
	{18900, "0.9.2"}, {21600, "0.10.0"}, {23200, "0.10.2"}, {26100, "0.11.0"}, {28900, "0.11.1"}, {29900, "0.12.0"}, {31000, "0.13.0"},
	{32700, "0.14.1"}, {33500, "0.15.1"}, {35500, "0.17.0"}, {38500, "0.19.0"}, {41500, "0.21.0"},
}

// release returns the version to plan with. A log without one tells by the
// number of the issue that it is from; else by its figures: up to v0.20 the
// logged tokens of a hybrid were not concurrency × max_model_len.
func (r *row) release() string {
	o := &r.Observed
	issue := 0
	if m := issueID.FindStringSubmatch(r.ID); m != nil {
		issue, _ = strconv.Atoi(m[1])
	}
	switch {
	case r.Version != "":
	case issue > 0:
		at := issueReleases[0].release
		for _, x := range issueReleases {
			if issue >= x.number {
				at = x.release
			}
		}
		return at
	case strings.Contains(r.WeightsDType, "Marlin weight-only"):
		return "0.10.1"
	case o.Tokens != nil && o.Concurrency != nil && r.MaxModelLen > 0 && *o.Concurrency > 0:
		if x := float64(*o.Tokens) / (*o.Concurrency * float64(r.MaxModelLen)); x < 0.98 || x > 1.02 {
			return "0.20.0"
		}
	}
	return r.Version
}

// cacheType returns the row's cache type as the planner names it.
func (r *row) cacheType(h hints) string {
	s := strings.ToLower(strings.TrimSpace(r.KVDType))
	switch {
	case h.fp8KV && (s == "" || s == "auto"):
		return "fp8"
	case strings.Contains(s, "int8") && strings.Contains(s, "head"):
		return "int8_per_token_head"
	}
	return s
}

// one returns n, or 1 when the log does not say.
func one(n int64) int64 { return max(n, 1) }
